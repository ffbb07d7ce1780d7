"""Control groups: where this process may make some (v1, v2 or both), and one for each limited program.

::

    BASE/pybuild-OWNER-N         the group of one program, in each hierarchy that limits it
    RECORDS/OWNER                the bases that a process has used, one a line; its owner holds a flock

A record is written before the first group is made. Whoever finds one whose lock is free (its owner was
killed) empties and removes the groups that it tells of.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.core.limits import InvalidLimit, Limits
from builder.sandbox.hierarchies import Hierarchy, find_hierarchies

_PERIOD_US = 100_000
_NANO = 1_000_000_000


class CgroupUnusable(PybuildError):
    """A --cgroup-parent that no group can be made in."""

    kind = Kind.DENIED
    code = "cgroup-unusable"


class Unenforced(NamedTuple):
    """A limit that this machine does not let us set: the option, and why."""

    option: str
    reason: str


class _Setting(NamedTuple):
    """What one limit writes, file → text in this order; not ``is_asked``: it only follows from another."""

    option: str
    controller: str
    files: Mapping[str, str]
    is_asked: bool = True


class Group:
    """The control groups of one program; ``directories`` are to be joined."""

    def __init__(self, limits: Limits) -> None:
        self.directories: list[str] = []
        self.unenforced: list[Unenforced] = []
        self._limits = limits
        self._memory: Hierarchy | None = None
        self._memory_directory = ""

    def memory_shortage(self) -> str | None:
        """Whether the kernel killed something in it for lack of memory: the limit and the peak, in words."""
        if self._memory is None or not self._limits.memory:
            return None
        is_v2 = self._memory.is_v2
        events = _read(self._memory_directory, "memory.events" if is_v2 else "memory.oom_control")
        kills = dict(line.partition(" ")[::2] for line in events.splitlines()).get("oom_kill", "0")
        if not kills.isdecimal() or not int(kills):
            return None
        peak = _read(self._memory_directory, "memory.peak" if is_v2 else "memory.max_usage_in_bytes").strip()
        used = f", and had {_in_words(int(peak))}" if peak.isdecimal() else ""
        return f"it may have {_in_words(self._limits.memory)} of memory{used}"

    def watch(self, hierarchy: Hierarchy, directory: str) -> None:
        """Where the kernel counts what it killed."""
        self._memory, self._memory_directory = hierarchy, directory

    def remove(self) -> None:
        """Its processes are gone, or go now. What is still busy is left to the next sweep."""
        for directory in self.directories:
            _remove(directory)


class Cgroups:
    """Makes groups for one process; ``records`` is a directory for what a killed one leaves. Thread-safe."""

    def __init__(
        self,
        records: str,
        *,
        hierarchies: Sequence[Hierarchy] | None = None,
        write: Callable[[str, str, str], None] | None = None,
    ) -> None:
        """``write(directory, file, text)`` sets what is limited, raising OSError."""
        self._records = records
        self._write = write or write_setting
        self._owner = os.urandom(6).hex()
        self._count = 0
        self._hierarchies = hierarchies
        self._record = -1
        self._bases: set[str] = set()
        self._making = threading.Lock()

    def make(self, limits: Limits, parent: str = "") -> Group:
        """``parent`` is a path below the roots of the hierarchies. Raises InvalidLimit, CgroupUnusable."""
        with self._making:
            return self._make(limits, parent)

    def _make(self, limits: Limits, parent: str) -> Group:
        if self._hierarchies is None:
            self._hierarchies = find_hierarchies()
        self._count += 1
        name = f"pybuild-{self._owner}-{self._count}"
        group = Group(limits)
        is_complete = False
        try:
            if parent:
                self._below_parent(group, parent, name)
            for hierarchy, settings, unenforced in self._by_hierarchy(limits):
                group.unenforced += unenforced
                if hierarchy is not None:
                    self._limit(group, hierarchy, settings, parent, name)
            is_complete = True
            return group
        finally:
            if not is_complete:
                group.remove()

    def close(self) -> None:
        """No group of this process is needed any more."""
        if self._record >= 0:
            _clear(os.path.join(self._records, self._owner))
            os.close(self._record)
            self._record = -1

    def _by_hierarchy(
        self, limits: Limits
    ) -> Iterator[tuple[Hierarchy | None, list[_Setting], list[Unenforced]]]:
        """Each hierarchy with what is to be set in it; None: what has no hierarchy."""
        assert self._hierarchies is not None
        for hierarchy in self._hierarchies:
            wanted = [
                s for s in _settings(limits, is_v2=hierarchy.is_v2) if s.controller in hierarchy.controllers
            ]
            if wanted:
                yield hierarchy, wanted, []
        known = {name for hierarchy in self._hierarchies for name in hierarchy.controllers}
        reason = "this machine has no control groups for it"
        missing = [
            s.option for s in _settings(limits, is_v2=True) if s.is_asked and s.controller not in known
        ]
        yield None, [], [Unenforced(option, reason) for option in missing]

    def _limit(
        self, group: Group, hierarchy: Hierarchy, settings: list[_Setting], parent: str, name: str
    ) -> None:
        try:
            needed = {setting.controller for setting in settings}
            base = hierarchy.below(parent) if parent else hierarchy.base(needed)
            if parent:
                hierarchy.hand_down(base, needed)
            directory = os.path.join(base, name)
            self._note(base)
            if directory not in group.directories:
                _make(hierarchy, directory)
                group.directories.append(directory)
        except OSError as error:
            reason = f"no control group can be made: {_why(error)}"
            group.unenforced += [
                Unenforced(setting.option, reason) for setting in settings if setting.is_asked
            ]
            return
        for setting in settings:
            if setting.controller == "memory":
                group.watch(hierarchy, directory)
            try:
                for file, text in setting.files.items():
                    self._write(directory, file, text)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ERANGE, errno.ENOSPC):
                    raise InvalidLimit(
                        f"{setting.option}: the kernel refuses this value",
                        hint="it may be more than this machine has, or the control group that pybuild is in",
                    ) from error
                if setting.is_asked:
                    group.unenforced.append(Unenforced(setting.option, _why(error)))

    def _below_parent(self, group: Group, parent: str, name: str) -> None:
        """A group below ``parent`` everywhere, for whoever looks after the limits set there."""
        assert self._hierarchies is not None
        if not self._hierarchies:
            raise CgroupUnusable(
                f'--cgroup-parent "{parent}": this machine shows no control groups',
                hint="mount them on /sys/fs/cgroup, or leave the option out",
            )
        for hierarchy in self._hierarchies:
            base = hierarchy.below(parent)
            try:
                self._note(base)
                _make(hierarchy, os.path.join(base, name))
            except OSError as error:
                raise CgroupUnusable(
                    f'--cgroup-parent "{parent}": no control group can be made there: {_why(error)}'
                ) from error
            group.directories.append(os.path.join(base, name))

    def _note(self, base: str) -> None:
        if base in self._bases:
            return
        while self._record < 0:
            os.makedirs(self._records, mode=0o700, exist_ok=True)
            path = os.path.join(self._records, self._owner)
            record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(record, fcntl.LOCK_EX)
            if os.fstat(record).st_nlink:
                self._record = record
            else:
                os.close(record)  # a sweep took it between open and flock
        os.write(self._record, os.fsencode(f"{base}\n"))
        self._bases.add(base)


def sweep(records: str) -> None:
    """Remove the groups of processes that are gone, and what still runs in them."""
    for owner in os.listdir(records):
        path = os.path.join(records, owner)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _clear(path)
            except BlockingIOError:
                continue  # its owner lives
            finally:
                os.close(lock)


def _clear(path: str) -> None:
    """Remove the groups that a record tells of, and then the record; the caller holds its lock."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        bases = file.read().splitlines()
    pattern = f"pybuild-{os.path.basename(path)}-*"
    found = [directory for base in bases for directory in glob.glob(os.path.join(glob.escape(base), pattern))]
    left = [directory for directory in found if not _remove(directory)]
    if not left:
        os.unlink(path)


