"""Leases: what a running command holds, collection in another process leaves alone."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.cache.interface import CacheRecord
from builder.cache.sqlite import SqliteCache
from builder.core.digest import Digest
from builder.core.job import Cancel
from builder.core.reference import Reference
from builder.store.cachemounts import LocalCacheMounts
from builder.store.gc import collect
from builder.store.interface import CacheMountRequest
from builder.store.state import StateDir
from tests.support.killing import other_process
from tests.support.local_store import Store, check_store, open_store

Work = Callable[[Callable[[bytes], None], Callable[[], None]], None]


def beside(root: Path, use: Callable[[Store], object]) -> Work:
    """A command that uses something and goes on."""

    def work(say: Callable[[bytes], None], wait: Callable[[], None]) -> None:
        with open_store(root) as store:
            use(store)
            say(b"used")
            wait()

    return work


def run(store: Store) -> int:
    return collect(store.state, store.database, store.content)


def test_others_are_seen_until_they_end(tmp_path: Path) -> None:
    """With what they hold; a killed one holds nothing."""
    with open_store(tmp_path) as store:
        assert store.state.lease.others() == []
        with other_process(beside(tmp_path, lambda s: s.state.lease.hold("a"))) as other:
            assert other.wait() == b"used"
            (held,) = store.state.lease.others()
            assert held.names == {"a"}
            other.kill()
            assert store.state.lease.others() == []


def _tree(store: Store) -> str:
    name = store.tree({"a": b"a"}, store.tree({"b": b"b"}).name).name
    SqliteCache(store.database).save(Digest.of(b"key"), CacheRecord(name, b""))
    return name


@pytest.mark.parametrize("way", ["stat", "chain", "intact", "lowers"])
def test_what_was_looked_at_stays(way: str, tmp_path: Path) -> None:
    """A tree that a running command has come across is there as long as it runs, with all below it."""
    with open_store(tmp_path) as store:
        name = _tree(store)
    uses: dict[str, Callable[[Store], object]] = {
        "stat": lambda s: s.snapshots.stat(name),
        "chain": lambda s: s.snapshots.chain(name),
        "intact": lambda s: s.snapshots.is_intact(name),
        "lowers": lambda s: s.snapshots.lowers(name),
    }
    with other_process(beside(tmp_path, uses[way])) as other, open_store(tmp_path) as store:
        assert other.wait() == b"used"
        SqliteCache(store.database).forget(Digest.of(b"key"))
        assert run(store) == 0
        other.kill()
        assert run(store) == 2


def test_what_nobody_looked_at_goes_beside_a_running_command(tmp_path: Path) -> None:
    """A store that is never idle is collected too."""
    with open_store(tmp_path) as store:
        held, old = store.tree({"a": b"a"}).name, store.tree({"b": b"b"}).name
    with other_process(beside(tmp_path, lambda s: s.snapshots.stat(held))) as other:
        assert other.wait() == b"used"
        with open_store(tmp_path) as store:
            assert run(store) == 1
            assert store.snapshots.stat(old) is None
            assert store.snapshots.stat(held) is not None
            assert other.let_go() == 0


def test_what_a_running_command_makes_stays(tmp_path: Path) -> None:
    """Trees, shared and clamped ones, layers and blobs that no row leads to yet."""

    def make(store: Store) -> None:
        base, tree = store.tree({"a": b"a"}), store.tree({"b": b"b"})
        store.snapshots.share(base.name, tree.name)
        store.snapshots.clamp("", tree.name, 5)
        store.layer(b"layer")
        store.content.put(b"config")

    with other_process(beside(tmp_path, make)) as other, open_store(tmp_path) as store:
        assert other.wait() == b"used"
        assert run(store) == 0
        assert len(store.database.rows("SELECT * FROM snapshots")) == 5
        assert other.let_go() == 0
        assert run(store) == 4  # two trees and two blobs
        check_store(store)


def test_a_blob_that_was_found_stays(tmp_path: Path) -> None:
    """Who saw that it is there does not fetch it."""
    with open_store(tmp_path) as store:
        digest = store.content.put(b"blob")
    with other_process(beside(tmp_path, lambda s: s.content.size(digest))) as other:
        assert other.wait() == b"used"
        with open_store(tmp_path) as store:
            assert run(store) == 0
            other.kill()
            assert run(store) == 1


def test_an_image_that_was_found_stays_without_its_row(tmp_path: Path) -> None:
    """Another one removes it meanwhile: its config and its layers are still there."""
    with open_store(tmp_path) as store:
        tree, config = store.tree({"a": b"a"}), store.content.put(b"{}")
        store.images.add(config, tree.name, created_at=1)
        store.images.tag(Reference.parse("app"), config)
    with other_process(beside(tmp_path, lambda s: s.images.find("app"))) as other:
        assert other.wait() == b"used"
        with open_store(tmp_path) as store:
            store.images.delete(config)
            assert run(store) == 0
            assert store.snapshots.is_intact(tree.name)
            assert other.let_go() == 0


def test_a_cache_mount_in_use_stays(tmp_path: Path) -> None:
    """Though its row is gone; a free one goes, and the next use makes a new one."""
    request = CacheMountRequest(Digest.of(b"cache"), "/c", "shared")

    def work(say: Callable[[bytes], None], wait: Callable[[], None]) -> None:
        with open_store(tmp_path) as store:
            caches = LocalCacheMounts(store.state, store.database)
            with caches.use(request, "me", Cancel(), fill=lambda p: None, waits=lambda h: None) as path:
                (path / "x").touch()
                say(b"used")
                wait()

    with other_process(work) as other, open_store(tmp_path) as store:
        assert other.wait() == b"used"
        store.database.run("DELETE FROM cache_mounts")
        assert run(store) == 0
        assert other.let_go() == 0
        assert run(store) == 1
        caches = LocalCacheMounts(store.state, store.database)
        with caches.use(request, "me", Cancel(), fill=lambda p: None, waits=lambda h: None) as path:
            assert os.listdir(path) == []


def test_collection_waits_for_who_touches_something(tmp_path: Path) -> None:
    """Between a look and its lease nothing goes; who touches may want the database meanwhile."""
    with open_store(tmp_path) as store:
        store.tree({"a": b"a"})
        guard = os.open(tmp_path / "lock", os.O_RDWR)
        fcntl.flock(guard, fcntl.LOCK_SH)
        removed: list[int] = []

        def work() -> None:
            with open_store(tmp_path) as other:
                removed.append(run(other))

        thread = threading.Thread(target=work)
        thread.start()
        for number in range(20):
            store.database.run("INSERT INTO parses VALUES (?, x'', 0)", (bytes([number]),))
        assert removed == []
        os.close(guard)
        thread.join()
        # This process holds what it made, and is another command's eye.
        assert removed == [0]


def test_nothing_is_touched_during_a_collection(tmp_path: Path) -> None:
    """Who comes in the middle of it waits, and sees what is left."""
    with StateDir.open(tmp_path) as state, StateDir.open(tmp_path) as other:
        guard = state.lease.try_alone()
        assert guard is not None
        assert other.lease.try_alone() is None
        entered = threading.Event()

        def touch() -> None:
            with other.lease.touching("a"):
                entered.set()

        thread = threading.Thread(target=touch)
        thread.start()
        assert not entered.wait(0.1)
        os.close(guard)
        assert entered.wait(20)
        thread.join()
        again = state.lease.try_alone()
        assert again is not None
        os.close(again)
