"""The state directory: scratch, locks, and processes that die at any point."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.core.digest import Digest
from builder.store import snapshots as snapshots_module
from builder.store.state import StateDir, StoreUnusable, remove_tree
from tests.support.killing import kills, other_process
from tests.support.local_store import check_store, open_store


def no_name(name: str) -> bool:
    return False


# -- opening -------------------------------------------------------------------------------------------------


def test_scratch_ends_with_the_block(tmp_path: Path) -> None:
    """Whatever lies in scratch is gone when the store is closed, and so is its lock."""
    with StateDir.open(tmp_path / "root") as state:
        (state.scratch / "deep/er").mkdir(parents=True)
        (state.scratch / "deep/file").touch()
        scratch = state.scratch

    assert not scratch.exists()
    assert list((tmp_path / "root/tmp").iterdir()) == []


def test_two_commands_have_scratch_of_their_own(tmp_path: Path) -> None:
    """The same store may be open any number of times."""
    with StateDir.open(tmp_path) as one, StateDir.open(tmp_path) as two:
        assert one.scratch != two.scratch


def test_nobody_else_looks_in(tmp_path: Path) -> None:
    """A store that pybuild makes is closed to other users: layers may hold secrets and setuid programs."""
    with StateDir.open(tmp_path / "a/root") as state:
        for path in (state.root, state.snapshots, state.blobs, state.scratch, state.root / "tmp"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_existing_root_keeps_its_mode(tmp_path: Path) -> None:
    """A directory that the user made is left as it is."""
    tmp_path.chmod(0o755)
    with StateDir.open(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_unusable_root_is_an_error_for_people(tmp_path: Path) -> None:
    """A root that is a file is refused with a hint."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusable) as caught, StateDir.open(tmp_path / "file"):
        pass

    assert caught.value.hint is not None


# -- sweeping ------------------------------------------------------------------------------------------------


def leave_scratch(root: Path) -> Callable[..., None]:
    def work(say: Callable[[bytes], None], wait: Callable[[], None]) -> None:
        with StateDir.open(root) as state:
            (state.scratch / "snapshot/upper").mkdir(parents=True)
            (state.snapshots / "snapshot").mkdir()
            say(state.scratch.name.encode())
            wait()

    return work


def test_scratch_of_a_dead_process_is_swept(tmp_path: Path) -> None:
    """What a killed process left goes with its lock, and names in it are asked for."""
    asked: list[str] = []

    def forget(name: str) -> bool:
        asked.append(name)
        return True

    with other_process(leave_scratch(tmp_path)) as other:
        owner = other.wait().decode()
        other.kill()
    with StateDir.open(tmp_path) as state:
        state.sweep(forget)

        assert asked == ["snapshot"]
        assert not (tmp_path / "tmp" / owner).exists()
        assert not (tmp_path / "tmp" / f"{owner}.lock").exists()
        assert list(state.snapshots.iterdir()) == []


def test_committed_snapshot_of_a_dead_process_stays(tmp_path: Path) -> None:
    """A snapshot that the database knows is not swept, though its name is in dead scratch."""
    with other_process(leave_scratch(tmp_path)) as other:
        other.wait()
        other.kill()
    with StateDir.open(tmp_path) as state:
        state.sweep(no_name)

        assert [path.name for path in state.snapshots.iterdir()] == ["snapshot"]
        assert [path for path in (tmp_path / "tmp").iterdir() if path.is_dir()] == [state.scratch]


def test_scratch_of_a_living_process_stays(tmp_path: Path) -> None:
    """A sweep touches nobody who is alive."""
    with other_process(leave_scratch(tmp_path)) as other:
        owner = other.wait().decode()
        with StateDir.open(tmp_path) as state:
            state.sweep(lambda name: True)

            assert (tmp_path / "tmp" / owner / "snapshot/upper").is_dir()
            assert (state.snapshots / "snapshot").is_dir()
        assert other.let_go() == 0
    assert not (tmp_path / "tmp" / owner).exists()


def test_lock_without_scratch_is_swept(tmp_path: Path) -> None:
    """A process that died between its lock and its directory leaves a lock alone."""
    with StateDir.open(tmp_path) as state:
        (tmp_path / "tmp/1-dead.lock").touch()
        state.sweep(lambda name: True)

        assert not (tmp_path / "tmp/1-dead.lock").exists()