def _settings(limits: Limits, *, is_v2: bool) -> Iterator[_Setting]:
    memory, swap = limits.memory, limits.memory_swap
    if memory and is_v2:
        yield _Setting("--memory", "memory", {"memory.max": str(memory)})
        total = "max" if swap < 0 else str(swap - memory if swap else memory)
        yield _Setting("--memory-swap", "memory", {"memory.swap.max": total}, bool(swap))
    elif memory:
        yield _Setting("--memory", "memory", {"memory.limit_in_bytes": str(memory)})
        total = str(-1 if swap < 0 else swap or 2 * memory)
        yield _Setting("--memory-swap", "memory", {"memory.memsw.limit_in_bytes": total}, bool(swap))
    if limits.nano_cpus or limits.cpu_quota or limits.cpu_period:
        option = "--cpus" if limits.nano_cpus else "--cpu-quota" if limits.cpu_quota else "--cpu-period"
        period = limits.cpu_period or _PERIOD_US
        quota = limits.cpu_quota or limits.nano_cpus * period // _NANO
        files = {"cpu.cfs_period_us": str(period), "cpu.cfs_quota_us": str(quota or -1)}
        yield _Setting(option, "cpu", {"cpu.max": f"{quota or 'max'} {period}"} if is_v2 else files)
    if limits.cpu_shares:
        shares = min(max(limits.cpu_shares, 2), 262_144)
        # runc's conversion: 2..262144 of v1 becomes 1..10000.
        weight = str(1 + (shares - 2) * 9999 // 262_142)
        files = {"cpu.weight": weight} if is_v2 else {"cpu.shares": str(shares)}
        yield _Setting("--cpu-shares", "cpu", files)
    if limits.cpuset_cpus:
        yield _Setting("--cpuset-cpus", "cpuset", {"cpuset.cpus": limits.cpuset_cpus})
    if limits.cpuset_mems:
        yield _Setting("--cpuset-mems", "cpuset", {"cpuset.mems": limits.cpuset_mems})
    if limits.pids:
        yield _Setting("--pids-limit", "pids", {"pids.max": str(limits.pids)})


def _make(hierarchy: Hierarchy, directory: str) -> None:
    """Raises OSError."""
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    os.mkdir(directory)
    if not hierarchy.is_v2 and "cpuset" in hierarchy.controllers:
        hierarchy.inherit_cpuset(directory)


def _remove(directory: str) -> bool:
    """Kill what runs in it, and remove it with all groups below; whether it is gone."""
    groups = [path for path, _, _ in os.walk(directory)]
    for path in reversed(groups):
        for pid in _read(path, "cgroup.procs").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.rmdir(path)
    return not os.path.exists(directory)


def write_setting(directory: str, file: str, text: str) -> None:
    """Into a file of the kernel's; never makes one. Raises OSError."""
    fd = os.open(os.path.join(directory, file), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _read(directory: str, file: str) -> str:
    try:
        with open(os.path.join(directory, file), encoding="utf-8") as stream:
            return stream.read()
    except OSError:
        return ""


def _why(error: OSError) -> str:
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "the control groups are not writable here"
    if error.errno == errno.EBUSY:
        return "processes are in the way in the only group that could hold one"
    if error.errno == errno.ENOENT:
        return "the kernel was built without it"
    return (error.strerror or str(error)).lower()


def _in_words(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB".replace(".0 ", " ")
