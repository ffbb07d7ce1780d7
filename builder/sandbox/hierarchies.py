"""The mounted control group hierarchies, and where in each of them this process can make groups."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import NamedTuple

_CONTROLLERS = ("memory", "cpu", "cpuset", "pids")


class Hierarchy(NamedTuple):
    """One mount of cgroups; ``own`` is this process's directory below ``mount``."""

    mount: str
    own: str
    is_v2: bool
    controllers: frozenset[str]  # of those that limit something

    def below(self, parent: str) -> str:
        """The directory of a path that counts from the root; ``..`` leads nowhere."""
        parts = [part for part in parent.split("/") if part not in ("", ".", "..")]
        return os.path.join(self.mount, *parts)

    def base(self, needed: set[str]) -> str:
        """Where a group with these controllers can be made. Raises OSError.

        In v1 that is the process's own group. In v2 a group that holds processes hands no controllers down,
        so it is the nearest one above that does, or can be made to.
        """
        if not self.is_v2:
            return self.own
        candidates = self._upwards(self.own)
        for directory in candidates:
            if needed <= set(_read(f"{directory}/cgroup.subtree_control").split()):
                return directory
        failure = OSError(errno.EBUSY, "no group hands these controllers down")
        for directory in candidates:
            if not needed <= set(_read(f"{directory}/cgroup.controllers").split()):
                continue
            try:
                _enable(directory, needed)
            except OSError as error:
                failure = error
            else:
                return directory
        raise failure

    def hand_down(self, directory: str, needed: set[str]) -> None:
        """Let groups in ``directory`` have these controllers, from the root of v2 on. Raises OSError."""
        for above in reversed(self._upwards(directory)) if self.is_v2 else ():
            if not needed <= set(_read(f"{above}/cgroup.subtree_control").split()):
                _enable(above, needed)

    def inherit_cpuset(self, directory: str) -> None:
        """A new group of v1 has no processors and no memory, and takes no process until it has."""
        above = os.path.dirname(directory)
        for file in ("cpuset.mems", "cpuset.cpus"):
            if not _read(f"{directory}/{file}").strip():
                if above != self.mount and not _read(f"{above}/{file}").strip():
                    self.inherit_cpuset(above)
                with open(f"{directory}/{file}", "w", encoding="ascii") as stream:
                    stream.write(_read(f"{above}/{file}").strip())

    def _upwards(self, directory: str) -> list[str]:
        found = [directory]
        while found[-1] != self.mount:
            found.append(os.path.dirname(found[-1]))
        return found


def find_hierarchies(*, mountinfo: str | None = None, membership: str | None = None) -> list[Hierarchy]:
    """Those that limit something; a controller belongs to v1 where that has it, else to v2.

    The texts are those of /proc/self/mountinfo and /proc/self/cgroup.
    """
    mountinfo = _read("/proc/self/mountinfo") if mountinfo is None else mountinfo
    membership = _read("/proc/self/cgroup") if membership is None else membership
    paths = _paths(membership)
    found: list[Hierarchy] = []
    unified: tuple[str, str] | None = None
    taken: set[str] = set()
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        root, mount = _unescape(fields[3]), _unescape(fields[4])
        if kind[0] == "cgroup2" and unified is None:
            unified = (root, mount)
        elif kind[0] == "cgroup":
            names = {n for n in kind[2].split(",") if n in _CONTROLLERS and n in paths} - taken
            if names:
                taken |= names
                own = _inside(mount, root, paths[min(names)])
                found.append(Hierarchy(mount, own, False, frozenset(names)))
    if unified is not None and "" in paths:
        root, mount = unified
        own = _inside(mount, root, paths[""])
        names = {n for n in _read(f"{mount}/cgroup.controllers").split() if n in _CONTROLLERS} - taken
        if names:
            found.append(Hierarchy(mount, own, True, frozenset(names)))
    return found


def _enable(directory: str, controllers: set[str]) -> None:
    with open(f"{directory}/cgroup.subtree_control", "w", encoding="ascii") as file:
        file.write(" ".join(f"+{name}" for name in sorted(controllers)))


def _paths(membership: str) -> dict[str, str]:
    """Controller → the path of this process's group; "" is that of v2."""
    found = {}
    for line in membership.splitlines():
        with contextlib.suppress(ValueError):
            _, names, path = line.split(":", 2)
            found.update(dict.fromkeys(names.split(","), path))
    return found


def _inside(mount: str, root: str, path: str) -> str:
    """Where a group is seen: a container may be shown a part of the hierarchy only."""
    if root != "/":
        if path != root and not path.startswith(f"{root}/"):
            return mount
        path = path[len(root) :]
    relative = path.strip("/")
    if ".." in relative.split("/"):
        return mount
    return os.path.join(mount, relative) if relative else mount


def _unescape(text: str) -> str:
    r"""Of mountinfo, proc(5): \040 is a blank."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
