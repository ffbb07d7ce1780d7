"""The sandbox's own /dev."""

from __future__ import annotations

import errno
import os
import stat

from builder.sandbox import mounting, syscalls

# Linux Documentation/admin-guide/devices.txt; the set of the OCI runtime specification.
_NODES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_DIRECTORIES = ("pts", "shm", "mqueue")
# What BuildKit adds for `RUN --security=insecure`, where the host has it.
_PRIVILEGED = ("kmsg", "cuse", "fuse", "kvm", "loop-control", "net/tun")

_NOSUID, _NODEV, _NOEXEC = (
    syscalls.MOUNT_ATTR_NOSUID,
    syscalls.MOUNT_ATTR_NODEV,
    syscalls.MOUNT_ATTR_NOEXEC,
)


NODES = tuple(name for name, _, _ in _NODES)


class Devices:
    """Detached mounts for /dev and what is mounted below it: (path, descriptor) in the order of attaching."""

    def __init__(self) -> None:
        self.mounts: list[tuple[bytes, int]] = []

    def prepare(self, *, is_privileged: bool, terminal: int, shm_size: int) -> None:
        """Before pivot_root; ``terminal`` is the descriptor that becomes /dev/console, -1 for none."""
        dev = mounting.filesystem(b"tmpfs", (b"mode=755", b"size=65536k"), _NOSUID)
        self.mounts.append((b"/dev", dev))
        for name, major, minor in _NODES:
            self._node(dev, name, os.makedev(major, minor))
        for name, text in _LINKS:
            os.symlink(text, name, dir_fd=dev)
        for name in _DIRECTORIES:
            os.mkdir(name, 0o755, dir_fd=dev)
        if is_privileged:
            self._host_nodes(dev)
        pts = (b"newinstance", b"ptmxmode=0666", b"mode=0620", b"gid=5")
        self.mounts.append((b"/dev/pts", mounting.filesystem(b"devpts", pts, _NOSUID | _NOEXEC)))
        flags = _NOSUID | _NODEV | _NOEXEC
        shm = (b"mode=1777", b"size=%d" % shm_size)
        self.mounts.append((b"/dev/shm", mounting.filesystem(b"tmpfs", shm, flags)))
        try:
            self.mounts.append((b"/dev/mqueue", mounting.filesystem(b"mqueue", (), flags)))
        except OSError as error:
            if error.errno != errno.ENODEV:  # a kernel without POSIX message queues
                raise
        if terminal >= 0:
            self._console(dev, terminal)

    def _node(self, dev: int, name: str, device: int, mode: int = 0o666) -> None:
        try:
            os.mknod(name, stat.S_IFCHR | mode, device, dir_fd=dev)
        except PermissionError:
            # No privilege for device nodes: the host's own is shown instead.
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=dev))
            path = b"/dev/" + name.encode()
            self.mounts.append((path, syscalls.open_tree(path, is_recursive=False)))

    def _host_nodes(self, dev: int) -> None:
        names = sorted(os.listdir("/dev"))
        loops = (name for name in names if name.startswith("loop") and name[4:].isdecimal())
        for name in (*_PRIVILEGED, *loops):
            try:
                status = os.stat(f"/dev/{name}")
            except FileNotFoundError:
                continue
            if not stat.S_ISCHR(status.st_mode) and not stat.S_ISBLK(status.st_mode):
                continue
            if "/" in name:
                os.mkdir(name.partition("/")[0], 0o755, dir_fd=dev)
            os.mknod(name, stat.S_IFMT(status.st_mode) | 0o660, status.st_rdev, dir_fd=dev)

    def _console(self, dev: int, terminal: int) -> None:
        """The pty itself lies in the caller's devpts; programs find the terminal's name by /dev/console."""
        path = os.readlink(f"/proc/self/fd/{terminal}").encode()
        try:
            clone = syscalls.open_tree(path, is_recursive=False)
        except FileNotFoundError:
            return  # of a devpts that is not mounted here
        if os.fstat(clone).st_rdev != os.fstat(terminal).st_rdev:
            os.close(clone)
            return
        os.close(os.open("console", os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=dev))
        self.mounts.append((b"/dev/console", clone))
