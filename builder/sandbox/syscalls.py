"""Linux system calls that Python lacks, under their man-page names.

Imported by the launcher, so it imports next to nothing. Every function raises OSError
with the name of the call in its message.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

# linux/mount.h, sys/mount.h
MS_RDONLY = 1
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8

# linux/sched.h
CLONE_NEWNS = 0x0002_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000
CLONE_PIDFD = 0x1000

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
_PR_SET_SECCOMP = 22

PROC_SUPER_MAGIC, CGROUP2_SUPER_MAGIC = 0x9FA0, 0x6367_7270  # linux/magic.h

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_FS_CLOEXEC = 1
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_MOVE_MOUNT_EMPTY_PATHS = 0x04 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
_CLOSE_RANGE_CLOEXEC = 4
# linux/bpf.h: commands, a type of program, where it is attached, beside other programs
_BPF_PROG_LOAD, _BPF_PROG_ATTACH = 5, 8
_BPF_PROG_TYPE_CGROUP_DEVICE, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI = 15, 6, 2
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x01, 0x02, 0x10  # linux/openat2.h
_LINUX_CAPABILITY_VERSION_3 = 0x2008_0522

# One number everywhere for calls younger than Linux 5.0. Of the old calls libc hides clone (its wrapper wants
# a stack), rt_sigaction (its wrapper refuses the two signals that libc keeps for itself), keyctl and bpf.
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 436, 437, 442
# Other architectures have another order of clone's arguments, or were never tried.
_OLD_CALLS = {
    "x86_64": (56, 13, 250, 321),
    "aarch64": (220, 134, 219, 280),
    "riscv64": (220, 134, 219, 280),
    "loongarch64": (220, 134, 219, 280),
    "ppc64le": (120, 173, 271, 361),
}
_SIGKILL, _SIGCHLD, _SIGSTOP, _LAST_SIGNAL = 9, 17, 19, 64  # on all of these

# PyDLL keeps the interpreter's lock during the call, so that clone() returns in a child that owns it.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
# A pointer-sized argument takes int, bytes, None and byref alike.
_syscall.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 5
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.pivot_root.argtypes = [ctypes.c_char_p] * 2
_libc.unshare.argtypes = [ctypes.c_int]
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
_libc.capset.argtypes = _libc.capget.argtypes = [ctypes.c_void_p] * 2
_libc.fstatfs.argtypes = [ctypes.c_int, ctypes.c_void_p]

Pointer = int | bytes | None


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def mount(
    source: bytes | None, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None
) -> None:
    _check("mount", _libc.mount(source, target, kind, flags, data))


def umount2(target: bytes, flags: int) -> None:
    _check("umount2", _libc.umount2(target, flags))


def pivot_root(new_root: bytes, put_old: bytes) -> None:
    _check("pivot_root", _libc.pivot_root(new_root, put_old))


def open_tree(path: bytes, *, is_recursive: bool) -> int:
    """A detached clone of the mount at ``path``; it goes when the descriptor is closed, unless attached."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if is_recursive else 0)
    return _call("open_tree", _OPEN_TREE, _AT_FDCWD, path, flags)


def open_tree_at(fd: int) -> int:
    """As ``open_tree``, of what an O_PATH descriptor refers to."""
    return _call("open_tree", _OPEN_TREE, fd, b"", _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH)


def open_inside(root: int, path: bytes) -> int:
    """An O_PATH descriptor of ``path`` with ``root`` as its root directory, on the same mount (Linux 5.6).

    No link and no rename leads out of it, also while others change the tree.
    """
    how = (ctypes.c_uint64 * 3)(
        os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_IN_ROOT
    )
    while True:
        try:
            return _call("openat2", _OPENAT2, root, path, ctypes.addressof(how), ctypes.sizeof(how))
        except OSError as error:
            # The kernel's way to say that a rename came between (openat2(2)).
            if error.errno != errno.EAGAIN:
                raise


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach a detached mount on what ``target_fd`` (O_PATH) refers to."""
    _call("move_mount", _MOVE_MOUNT, mount_fd, b"", target_fd, b"", _MOVE_MOUNT_EMPTY_PATHS)


def fsopen(kind: bytes) -> int:
    return _call("fsopen", _FSOPEN, kind, _FS_CLOEXEC)


def fsconfig_flag(fs_fd: int, key: bytes) -> None:
    _call("fsconfig", _FSCONFIG, fs_fd, _FSCONFIG_SET_FLAG, key, None, 0)


def fsconfig_string(fs_fd: int, key: bytes, value: bytes) -> None:
    """The kernel takes at most 255 bytes (``strndup_user`` in ``fs/fsopen.c``)."""
    _call("fsconfig", _FSCONFIG, fs_fd, _FSCONFIG_SET_STRING, key, value, 0)


def fsconfig_create(fs_fd: int) -> None:
    _call("fsconfig", _FSCONFIG, fs_fd, _FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(fs_fd: int, attributes: int) -> int:
    return _call("fsmount", _FSMOUNT, fs_fd, _FS_CLOEXEC, attributes)


def mount_setattr(mount_fd: int, attributes: int, *, is_recursive: bool) -> None:
    """Add attributes to a mount (Linux 5.12)."""
    values = _MountAttributes(set=attributes)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if is_recursive else 0)
    pointer = ctypes.addressof(values)
    _call("mount_setattr", _MOUNT_SETATTR, mount_fd, b"", flags, pointer, ctypes.sizeof(values))


def close_from(first: int, *, on_exec: bool) -> None:
    """Close every descriptor from ``first`` on, now or by the next execve (Linux 5.11)."""
    _call("close_range", _CLOSE_RANGE, first, 0xFFFF_FFFF, _CLOSE_RANGE_CLOEXEC if on_exec else 0)


def prctl(option: int, argument: int, second: int = 0) -> None:
    _check("prctl", _libc.prctl(option, argument, second, 0, 0))


def unshare(flags: int) -> None:
    _check("unshare", _libc.unshare(flags))


def capset(effective: int, permitted: int, inheritable: int) -> None:
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    sets = (effective, permitted, inheritable)
    words = (ctypes.c_uint32 * 6)(*(value >> shift & 0xFFFF_FFFF for shift in (0, 32) for value in sets))
    _check("capset", _libc.capset(header, words))


def capget() -> int:
    """The effective capabilities of the caller."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    words = (ctypes.c_uint32 * 6)()
    _check("capget", _libc.capget(header, words))
    return words[0] | words[3] << 32


