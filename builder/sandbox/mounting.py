"""Makes detached mounts: file systems, overlays and clones of trees, as descriptors to be attached later."""

from __future__ import annotations

import errno
import os
import resource

from builder.sandbox import syscalls

_ATTRIBUTES = {
    b"ro": syscalls.MOUNT_ATTR_RDONLY,
    b"nosuid": syscalls.MOUNT_ATTR_NOSUID,
    b"nodev": syscalls.MOUNT_ATTR_NODEV,
    b"noexec": syscalls.MOUNT_ATTR_NOEXEC,
    b"rw": 0,
}
# What would put marks into the upper directory that a layer cannot express, or cost time for nothing. A
# kernel that does not know one of them does not do it either.
_OVERLAY_SETTINGS = (b"redirect_dir=nofollow", b"metacopy=off", b"index=off", b"xino=off")
_LOWER = b"lowerdir+="
_SUBPATH = b"subpath="
_PLACE = b"/dev"
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SPARE_DESCRIPTORS = 64


def filesystem(kind: bytes, options: tuple[bytes, ...] = (), attributes: int = 0) -> int:
    """A new instance of a file system; ``options`` are ``key=value`` or flags of that file system."""
    fs = syscalls.fsopen(kind)
    try:
        syscalls.fsconfig_string(fs, b"source", kind)
        for option in options:
            _configure(fs, option)
        return _finish(fs, attributes)
    finally:
        os.close(fs)


def tmpfs(options: tuple[bytes, ...]) -> int:
    """``ro``, ``nosuid``, ``nodev`` and ``noexec`` are the mount's, the rest is the file system's."""
    attributes = sum({_ATTRIBUTES[option] for option in options if option in _ATTRIBUTES})
    return filesystem(b"tmpfs", tuple(o for o in options if o not in _ATTRIBUTES), attributes)


def bind(source: bytes, options: tuple[bytes, ...]) -> int:
    """A clone of the tree at ``source``, with everything mounted below it if ``rec`` is an option."""
    is_recursive = b"rec" in options
    attributes, subpath = 0, b""
    for option in options:
        if option.startswith(_SUBPATH):
            subpath = option.removeprefix(_SUBPATH)
        elif option != b"rec" and option not in _ATTRIBUTES:
            raise OSError(errno.EINVAL, f"unknown bind option {os.fsdecode(option)}")
        attributes |= _ATTRIBUTES.get(option, 0)
    fd = _clone_inside(source, subpath) if subpath else syscalls.open_tree(source, is_recursive=is_recursive)
    if attributes:
        syscalls.mount_setattr(fd, attributes, is_recursive=is_recursive)
    return fd


def _clone_inside(source: bytes, subpath: bytes) -> int:
    root = os.open(source, _DIRECTORY | os.O_NOFOLLOW)
    try:
        place = syscalls.open_inside(root, subpath)
    finally:
        os.close(root)
    try:
        return syscalls.open_tree_at(place)
    finally:
        os.close(place)


def secret(data: bytes, options: tuple[bytes, ...]) -> int:
    """A file in memory of its own, which no disk and no other process sees."""
    values = dict(option.partition(b"=")[::2] for option in options)
    mode, uid, gid = int(values[b"mode"], 8), int(values[b"uid"]), int(values[b"gid"])
    attributes = sum({_ATTRIBUTES[option] for option in options if option in _ATTRIBUTES})
    settings = (b"mode=700", b"nr_inodes=2")
    try:
        fs = filesystem(b"tmpfs", (*settings, b"noswap"))  # Linux 6.4
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fs = filesystem(b"tmpfs", settings)
    # Any directory will do: the mount is cloned from there and taken off again at once.
    place = os.open(_PLACE, _DIRECTORY)
    try:
        syscalls.move_mount(fs, place)
        try:
            file = os.open(b"secret", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fs)
            with open(file, "wb", buffering=0) as stream:
                stream.write(data)
                os.fchown(file, uid, gid)
                os.fchmod(file, mode)
            clone = syscalls.open_tree(_PLACE + b"/secret", is_recursive=False)
        finally:
            syscalls.umount2(_PLACE, syscalls.MNT_DETACH)
    finally:
        os.close(place)
        os.close(fs)
    syscalls.mount_setattr(clone, attributes, is_recursive=False)
    return clone


def overlay(options: tuple[bytes, ...]) -> int:
    """An overlay of ``lowerdir+=`` directories, top first; read-only without an ``upperdir=``.

    ``nosuid``, ``nodev`` and ``noexec`` are the mount's.
    """
    attributes = sum({_ATTRIBUTES[option] for option in options if option in _ATTRIBUTES})
    fd = _stack(tuple(option for option in options if option not in _ATTRIBUTES))
    if attributes:
        syscalls.mount_setattr(fd, attributes, is_recursive=False)
    return fd


