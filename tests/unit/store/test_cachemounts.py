"""Cache directories: whose turn it is, what is in them, and that they stay."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import stat
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from builder.core.digest import Digest
from builder.core.errors import Cancelled
from builder.core.job import Cancel
from builder.store.cachemounts import LocalCacheMounts
from builder.store.gc import collect
from builder.store.interface import CacheMountRequest
from tests.support.local_store import Store, open_store

IDENTITY = Digest.of(b"a cache")


def caches_of(store: Store) -> LocalCacheMounts:
    return LocalCacheMounts(store.state, store.database)


def use(
    caches: LocalCacheMounts,
    sharing: str = "shared",
    *,
    cancel: Cancel | None = None,
    fill: Callable[[Path], None] = lambda path: None,
    waits: Callable[[str], None] = lambda holder: None,
    holder: str = "me",
    mode: int | None = None,
    uid: int | None = None,
    is_new: bool = False,
) -> AbstractContextManager[Path]:
    request = CacheMountRequest(IDENTITY, "/id", sharing, mode, uid, is_new=is_new)
    return caches.use(request, holder, cancel or Cancel(), fill=fill, waits=waits)


@pytest.mark.parametrize("sharing", ["shared", "private", "locked"])
def test_content_stays(sharing: str, tmp_path: Path) -> None:
    """The next one finds what the last one left, in this process and in the next."""
    with open_store(tmp_path) as store, use(caches_of(store), sharing) as path:
        (path / "x").touch()
    with open_store(tmp_path) as store, use(caches_of(store), sharing) as path:
        assert ["x"] == os.listdir(path)


def test_shared_ones_share(tmp_path: Path) -> None:
    """Any number at once, in one directory."""
    with open_store(tmp_path) as store, use(caches_of(store)) as one, use(caches_of(store)) as other:
        assert one == other


def test_private_ones_do_not(tmp_path: Path) -> None:
    """A second one meanwhile gets a directory of its own; afterwards the first is taken again."""
    with open_store(tmp_path) as store:
        caches = caches_of(store)
        with use(caches, "private") as one, use(caches, "private") as other, use(caches) as shared:
            assert len({one, other, shared}) == 3
        with use(caches, "private") as again:
            assert one == again


def test_those_who_share_meet_though_another_is_free(tmp_path: Path) -> None:
    """A directory that others share is chosen before one that nobody has."""
    with open_store(tmp_path) as store:
        caches = caches_of(store)
        with contextlib.ExitStack() as first:
            first.enter_context(use(caches, "private"))
            second = use(caches)
            path = second.__enter__()
        with use(caches) as third:
            assert path == third
        second.__exit__(None, None, None)


def test_locked_ones_wait(tmp_path: Path) -> None:
    """The second begins when the first has ended, and says whom it waits for."""
    with open_store(tmp_path) as store:
        caches, said, order = caches_of(store), threading.Event(), []

        def waits(holder: str) -> None:
            order.append(holder)
            said.set()

        def second() -> None:
            with use(caches, "locked", waits=waits) as path:
                order.append((path / "x").read_text())

        with use(caches, "locked", holder="pid 1, RUN a") as path:
            thread = threading.Thread(target=second)
            thread.start()
            said.wait()
            (path / "x").write_text("first is over")
        thread.join()

        assert ["pid 1, RUN a", "first is over"] == order


def test_locked_one_waits_for_those_who_share(tmp_path: Path) -> None:
    """It has the directory for itself."""
    with open_store(tmp_path) as store, use(caches_of(store), holder="the other"):
        cancel, said = Cancel(), []

        def waits(holder: str) -> None:
            said.append(holder)
            cancel.cancel()

        with pytest.raises(Cancelled), use(caches_of(store), "locked", cancel=cancel, waits=waits):
            pass

        assert ["the other"] == said


def _hold(root: Path, is_held: object) -> None:
    with open_store(root) as store, use(caches_of(store), "locked", holder="the child") as path:
        (path / "x").touch()
        is_held.set()  # type: ignore[attr-defined] # multiprocessing's Event has no type of its own
        threading.Event().wait()


def test_killed_holder_lets_go(tmp_path: Path) -> None:
    """The kernel releases what a dead process held."""
    context = multiprocessing.get_context("spawn")
    is_held = context.Event()
    child = context.Process(target=_hold, args=(tmp_path, is_held))
    child.start()
    is_held.wait()
    with open_store(tmp_path) as store:

        def waits(holder: str) -> None:
            assert "the child" == holder
            child.kill()

        with use(caches_of(store), "locked", waits=waits) as path:
            assert ["x"] == os.listdir(path)
    child.join()


def test_first_content_mode_and_owner(tmp_path: Path) -> None:
    """Made once, when the directory is new; 0755 and root unless something is said."""
    with open_store(tmp_path) as store:
        caches, count = caches_of(store), []

        def fill(path: Path) -> None:
            count.append(path)
            (path / "first").touch()

        os.umask(0o077)
        for _ in range(2):
            with use(caches, fill=fill, mode=0o1777, uid=5) as path:
                status = path.stat()

                assert (0o1777, 5, 0) == (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
                assert ["first"] == os.listdir(path)
        os.umask(0o022)
        assert len(count) == 1


def test_failed_fill_leaves_nothing(tmp_path: Path) -> None:
    """Half a content is none."""

    def fill(path: Path) -> None:
        (path / "half").touch()
        raise OSError

    with open_store(tmp_path) as store:
        with pytest.raises(OSError), use(caches_of(store), fill=fill):
            pass
        with use(caches_of(store)) as path:
            assert [] == os.listdir(path)


def test_new_one_is_asked_for(tmp_path: Path) -> None:
    """What earlier builds left is not used again, in use or not; within one build it is made once."""
    with open_store(tmp_path) as store:
        with use(caches_of(store)) as old:
            (old / "x").touch()
            build = caches_of(store)
            with use(build, is_new=True) as path:
                assert [] == os.listdir(path)
                (path / "y").touch()
            with use(build, is_new=True) as path:
                assert ["y"] == os.listdir(path)
            assert ["x"] == os.listdir(old)
        with use(caches_of(store)) as path:
            assert ["y"] == os.listdir(path)
        assert not old.exists()


def test_collection_keeps_caches(tmp_path: Path) -> None:
    """They are known to the database; a directory that it does not know is of a killed process."""
    with open_store(tmp_path) as store:
        with use(caches_of(store)) as path:
            (path / "x").touch()
        stray = store.state.caches / "00"
        stray.mkdir()
        collect(store.state, store.database, store.content)

        assert (path / "x").exists()
        assert not stray.exists()


def test_store_from_before_there_were_caches(tmp_path: Path) -> None:
    """Its database gets the table when it is first needed."""
    with open_store(tmp_path) as store:
        store.database.run("DROP TABLE cache_mounts")
        collect(store.state, store.database, store.content)
        store.database.run("DROP TABLE cache_mounts")
        with use(caches_of(store)):
            assert [("/id",)] == store.database.rows("SELECT id FROM cache_mounts")


def test_reading_waits_for_whoever_is_alone(tmp_path: Path) -> None:
    """A reader shares with those who share, and does not get what somebody has for himself."""
    with open_store(tmp_path) as store:
        caches = caches_of(store)
        with caches.reading(IDENTITY, Cancel(), wait_s=0) as nothing:
            assert nothing is None
        with use(caches) as path, caches.reading(IDENTITY, Cancel(), wait_s=0) as read:
            assert read == path
        with use(caches, "locked"), caches.reading(IDENTITY, Cancel(), wait_s=0) as taken:
            assert taken is None
        cancel = Cancel()
        cancel.cancel()
        with pytest.raises(Cancelled), caches.reading(IDENTITY, cancel, wait_s=9):
            pass


def test_nobody_has_alone_what_is_read(tmp_path: Path) -> None:
    """Who must not share waits, or takes another directory, until the reader is done."""
    with open_store(tmp_path) as store:
        caches, waiting = caches_of(store), Cancel()
        with use(caches) as path:
            (path / "x").touch()
        with caches.reading(IDENTITY, Cancel(), wait_s=0) as read:
            with use(caches, "private") as other:
                assert other != read
            with use(caches, "shared") as shared:
                assert shared == read
        with (
            caches.reading(IDENTITY, Cancel(), wait_s=0),
            use(caches, "private"),
            pytest.raises(Cancelled),
            use(caches, "locked", cancel=waiting, waits=lambda _: waiting.cancel()),
        ):
            pass


def test_time_of_the_last_use(tmp_path: Path) -> None:
    """None while there is no directory, or only one that is not used again."""
    with open_store(tmp_path) as store:
        caches = caches_of(store)
        before = caches.used_at(IDENTITY)
        with use(caches) as path:
            pass
        first = caches.used_at(IDENTITY)
        with use(caches):
            pass
        second = caches.used_at(IDENTITY)
        (path.parent / "stale").touch()

        assert before is None
        assert first is not None
        assert second is not None
        assert first < second
        assert caches.used_at(IDENTITY) is None
