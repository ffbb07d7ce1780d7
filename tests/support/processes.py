"""What a command leaves behind: processes, mounts, mount namespaces, scratch, loose ends of the store.

The tests' process becomes a subreaper, so that whatever outlives a command becomes its child.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import select
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PATIENCE_S = 20


def become_subreaper() -> None:
    """Orphans of this process's children become its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def children() -> list[int]:
    """Of this process; the dead that were not waited for among them."""
    names = [name for name in os.listdir("/proc") if name.isdigit()]
    return [int(name) for name in names if _parent(name) == os.getpid()]


def assert_no_orphan(known: set[int]) -> None:
    """Every child that is not known ends by itself, soon: the kernel needs a moment to kill a namespace."""
    while orphans := set(children()) - known:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                assert _wait(pid), f"process {pid} was left behind: {os.fsdecode(words)}"


def assert_nothing_left(root: Path, known: set[int]) -> None:
    """No process, no mount, no namespace and no scratch entry speaks of the store any more."""
    assert_no_orphan(known)
    needle = os.fsencode(str(root))
    # Processes change their parent while they are being looked at, so here is another way to find them.
    for pid in [pid for pid in os.listdir("/proc") if pid.isdigit() and needle in _traces(pid)]:
        shown = _traces(pid)[:300]
        assert _wait(int(pid)), f"process {pid} was left behind: {os.fsdecode(shown)}"
    assert_no_orphan(known)

    assert needle not in Path("/proc/self/mountinfo").read_bytes()
    assert sorted(os.listdir(root / "tmp")) == []


def assert_intact(root: Path) -> None:
    """The database, the snapshot directories and the blobs agree with each other."""
    with contextlib.closing(sqlite3.connect(root / "pybuild-v1.sqlite")) as database:
        check = database.execute("PRAGMA integrity_check").fetchall()
        rows = dict(database.execute("SELECT name, is_ready FROM snapshots"))
        parents = {row[0] for row in database.execute("SELECT parent FROM snapshots WHERE parent != ''")}
        images = [row[0] for row in database.execute("SELECT id FROM images")]
    directories = set(os.listdir(root / "snapshots-v1"))
    blobs = root / "content-v1/blobs/sha256"

    assert check == [("ok",)]
    assert {name for name, is_ready in rows.items() if is_ready} <= directories
    assert set() == directories - rows.keys(), "snapshot directories that no row knows"
    assert parents <= rows.keys()
    for image in images:
        assert (blobs / image.partition(":")[2]).exists()
    for blob in blobs.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def descendants(pid: int) -> list[int]:
    """All processes below one, as far as they still have their parents."""
    parents = {int(name): _parent(name) for name in os.listdir("/proc") if name.isdigit()}
    found, pending = [], [pid]
    while pending:
        parent = pending.pop()
        below = [child for child, its_parent in parents.items() if its_parent == parent]
        found += below
        pending += below
    return found


def wait_until(condition: Callable[[], bool], *, watched: int) -> None:
    """Look again whenever a little time has passed, until it holds; the process ``watched`` must live on."""
    pidfd = os.pidfd_open(watched)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        for _ in range(_PATIENCE_S * 50):
            if condition():
                return
            assert not poll.poll(20), f"process {watched} ended early"
        raise AssertionError("waited in vain")
    finally:
        os.close(pidfd)


def kill_children(known: set[int]) -> None:
    """After a test that failed: its processes must not disturb the next one."""
    for pid in set(children()) - known:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _wait(pid)


def _wait(pid: int) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        is_over = bool(poll.poll(_PATIENCE_S * 1000))
    finally:
        os.close(pidfd)
    if is_over:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return is_over


def _parent(pid: str) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def _traces(pid: str) -> bytes:
    """Where a process would mention the store. A test's own process does, in none of these."""
    found = b""
    for name in ("cmdline", "mountinfo"):
        with contextlib.suppress(OSError):
            found += Path(f"/proc/{pid}/{name}").read_bytes()
    with contextlib.suppress(OSError):
        found += os.fsencode(os.readlink(f"/proc/{pid}/cwd"))
    return found
