"""Root of one's own: a user namespace in which an ordinary user is root, with the ids that the system lends.

The whole command moves into it, before it has any thread: what it unpacks, mounts and runs then belongs to
ids of the user, and everything else of pybuild is as it is for root. Outside, root is the caller and the
other ids are those that /etc/subuid and /etc/subgid give the caller (subuid(5), newuidmap(1)).
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.sandbox import syscalls

PROGRAMS = ("newuidmap", "newgidmap")


class IdRange(NamedTuple):
    """``size`` ids from ``inside`` on, which are those from ``outside`` on beyond the namespace."""

    inside: int
    outside: int
    size: int


class NotMapped(Exception):
    """Subordinate ids cannot be had; the text says why, ``hint`` what would help."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class MappingRefused(PybuildError):
    """The namespace is there, and the system refuses the ids for it."""

    kind = Kind.DENIED
    code = "mapping-refused"


class Maps(NamedTuple):
    """What the ids of a namespace are to be."""

    users: list[IdRange]
    groups: list[IdRange]


def maps_of(uid: int, gid: int, *, files: Path = Path("/etc")) -> Maps:
    """For a user, if all is there that makes them. Raises NotMapped."""
    name = _user_name(uid)
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise NotMapped(f"{program} is not installed", "install the package uidmap, or shadow-utils")
    users, groups = subordinate(files / "subuid", name, uid), subordinate(files / "subgid", name, uid)
    return Maps(mapping(uid, users), mapping(gid, groups))


def enter(maps: Maps) -> None:
    """Become root of a namespace of one's own; the process must have one thread.

    Raises NotMapped where namespaces are not allowed, and nothing has changed then; MappingRefused, after
    which this process has no ids and can only end.
    """
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        _map_parent(ready, go, maps)
    os.close(ready)
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    except OSError as error:
        os.close(go)
        os.waitpid(child, 0)
        raise NotMapped(f"user namespaces are not allowed here: {error.strerror}", _allow_hint()) from error
    os.write(go, b"!")
    os.close(go)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise MappingRefused(
            f"{PROGRAMS[code == 2]} refuses the ids of this user",
            hint="its message is above; look at the lines of the user in /etc/subuid and /etc/subgid",
        )


def subordinate(file: Path, name: str, uid: int) -> list[tuple[int, int]]:
    """First id and count of what the system lends. Raises NotMapped if that is nothing."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        lines = []
    found = []
    for line in lines:
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if owner in (name, str(uid)) and first.isdecimal() and count.isdecimal() and int(count):
            found.append((int(first), int(count)))
    if not found:
        raise NotMapped(
            f"{file} lends {name} no ids",
            f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}",
        )
    return found


def mapping(own: int, lent: Sequence[tuple[int, int]]) -> list[IdRange]:
    """0 is the caller, and what is lent follows without a gap."""
    ranges = [IdRange(0, own, 1)]
    for first, count in lent:
        ranges.append(IdRange(ranges[-1].inside + ranges[-1].size, first, count))
    return ranges


def _map_parent(ready: int, go: int, maps: Maps) -> None:
    """In a process that stayed outside: the programs look up what its user may map."""
    code = 3
    try:
        os.close(go)
        if os.read(ready, 1):
            code = 0
            for number, (program, ranges) in enumerate(zip(PROGRAMS, maps, strict=True), 1):
                arguments = [program, str(os.getppid())]
                arguments += [str(value) for each in ranges for value in each]
                pid = os.posix_spawnp(program, arguments, {})
                if os.waitpid(pid, 0)[1]:
                    code = number
                    break
    finally:
        os._exit(code)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _allow_hint() -> str:
    if Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists():
        return "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for Python"
    return "as root: sysctl user.max_user_namespaces=15000"
