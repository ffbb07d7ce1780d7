"""The control group that keeps devices from steps: the launcher enters it, and every sandbox is born there.

::

    OWN/pybuild-devices-PID      of the launcher PID, below the group that pybuild itself is in

It is removed by whoever started the launcher. One that a killed launcher left is empty, and the next launcher
removes it.
"""

from __future__ import annotations

import errno
import os
import stat

from builder.sandbox import devicerules, syscalls
from builder.sandbox.places import Place, find_places

_PREFIX = "pybuild-devices-"
# Character device 0:1. No driver can have major 0, so the open only tells who answers: the group that it is
# forbidden (EPERM), or nobody that there is no such device (ENXIO).
_NOWHERE = os.makedev(0, 1)


class Confinement:
    """``outside`` is the group that a process with all devices goes back to; ``program`` is -1 in v1."""

    def __init__(self, directory: str, outside: str, program: int) -> None:
        self.directory = directory
        self.outside = outside
        self.program = program


def enter() -> Confinement | None:
    """Move this process into a group of its own; None if no kind of control group can do it here."""
    places = list(find_places())
    v1 = [place for place in places if "devices" in place.controllers]
    for place in (*v1, *(place for place in places if place.is_v2)):
        try:
            return _enter(place)
        except OSError:
            continue  # read-only, not delegated, or the kernel was built without it
    return None


def forbid(program: int, group: int) -> None:
    """The rules for a group of v2, by descriptors of both; raises OSError."""
    syscalls.bpf_attach(group, program)


def is_forbidden(directory: int) -> bool:
    """Whether this process may not open a device that no rule names; ``directory`` allows devices."""
    try:
        os.mknod(".probe", stat.S_IFCHR | 0o600, _NOWHERE, dir_fd=directory)
    except PermissionError:
        return False  # nor can the step make any
    try:
        os.close(os.open(".probe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory))
    except OSError as error:
        return error.errno == errno.EPERM
    finally:
        os.unlink(".probe", dir_fd=directory)
    return False


def join(directory: bytes | str) -> None:
    """Raises OSError."""
    _write(os.fsencode(directory) + b"/cgroup.procs", "0")  # the writer, cgroups(7)


def _enter(place: Place) -> Confinement:
    for name in os.listdir(place.own):
        pid = name.removeprefix(_PREFIX)
        if pid != name and (pid == str(os.getpid()) or not os.path.exists(f"/proc/{pid}")):
            _remove(f"{place.own}/{name}")
    directory = f"{place.own}/{_PREFIX}{os.getpid()}"
    os.mkdir(directory, 0o755)
    is_entered = False
    try:
        program = _load(directory) if place.is_v2 else _write_rules(directory)
        join(directory)
        is_entered = True
    finally:
        if not is_entered:
            _remove(directory)
    return Confinement(directory, place.own, program)


def _write_rules(directory: str) -> int:
    path = os.fsencode(directory)
    _write(path + b"/devices.deny", "a")
    for line in devicerules.lines():
        try:
            _write(path + b"/devices.allow", line)
        except PermissionError:
            continue  # more than the group above has
    return -1


def _load(directory: str) -> int:
    program = syscalls.bpf_load(devicerules.program())
    is_attached = False
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        forbid(program, group)
        is_attached = True
    finally:
        os.close(group)
        if not is_attached:
            os.close(program)
    return program


def _write(path: bytes, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _remove(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        return  # in use, or gone
