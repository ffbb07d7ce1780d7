"""Where this process is in the mounted control groups. The launcher imports it, so it imports nothing."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing typing takes longer than a step
if TYPE_CHECKING:
    from collections.abc import Iterator


class Place:
    """One mount of cgroups; ``own`` is this process's directory below ``mount``."""

    __slots__ = ("controllers", "is_v2", "mount", "own")

    def __init__(self, mount: str, own: str, controllers: frozenset[str], *, is_v2: bool) -> None:
        self.mount = mount
        self.own = own
        self.controllers = controllers
        self.is_v2 = is_v2


def find_places(*, mountinfo: str | None = None, membership: str | None = None) -> Iterator[Place]:
    """In the order of the mounts. The texts are those of /proc/self/mountinfo and /proc/self/cgroup.

    The controllers of v1 are those that the mount is for; of v2 those that its root has.
    """
    mountinfo = read("/proc/self/mountinfo") if mountinfo is None else mountinfo
    membership = read("/proc/self/cgroup") if membership is None else membership
    paths = _paths(membership)
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        root, mount = _unescape(fields[3]), _unescape(fields[4])
        if kind[0] == "cgroup2" and "" in paths:
            names = frozenset(read(f"{mount}/cgroup.controllers").split())
            yield Place(mount, _inside(mount, root, paths[""]), names, is_v2=True)
        elif kind[0] == "cgroup":
            names = frozenset(name for name in kind[2].split(",") if name in paths)
            if names:
                yield Place(mount, _inside(mount, root, paths[min(names)]), names, is_v2=False)


def _paths(membership: str) -> dict[str, str]:
    """Controller → the path of this process's group; "" is that of v2."""
    found = {}
    for line in membership.splitlines():
        _, separator, rest = line.partition(":")
        names, second, path = rest.partition(":")
        if separator and second:
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


def read(path: str) -> str:
    """Empty where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
