"""The room on disk: as `du` counts it, and measured once where it cannot change."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from builder.core.digest import Digest
from builder.core.job import Cancel
from builder.store.cachemounts import LocalCacheMounts
from builder.store.interface import CacheMountRequest
from builder.store.sizes import Sizes
from tests.support.local_store import Store, open_store

_KILO = bytes(1024)


def sizes(store: Store) -> Sizes:
    return Sizes(store.state, store.database)


def fill(store: Store, name: str, size: int) -> None:
    """Write a file of that size, once more, into the cache mount."""
    request = CacheMountRequest(Digest.of(b"cache"), "/c", "locked")
    caches = LocalCacheMounts(store.state, store.database)
    with caches.use(request, "me", Cancel(), fill=lambda p: None, waits=lambda h: None) as path:
        (path / name).write_bytes(bytes(size))


def test_the_sum_is_that_of_du(tmp_path: Path) -> None:
    """Trees, hard links, sparse files, blobs, directories: all of it, once."""
    with open_store(tmp_path) as store:
        tree = store.tree({"a/b/c": _KILO * 500, "d": _KILO})
        os.link(Path(store.snapshots.directory(tree.name)) / "a/b/c", tmp_path / "snapshots-v1/link")
        with open(tmp_path / "failed-v1/sparse", "wb") as file:
            file.truncate(1 << 30)
        store.content.put(_KILO * 300)
        store.database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        found = sum(sizes(store).measure().values())
        done = subprocess.run(["du", "-s", "--block-size=1", tmp_path], capture_output=True, check=True)
        true = int(done.stdout.split()[0])

        # The measure itself is written down meanwhile.
        assert abs(found - true) <= 1 << 17
        assert found > 800_000


def test_trees_are_measured_once(tmp_path: Path) -> None:
    """They never change; what the memo says is believed, unless the truth is asked for."""
    with open_store(tmp_path) as store:
        name = store.tree({"a": _KILO * 100}).name
        path = f"snapshots-v1/{name}"
        before = sizes(store).measure()[path]
        store.database.run("UPDATE sizes SET size = 7 WHERE path = ?", (path,))

        assert sizes(store).measure()[path] == 7
        assert sizes(store).measure(is_anew=True)[path] == before
        assert sizes(store).measure()[path] == before


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    """The memo does not grow for ever."""
    with open_store(tmp_path) as store:
        sizes(store).measure()
        before = store.database.rows("SELECT count(*) FROM sizes")
        name = store.tree({"a": _KILO}).name
        sizes(store).measure()
        os.rename(tmp_path / "snapshots-v1" / name, tmp_path / "elsewhere")
        sizes(store).measure()

        assert store.database.rows("SELECT count(*) FROM sizes") == before


def test_a_cache_mount_is_measured_after_every_use(tmp_path: Path) -> None:
    """It may grow whenever somebody has it, and only then."""
    with open_store(tmp_path) as store:
        path = f"caches-v1/{Digest.of(b'cache').hex}"
        fill(store, "a", 100_000)
        first = sizes(store).measure()[path]
        fill(store, "b", 300_000)
        second = sizes(store).measure()[path]

        assert first >= 100_000
        assert second >= first + 300_000
        assert sizes(store).measure()[path] == second
