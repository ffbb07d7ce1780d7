"""Capabilities: names and numbers, and the set that a container starts with."""

from __future__ import annotations

import errno

from builder.sandbox import syscalls

# linux/capability.h, in the order of their numbers.
NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip

# What `docker run` gives, and BuildKit to a RUN.
DEFAULT = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
    "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip

# Without these no sandbox can be made: mounts and namespaces, the user, the bounding set.
REQUIRED = ("SYS_ADMIN", "SETUID", "SETGID", "SETPCAP")

ALL = (1 << 64) - 1  # also those of a younger kernel


def mask(names: tuple[str, ...]) -> int:
    """The bits of ``names``, as /proc/PID/status shows them."""
    return sum(1 << NAMES.index(name) for name in names)


def missing(effective: int, names: tuple[str, ...] = REQUIRED) -> tuple[str, ...]:
    """Those of ``names`` that a process with this effective set lacks, as ``CAP_…``."""
    return tuple(f"CAP_{name}" for name in names if not effective >> NAMES.index(name) & 1)


def keep(owned: int) -> None:
    """``owned`` in every set, for any user and over every execve; prctl(PR_SET_KEEPCAPS) came before."""
    syscalls.capset(owned, owned, owned)
    for number in range(owned.bit_length()):
        if owned >> number & 1:
            syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_RAISE, number)


def bound(keep: int) -> None:
    """Let no program get more than ``keep`` from now on; no capability is ambient."""
    number = 0
    while True:
        try:
            if not keep >> number & 1:
                syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
        except OSError as error:
            # Past the last capability of the running kernel; a newer one may have more than NAMES.
            if error.errno != errno.EINVAL:
                raise
            break
        number += 1
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