def test_lock_that_is_swept_while_it_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file that another's sweep removes between its making and its locking is made again."""
    real = fcntl.flock
    swept: list[Path] = []

    def flock(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not swept:
            swept.extend((tmp_path / "tmp").glob("*.lock"))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(fcntl, "flock", real)
                with StateDir.open(tmp_path) as sweeper:
                    sweeper.sweep(lambda name: True)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with StateDir.open(tmp_path) as state:
        lock = tmp_path / "tmp" / f"{state.scratch.name}.lock"

        assert len(swept) == 1
        assert lock.exists()
        assert lock not in swept
        with open(lock, "rb") as file, pytest.raises(BlockingIOError):
            real(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# -- killed at every point -----------------------------------------------------------------------------------


def test_commit_killed_anywhere(tmp_path: Path) -> None:
    """A commit is there or is not, whenever its process dies, and leaves nothing behind."""
    root = tmp_path / "root"
    with open_store(root) as store:
        base = store.tree({"base": b"b"})

    def work() -> None:
        with open_store(root) as store:
            store.tree({"file": b"f", "directory/other": b"o"}, base.name)

    points = []
    for killed in kills(root, work):
        points.append(killed.before.partition(" ")[0])
        with open_store(root) as store:
            check_store(store)
            rows = store.database.rows("SELECT name FROM snapshots WHERE name <> ?", (base.name,))
            for (name,) in rows:
                directory = Path(store.snapshots.directory(str(name)))
                assert (directory / "file").read_bytes() == b"f"
                assert (directory / "directory/other").read_bytes() == b"o"

    assert {"os.rename", "before", "after", "os.rmdir"} <= set(points)


def test_blob_killed_anywhere(tmp_path: Path) -> None:
    """A blob is there whole or not at all."""
    root = tmp_path / "root"
    data = b"x" * 100_000

    def work() -> None:
        with open_store(root) as store:
            store.content.put(data)

    seen = set()
    for _ in kills(root, work):
        with open_store(root) as store:
            check_store(store)
            size = store.content.size(Digest.of(data))
            seen.add(size)

    assert seen == {None, len(data)}


def test_unpacking_killed_anywhere(tmp_path: Path) -> None:
    """A layer whose unpacking was cut short is unpacked again, and is used only when it is whole."""
    root = tmp_path / "root"
    with open_store(root) as store:
        base = store.layer(b"one")
        top = store.layer(b"two", base)

    def work() -> None:
        with open_store(root) as store:
            store.snapshots.lowers(top.name)

    for _ in kills(root, work):
        with open_store(root) as store:
            check_store(store)
        # A process that finds rubbish works all the same.
        with open_store(root) as store:
            lowers = [Path(lower) for lower in store.snapshots.lowers(top.name)]

            assert [path.name for lower in lowers for path in lower.iterdir()] == ["two", "one"]
            check_store(store)
        with open_store(root) as store:
            store.database.run("UPDATE snapshots SET is_ready = 0")  # directories without their mark


def test_flattening_killed_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deep chain that was being made flat is made flat again."""
    monkeypatch.setattr(snapshots_module, "_MAX_LOWERS", 2)
    root = tmp_path / "root"
    with open_store(root) as store:
        name = ""
        for number in range(4):
            name = store.tree({str(number): b"x"}, name).name

    def work() -> None:
        with open_store(root) as store:
            store.snapshots.lowers(name)

    for _ in kills(root, work):
        with open_store(root) as store:
            check_store(store)
            lowers = store.snapshots.lowers(name)
            found = sorted(path.name for lower in lowers for path in Path(lower).iterdir())

            assert found == ["0", "1", "2", "3"]
            assert len(lowers) <= 2
            check_store(store)
            store.database.run("UPDATE snapshots SET is_flat = 0")


# -- removing trees ------------------------------------------------------------------------------------------


def test_remove_tree_of_any_depth(tmp_path: Path) -> None:
    """Directories inside one another, beyond any path's length, are removed without recursion."""
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("directory", dir_fd=here)
        below = os.open("directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(top)

    assert list(tmp_path.iterdir()) == []


def test_remove_tree_follows_no_link(tmp_path: Path) -> None:
    """What a link in the tree leads to stays, and a link itself can be removed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").touch()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "outside")
    (tmp_path / "alone").symlink_to(tmp_path / "outside")
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "alone")

    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (tmp_path / "outside/file").exists()


def test_remove_tree_whatever_its_modes(tmp_path: Path) -> None:
    """A step may leave directories that their owner can neither read nor write."""

    def work(say: Callable[[bytes], None], wait: Callable[[], None]) -> None:
        os.chdir(tmp_path)  # the way there is not for everybody
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        top = Path("tree")
        for path in ("a/b/c", "a/d", "e"):
            (top / path).mkdir(parents=True)
            (top / path / "file").touch()
        for path, mode in (
            ("a/b/c", 0o000),
            ("a/b", 0o500),
            ("a/d", 0o600),
            ("a", 0o000),
            ("e", 0o500),
            ("", 0o500),
        ):
            (top / path).chmod(mode)
        remove_tree(top)
        say(b"gone" if not top.exists() else b"there")

    tmp_path.chmod(0o777)
    with other_process(work) as other:
        assert other.wait() == b"gone"


def test_remove_tree_of_nothing(tmp_path: Path) -> None:
    """What is gone is fine."""
    remove_tree(tmp_path / "absent")

    assert list(tmp_path.iterdir()) == []
