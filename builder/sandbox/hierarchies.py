"""The mounted control group hierarchies, and where in each of them this process can make groups."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from builder.sandbox.places import Place, find_places, read

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
            if needed <= set(read(f"{directory}/cgroup.subtree_control").split()):
                return directory
        failure = OSError(errno.EBUSY, "no group hands these controllers down")
        for directory in candidates:
            if not needed <= set(read(f"{directory}/cgroup.controllers").split()):
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
            if not needed <= set(read(f"{above}/cgroup.subtree_control").split()):
                _enable(above, needed)

    def inherit_cpuset(self, directory: str) -> None:
        """A new group of v1 has no processors and no memory, and takes no process until it has."""
        above = os.path.dirname(directory)
        for file in ("cpuset.mems", "cpuset.cpus"):
            if not read(f"{directory}/{file}").strip():
                if above != self.mount and not read(f"{above}/{file}").strip():
                    self.inherit_cpuset(above)
                with open(f"{directory}/{file}", "w", encoding="ascii") as stream:
                    stream.write(read(f"{above}/{file}").strip())

    def _upwards(self, directory: str) -> list[str]:
        found = [directory]
        while found[-1] != self.mount:
            found.append(os.path.dirname(found[-1]))
        return found


def find_hierarchies(*, mountinfo: str | None = None, membership: str | None = None) -> list[Hierarchy]:
    """Those that limit something; a controller belongs to v1 where that has it, else to v2.

    The texts are those of /proc/self/mountinfo and /proc/self/cgroup.
    """
    found: list[Hierarchy] = []
    unified: Place | None = None
    taken: set[str] = set()
    for place in find_places(mountinfo=mountinfo, membership=membership):
        if place.is_v2:
            unified = unified or place
        elif names := place.controllers.intersection(_CONTROLLERS) - taken:
            taken |= names
            found.append(Hierarchy(place.mount, place.own, False, names))
    if unified is not None and (names := unified.controllers.intersection(_CONTROLLERS) - taken):
        found.append(Hierarchy(unified.mount, unified.own, True, names))
    return found


def _enable(directory: str, controllers: set[str]) -> None:
    with open(f"{directory}/cgroup.subtree_control", "w", encoding="ascii") as file:
        file.write(" ".join(f"+{name}" for name in sorted(controllers)))
