"""Faults at chosen system calls, by strace."""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from tests.support.cli import Pybuild

_T = TypeVar("_T")

# What changes state: files, processes, mounts. x86-64 and arm64 names; strace skips those marked with "?".
FILES = (
    "rename renameat renameat2 mkdir mkdirat rmdir unlink unlinkat link linkat symlink symlinkat mknod"
    " mknodat write pwrite64 writev pwritev sendfile copy_file_range fsync fdatasync ftruncate fallocate"
    " chmod fchmod fchmodat chown lchown fchown fchownat utimensat setxattr lsetxattr fsetxattr"
).split()
PROCESSES = (
    "clone clone3 fork vfork execve mount move_mount open_tree mount_setattr fsopen fsconfig fsmount umount2"
    " pivot_root sendmsg flock"
).split()
OPENS = ["openat"]


_AUDITED = (
    "os.rename os.mkdir os.rmdir os.remove os.link os.symlink os.chmod os.chown os.utime os.truncate "
    "os.setxattr os.posix_spawn sqlite3.connect"
).split()
# The command, which kills itself before its N-th change, in whatever thread; 0: it tells how many there were.
_KILLER = f"""
import atexit, itertools, os, sys
count, last = itertools.count(1), int(sys.argv.pop(1))
def hook(event, arguments):
    if event in {_AUDITED!r} or event == "open" and arguments[2] and arguments[2] & 3:
        if (number := next(count)) == last:
            os.kill(os.getpid(), 9)
sys.addaudithook(hook)
if not last:
    atexit.register(lambda: print("changes:", next(count) - 1))
from builder.__main__ import main
main()
"""


class Point(NamedTuple):
    """The N-th call of that name in any one thread."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call}-{self.number}"


def scale() -> float:
    """How much of the stress tests runs: PYBUILD_STRESS, 1 is all."""
    return float(os.environ.get("PYBUILD_STRESS", "0.1"))


def seed() -> int:
    """PYBUILD_SEED, or a new one; print it."""
    return int(os.environ.get("PYBUILD_SEED") or random.SystemRandom().randrange(1 << 32))


def strace(*options: str) -> list[str]:
    """The beginning of a command line that traces what follows."""
    if shutil.which("strace") is None:
        pytest.fail("this test needs strace: install the package strace")
    # Not --seccomp-bpf: with it strace 6.1 counts no further than 1.
    return ["strace", "-f", "-qq", "-e", "signal=none", *options]


def _trace(calls: Sequence[str]) -> str:
    return "trace=" + ",".join(f"?{call}" for call in calls)


def count_points(
    pybuild: Pybuild, words: Sequence[str | Path], calls: Sequence[str], log: Path
) -> list[Point]:
    """Every point that a run of the command passes."""
    pybuild(*words, prefix=strace("-o", str(log), "-e", _trace(calls)))
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in log.read_text(errors="replace").splitlines():
        match = re.match(r"(\d+) +(\w+)\(", line)
        if match is not None:
            counts[match[2]][match[1]] += 1
    return [
        Point(call, number)
        for call in calls
        if call in counts
        # One more than was seen: two runs differ a little.
        for number in range(1, max(counts[call].values()) + 2)
    ]


def inject(point: Point, fault: str) -> list[str]:
    """``fault``: ``signal=KILL`` or ``error=ENOSPC``."""
    return strace(
        "-o",
        "/dev/null",
        "-e",
        _trace([point.call]),
        "-e",
        f"inject={point.call}:{fault}:when={point.number}",
    )


def sampled(points: Sequence[_T], chooser: random.Random, part: float) -> list[_T]:
    """That part of the points, at least one, in their order."""
    count = min(len(points), max(1, round(len(points) * part)))
    chosen = set(chooser.sample(range(len(points)), count))
    return [point for index, point in enumerate(points) if index in chosen]


def killed_at(number: int) -> list[str]:
    """The beginning of a command line: Python's own list of what changes files, counted over all threads.

    strace counts each thread for itself: it never comes to the few calls of a thread beside a busy one.
    """
    return [sys.executable, "-c", _KILLER, str(number)]


def count_changes(pybuild: Pybuild, words: Sequence[str | Path]) -> int:
    """How many numbers ``killed_at`` has."""
    return int(pybuild(*words, instead=killed_at(0)).out.rpartition("changes:")[2])