def statfs_type(fd: int) -> int:
    """The magic number of the file system, ``f_type`` of fstatfs(2)."""
    # The first word of struct statfs on the machines listed above; it has 120 bytes there.
    buffer = (ctypes.c_long * 32)()
    _check("fstatfs", _libc.fstatfs(fd, buffer))
    return buffer[0]


def clone(flags: int) -> tuple[int, int]:
    """Fork with namespaces: (pid, pidfd) in the parent, (0, -1) in the child.

    For a single-threaded process only: none of Python's fork handlers runs.
    """
    pidfd = ctypes.c_int(-1)
    pid = _call(
        "clone", _number(0), flags | CLONE_PIDFD | _SIGCHLD, None, ctypes.addressof(pidfd), None, None
    )
    return pid, pidfd.value if pid else -1


def reset_signals() -> None:
    """Every signal to its default action: an ignored one would stay so over execve."""
    default = (ctypes.c_uint64 * 4)()  # struct sigaction of the kernel: SIG_DFL, no flags, empty mask
    number, action = _number(1), ctypes.addressof(default)
    for signal in range(1, _LAST_SIGNAL + 1):
        if signal not in (_SIGKILL, _SIGSTOP):
            _call("rt_sigaction", number, signal, action, None, 8)


def join_session_keyring() -> None:
    """Leave the caller's keys for an empty session keyring, if the kernel has keys and lets us."""
    keyctl_join_session_keyring = 1
    try:
        _call("keyctl", _number(2), keyctl_join_session_keyring, None)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def filter_calls(instructions: bytes) -> None:
    """struct sock_filter[] decides about every call from here on, in this process and its children."""
    mode_filter = 2
    code = ctypes.create_string_buffer(instructions)
    # struct sock_fprog: a count of 16 bits and a pointer.
    program = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(code))
    fprog = ctypes.create_string_buffer(program)
    prctl(_PR_SET_SECCOMP, mode_filter, ctypes.addressof(fprog))


def bpf_load(instructions: bytes) -> int:
    """A descriptor of a program for devices, which the kernel has checked."""
    code, license_text = ctypes.create_string_buffer(instructions), ctypes.create_string_buffer(b"")
    # The members of union bpf_attr up to expected_attach_type.
    attributes = bytearray(72)
    attributes[0:4] = _BPF_PROG_TYPE_CGROUP_DEVICE.to_bytes(4, "little")
    attributes[4:8] = (len(instructions) // 8).to_bytes(4, "little")
    attributes[8:16] = ctypes.addressof(code).to_bytes(8, "little")
    attributes[16:24] = ctypes.addressof(license_text).to_bytes(8, "little")
    attributes[68:72] = _BPF_CGROUP_DEVICE.to_bytes(4, "little")
    # The kernel sets FD_CLOEXEC itself.
    return _call("bpf", _number(3), _BPF_PROG_LOAD, bytes(attributes), len(attributes))


def bpf_attach(group_fd: int, program_fd: int) -> None:
    """Let the program decide about the devices of a control group of v2, and of those below."""
    words = (group_fd, program_fd, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI)
    attributes = b"".join(word.to_bytes(4, "little") for word in words)
    _call("bpf", _number(3), _BPF_PROG_ATTACH, attributes, len(attributes))


def _number(index: int) -> int:
    machine = os.uname().machine
    if machine not in _OLD_CALLS:
        raise OSError(errno.ENOSYS, f"sandboxes are not known for {machine}")
    return _OLD_CALLS[machine][index]


def _call(name: str, number: int, *arguments: Pointer) -> int:
    padded = (*arguments, None, None, None)[:5]
    return _check(name, _syscall(number, *padded))


def _check(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
