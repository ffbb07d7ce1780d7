"""What the child does to itself before it runs the program, as a list of operations that can be printed."""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import stat

from builder.sandbox import confinement, mounting, rootpath, syscalls
from builder.sandbox.becoming import Become, Identify, JoinGroups, ResourceLimit
from builder.sandbox.devices import NODES, Devices
from builder.sandbox.operation import Operation, Sandbox

TYPE_CHECKING = False  # importing typing takes longer than a step
if TYPE_CHECKING:
    from builder.sandbox.spec import RawMount, RawSpec

# runc's defaults as moby and BuildKit have them.
MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_NOTHING = (b"size=0k", b"mode=755")  # of a tmpfs that hides something

_NOSUID_NODEV_NOEXEC = syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOEXEC


class Root(Operation):
    """The root file system; executing it is the pivot."""

    def __init__(self, mount: RawMount) -> None:
        self.mount = mount
        self.fd = -1

    def describe(self) -> str:
        return f"make the root file system: {_describe(self.mount)}"

    def prepare(self) -> None:
        syscalls.mount(None, b"/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        self.fd = _make(self.mount)

    def execute(self, sandbox: Sandbox) -> None:
        # On top of the old root, and then in its place: no directory of the host is needed for it.
        place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        syscalls.move_mount(self.fd, place)
        os.close(place)
        os.fchdir(self.fd)
        syscalls.pivot_root(b".", b".")
        syscalls.umount2(b".", syscalls.MNT_DETACH)
        os.chdir("/")
        os.close(self.fd)


class KernelFilesystem(Operation):
    """/proc or /sys."""

    def __init__(self, kind: str, target: str, *, is_read_only: bool = False) -> None:
        self.kind = kind
        self.target = target
        self.is_read_only = is_read_only
        self.fd = -1
        self.hidden = b""

    def describe(self) -> str:
        return f"mount {self.kind} on {self.target}{' (ro)' if self.is_read_only else ''}"

    def prepare(self) -> None:
        read_only = syscalls.MOUNT_ATTR_RDONLY if self.is_read_only else 0
        try:
            self.fd = mounting.filesystem(self.kind.encode(), (), _NOSUID_NODEV_NOEXEC | read_only)
        except PermissionError:
            if self.kind != "sysfs":
                raise
            # A user's own root may mount it only with a network of its own: it shows the devices of one.
            self.fd = syscalls.open_tree(b"/sys", is_recursive=True)
            syscalls.mount_setattr(self.fd, _NOSUID_NODEV_NOEXEC | read_only, is_recursive=True)
            self.hidden = b"/sys/fs/cgroup"

    def execute(self, sandbox: Sandbox) -> None:
        _attach_plainly(self.fd, self.target, sandbox)
        if self.hidden:
            place = os.open(self.hidden, os.O_PATH | os.O_CLOEXEC)
            syscalls.move_mount(mounting.filesystem(b"tmpfs", _NOTHING, syscalls.MOUNT_ATTR_RDONLY), place)
            os.close(place)
        if self.kind == "proc":
            place = os.open(self.target, os.O_PATH | os.O_CLOEXEC)
            if syscalls.statfs_type(place) != syscalls.PROC_SUPER_MAGIC:
                raise OSError(errno.EINVAL, "is not the process file system", self.target)
            os.close(place)


class Dev(Operation):
    """/dev and what belongs below it."""

    def __init__(self, *, is_privileged: bool, is_confined: bool, is_terminal: bool, shm_size: int) -> None:
        self.is_privileged = is_privileged
        self.is_confined = is_confined
        self.has_group = False
        self.is_terminal = is_terminal
        self.shm_size = shm_size
        self.devices = Devices()

    def describe(self) -> str:
        return f"mount /dev, /dev/pts, /dev/shm, /dev/mqueue{' and /dev/console' if self.is_terminal else ''}"

    def prepare(self) -> None:
        terminal = 0 if self.is_terminal else -1
        self.devices.prepare(is_privileged=self.is_privileged, terminal=terminal, shm_size=self.shm_size)
        # Believed only when seen: another group may have been joined since the launcher entered its own.
        self.has_group = self.is_confined and confinement.is_forbidden(self.devices.mounts[0][1])

    def execute(self, sandbox: Sandbox) -> None:
        (path, dev), *others = self.devices.mounts
        _attach_plainly(dev, path.decode(), sandbox)
        sandbox.has_device_group = self.has_group
        if not self.is_privileged and not self.has_group:
            # CAP_MKNOD is among Docker's capabilities, and without a device cgroup behind it a node that a
            # step makes must not open. Ours stay usable as mounts of their own over a bare /dev.
            shown = {path for path, _ in others}
            nodes = [b"/dev/" + name.encode() for name in NODES]
            others += [(n, syscalls.open_tree(n, is_recursive=False)) for n in nodes if n not in shown]
            _forbid_devices("/dev")
        for path, fd in others:
            place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            syscalls.move_mount(fd, place)
            os.close(place)
        sandbox.null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


class ExtraMount(Operation):
    """A bind, tmpfs or overlay that the caller asked for."""

    def __init__(self, mount: RawMount, *, is_privileged: bool) -> None:
        self.mount = mount
        self.is_privileged = is_privileged
        self.fd = -1

    def describe(self) -> str:
        return f"mount {_describe(self.mount)} on {os.fsdecode(self.mount[2])}"

    def prepare(self) -> None:
        self.fd = _make(self.mount)

    def execute(self, sandbox: Sandbox) -> None:
        is_directory = stat.S_ISDIR(os.fstat(self.fd).st_mode)
        if not self.is_privileged and not sandbox.has_device_group:
            syscalls.mount_setattr(self.fd, syscalls.MOUNT_ATTR_NODEV, is_recursive=is_directory)
        place = rootpath.open_target(self.mount[2], sandbox.stubs, is_directory=is_directory)
        syscalls.move_mount(self.fd, place)
        os.close(place)


class SecretFile(ExtraMount):
    """A file of bytes that came beside the spec."""

    def __init__(self, mount: RawMount, data: bytes, *, is_privileged: bool) -> None:
        super().__init__(mount, is_privileged=is_privileged)
        self.data = data

    def prepare(self) -> None:
        self.fd = mounting.secret(self.data, self.mount[3])


class Masks(Operation):
    """Hides what a container must not read, and write-protects what it may."""

    def describe(self) -> str:
        return f"mask {' '.join(MASKED_PATHS)}; make read-only {' '.join(READ_ONLY_PATHS)}"

    def execute(self, sandbox: Sandbox) -> None:
        empty = b""  # the first masked directory, once there is one
        for path in MASKED_PATHS:
            try:
                place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not stat.S_ISDIR(os.fstat(place).st_mode):
                mask = syscalls.open_tree(b"/dev/null", is_recursive=False)
            elif empty:
                mask = syscalls.open_tree(empty, is_recursive=False)
            else:
                mask = mounting.filesystem(b"tmpfs", _NOTHING, syscalls.MOUNT_ATTR_RDONLY)
                empty = path.encode()
            syscalls.move_mount(mask, place)
        for path in READ_ONLY_PATHS:
            try:
                clone = syscalls.open_tree(path.encode(), is_recursive=True)
            except FileNotFoundError:
                continue
            syscalls.mount_setattr(clone, syscalls.MOUNT_ATTR_RDONLY, is_recursive=True)
            place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            syscalls.move_mount(clone, place)


class WorkingDirectory(Operation):
    """The directory that the program starts in, made when missing."""

    def __init__(self, path: bytes) -> None:
        self.path = path

    def describe(self) -> str:
        return f'change to the working directory "{os.fsdecode(self.path)}"'

    def execute(self, sandbox: Sandbox) -> None:
        place = rootpath.open_directory(self.path)
        os.fchdir(place)
        os.close(place)
        # The kernel's word that this is inside: it has no path for what is not, and getcwd fails.
        os.getcwd()


class NoDevices(Operation):
    """Device nodes on the root file system do not open, unless a group decides about them; see Dev."""

    def describe(self) -> str:
        return "let no device node of the root file system open, unless a control group decides"

    def execute(self, sandbox: Sandbox) -> None:
        if not sandbox.has_device_group:
            _forbid_devices("/")


def _forbid_devices(path: str) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    syscalls.mount_setattr(place, syscalls.MOUNT_ATTR_NODEV, is_recursive=False)
    os.close(place)


class ReadOnlyRoot(Operation):
    """Write-protects the root once every mount point is there."""

    def describe(self) -> str:
        return "make the root file system read-only"

    def execute(self, sandbox: Sandbox) -> None:
        place = os.open("/", os.O_PATH | os.O_CLOEXEC)
        syscalls.mount_setattr(place, syscalls.MOUNT_ATTR_RDONLY, is_recursive=False)
        os.close(place)


class Hostname(Operation):
    """The name in the sandbox's own UTS namespace."""

    def __init__(self, name: str) -> None:
        self.name = name

    def describe(self) -> str:
        return f'set the hostname "{self.name}"'

    def execute(self, sandbox: Sandbox) -> None:
        _socket.sethostname(self.name)


class Loopback(Operation):
    """Brings up ``lo``, the only interface of a network namespace of its own."""

    def describe(self) -> str:
        return "bring up the loopback interface"

    def execute(self, sandbox: Sandbox) -> None:
        # struct ifreq of linux/if.h: a name of 16 bytes, then the flags; the kernel wants 40 bytes.
        get_flags, set_flags, is_up = 0x8913, 0x8914, 1
        sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        request = bytearray(fcntl.ioctl(sock.fileno(), get_flags, b"lo".ljust(40, b"\0")))
        request[16] |= is_up
        fcntl.ioctl(sock.fileno(), set_flags, bytes(request))
        sock.close()


class CgroupTree(Operation):
    """The host's control groups, to be written, for a privileged program."""

    def __init__(self) -> None:
        self.fd = -1

    def describe(self) -> str:
        return "mount the host's control groups on /sys/fs/cgroup"

    def prepare(self) -> None:
        self.fd = syscalls.open_tree(b"/sys/fs/cgroup", is_recursive=True)

    def execute(self, sandbox: Sandbox) -> None:
        place = os.open("/sys/fs/cgroup", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        syscalls.move_mount(self.fd, place)
        os.close(place)


def plan(spec: RawSpec) -> list[Operation]:
    """The operations for one process, in order."""
    is_privileged = spec["is_privileged"]
    program = -1 if is_privileged else spec["device_program"]
    joins = [JoinGroups(spec["cgroups"], program)] if spec["cgroups"] else []
    operations: list[Operation] = [
        *joins,
        Root(spec["mounts"][0]),
        KernelFilesystem("proc", "/proc"),
        KernelFilesystem("sysfs", "/sys", is_read_only=not is_privileged),
        Dev(
            is_privileged=is_privileged,
            is_confined=spec["is_confined"],
            is_terminal=spec["is_terminal"],
            shm_size=spec["shm_size"],
        ),
    ]
    if is_privileged:
        if os.path.isdir("/sys/fs/cgroup"):
            operations.append(CgroupTree())
    else:
        # Before any mount of the user: one on /dev would choose what the masks are made of.
        operations += [NoDevices(), *([Masks()] if spec["are_paths_masked"] else [])]
    operations += (_extra(mount, spec) for mount in spec["mounts"][1:])
    operations.append(WorkingDirectory(spec["cwd"]))
    if spec["is_read_only"]:
        operations.append(ReadOnlyRoot())
    operations.append(Hostname(spec["hostname"]))
    if spec["network"] == "none":
        operations.append(Loopback())
    operations.append(Identify(spec["user"]))
    operations += (ResourceLimit(*limit) for limit in spec["rlimits"])
    operations.append(
        Become(
            spec["user"],
            is_privileged=is_privileged,
            filter_program=spec["filter_program"],
            has_no_new_privileges=spec["has_no_new_privileges"],
        )
    )
    return operations


def _extra(mount: RawMount, spec: RawSpec) -> ExtraMount:
    is_privileged, secrets = spec["is_privileged"], spec["secrets"]
    if mount[0] != "secret":
        return ExtraMount(mount, is_privileged=is_privileged)
    # A spec that was written down has none of them.
    number = int(mount[1])
    data = secrets[number] if number < len(secrets) else b""
    return SecretFile(mount, data, is_privileged=is_privileged)


def _make(mount: RawMount) -> int:
    kind, source, _, options = mount
    if kind == "overlay":
        return mounting.overlay(options)
    return mounting.bind(source, options) if kind == "bind" else mounting.tmpfs(options)


def _describe(mount: RawMount) -> str:
    kind, source, _, options = mount
    lowers = sum(option.startswith(b"lowerdir+=") for option in options)
    shown = [os.fsdecode(option) for option in options if not option.startswith(b"lowerdir+=")]
    shown += [f"{lowers} lower directories"] if lowers else []
    place = f" of {os.fsdecode(source)}" if kind == "bind" else ""
    return f"{kind}{place}" + (f" ({', '.join(shown)})" if shown else "")


def _attach_plainly(fd: int, target: str, sandbox: Sandbox) -> None:
    """On a directory of the root itself: an image whose /proc is a link would choose where it goes."""
    try:
        os.mkdir(target, 0o755)
        sandbox.stubs.append((target.encode(), 0, 0))
    except FileExistsError:
        pass
    place = os.open(target, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    mode = os.fstat(place).st_mode
    if not stat.S_ISDIR(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "no directory"
        raise OSError(errno.ENOTDIR, f"is {what} in the image and has to be a directory", target)
    syscalls.move_mount(fd, place)
    os.close(place)