def _stack(options: tuple[bytes, ...]) -> int:
    lowers = [option.removeprefix(_LOWER) for option in options if option.startswith(_LOWER)]
    places = [option for option in options if option.startswith((b"upperdir=", b"workdir="))]
    others = [o for o in options if o not in places and o != b"sync" and not o.startswith(_LOWER)]
    if not lowers:
        raise OSError(errno.EINVAL, "an overlay needs a lower directory")
    if not places and len(lowers) == 1:
        return bind(lowers[0], (b"ro",))  # overlayfs wants two lower directories if there is no upper
    if places and b"sync" not in options:
        others.append(b"volatile")
        _forget_volatile(places)
    limit = _allow_descriptors(len(lowers))
    # Directories are named by descriptor numbers below /proc/self/fd. A path may be longer than the 255 bytes
    # of fsconfig(2), hold a colon or a comma, and all of them may be longer than the page of mount(2).
    os.chdir("/proc/self/fd")
    fds: list[int] = []
    try:
        named = [place.partition(b"=") for place in places]
        fds += (os.open(path, _DIRECTORY) for path in (*(path for _, _, path in named), *lowers))
        places = [b"%s=%d" % (key, fd) for (key, _, _), fd in zip(named, fds, strict=False)]
        numbers = [b"%d" % fd for fd in fds[len(places) :]]
        try:
            return _overlay(numbers, places, others)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EINVAL):
                raise
            return legacy_overlay(numbers, places, others)
    finally:
        for fd in fds:
            os.close(fd)
        os.chdir("/")
        _restore_descriptors(limit)


def _overlay(lowers: list[bytes], places: list[bytes], others: list[bytes]) -> int:
    fs = syscalls.fsopen(b"overlay")
    try:
        syscalls.fsconfig_string(fs, b"source", b"overlay")
        for lower in lowers:
            syscalls.fsconfig_string(fs, b"lowerdir+", lower)  # Linux 6.7
        for option in (*places, *others):
            _configure(fs, option, is_optional=option == b"volatile")
        for setting in _OVERLAY_SETTINGS:
            _configure(fs, setting, is_optional=True)
        if not _may_use_trusted():
            _configure(fs, b"userxattr")
        return _finish(fs, 0)
    finally:
        os.close(fs)


def legacy_overlay(lowers: list[bytes], places: list[bytes], others: list[bytes]) -> int:
    """By mount(2), for kernels that do not know ``lowerdir+``; the working directory is /proc/self/fd."""
    needed = [b"lowerdir=" + b":".join(lowers), *places, *(o for o in others if o != b"volatile")]
    needed += [] if _may_use_trusted() else [b"userxattr"]
    wanted = [*_OVERLAY_SETTINGS, *(o for o in others if o == b"volatile")]
    # Any directory will do: the mount is cloned and taken off again at once.
    place = _PLACE
    try:
        syscalls.mount(b"overlay", place, b"overlay", 0, b",".join(needed + wanted))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        syscalls.mount(b"overlay", place, b"overlay", 0, b",".join(needed))
    fd = syscalls.open_tree(place, is_recursive=False)
    syscalls.umount2(place, syscalls.MNT_DETACH)
    return fd


def _may_use_trusted() -> bool:
    """Whether overlayfs can keep its marks where only root of the machine writes (trusted.*, xattr(7))."""
    with open("/proc/self/uid_map", "rb") as file:
        return file.read().split() == [b"0", b"0", b"4294967295"]


def _configure(fs: int, option: bytes, *, is_optional: bool = False) -> None:
    key, separator, value = option.partition(b"=")
    try:
        if separator:
            syscalls.fsconfig_string(fs, key, value)
        else:
            syscalls.fsconfig_flag(fs, key)
    except OSError as error:
        if not is_optional or error.errno != errno.EINVAL:
            raise _explained(error, fs, option) from error


def _finish(fs: int, attributes: int) -> int:
    try:
        syscalls.fsconfig_create(fs)
    except OSError as error:
        raise _explained(error, fs, b"") from error
    return syscalls.fsmount(fs, attributes)


def _explained(error: OSError, fs: int, option: bytes) -> OSError:
    """The error with what the kernel says about it, which a read of the context gives."""
    said = [error.strerror or "", os.fsdecode(option)]
    while True:
        try:
            said.append(os.read(fs, 4096).decode("utf-8", "replace").strip().partition(" ")[2])
        except OSError:  # ENODATA: that was all
            break
    return OSError(error.errno, ": ".join(part for part in said if part))


def _forget_volatile(places: list[bytes]) -> None:
    """Allow a second mount of an upper directory.

    A volatile overlay leaves a mark, so that nobody uses an upper after a crash; what a crash did is found
    out by other means here.
    """
    for place in places:
        key, _, path = place.partition(b"=")
        try:
            if key == b"workdir":
                os.unlink(os.path.join(path, b"work/incompat/volatile/dirty"))
                os.rmdir(os.path.join(path, b"work/incompat/volatile"))
        except (FileNotFoundError, NotADirectoryError):
            continue


def _allow_descriptors(count: int) -> tuple[int, int] | None:
    """Raise the soft limit if ``count`` more descriptors may not fit; returns the old limits then."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    if count + _SPARE_DESCRIPTORS <= old[0]:
        return None
    resource.setrlimit(resource.RLIMIT_NOFILE, (old[1], old[1]))
    return old


def _restore_descriptors(old: tuple[int, int] | None) -> None:
    if old is None:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, old)
