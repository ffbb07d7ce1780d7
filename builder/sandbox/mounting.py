"""Makes detached mounts: file systems, overlays and clones of trees, as descriptors to be attached later."""

from __future__ import annotations

import errno
import os

from builder.sandbox import syscalls

_ATTRIBUTES = {
    "ro": syscalls.MOUNT_ATTR_RDONLY,
    "nosuid": syscalls.MOUNT_ATTR_NOSUID,
    "nodev": syscalls.MOUNT_ATTR_NODEV,
    "noexec": syscalls.MOUNT_ATTR_NOEXEC,
    "rw": 0,
}
# What would put marks into the upper directory that a layer cannot express, or cost time for nothing. A kernel
# that does not know one of them does not do it either.
_OVERLAY_SETTINGS = (
    ("redirect_dir", "nofollow"),
    ("metacopy", "off"),
    ("index", "off"),
    ("xino", "off"),
)
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SPARE_DESCRIPTORS = 64


def filesystem(kind: str, options: tuple[str, ...] = (), attributes: int = 0) -> int:
    """A new instance of a file system; ``options`` are ``key=value`` or flags of that file system."""
    fs = syscalls.fsopen(kind.encode())
    try:
        for option in options:
            _configure(fs, option)
        return _finish(fs, attributes)
    finally:
        os.close(fs)


def tmpfs(options: tuple[str, ...]) -> int:
    """``ro``, ``nosuid``, ``nodev`` and ``noexec`` are the mount's, the rest is the file system's."""
    attributes = sum({_ATTRIBUTES[option] for option in options if option in _ATTRIBUTES})
    return filesystem("tmpfs", tuple(o for o in options if o not in _ATTRIBUTES), attributes)


def bind(source: bytes, options: tuple[str, ...]) -> int:
    """A clone of the tree at ``source``, with everything mounted below it if ``rec`` is an option."""
    is_recursive = "rec" in options
    attributes = 0
    for option in options:
        if option != "rec" and option not in _ATTRIBUTES:
            raise OSError(errno.EINVAL, f"unknown bind option {option}")
        attributes |= _ATTRIBUTES.get(option, 0)
    fd = syscalls.open_tree(source, is_recursive=is_recursive)
    if attributes:
        syscalls.mount_setattr(fd, attributes, is_recursive=is_recursive)
    return fd


def overlay(options: tuple[str, ...]) -> int:
    """An overlay of ``lowerdir+=`` directories, top first; read-only without an ``upperdir=``."""
    lowers = [os.fsencode(o.removeprefix("lowerdir+=")) for o in options if o.startswith("lowerdir+=")]
    places = dict(o.split("=", 1) for o in options if o.startswith(("upperdir=", "workdir=")))
    others = tuple(o for o in options if not o.startswith(("lowerdir+=", "upperdir=", "workdir=")) and o != "sync")
    if not lowers:
        raise OSError(errno.EINVAL, "an overlay needs a lower directory")
    if not places and len(lowers) == 1:
        return bind(lowers[0], ("ro",))  # overlayfs wants two lower directories if there is no upper
    if places and "sync" not in options:
        others = ("volatile", *others)
        _forget_volatile(os.fsencode(places["workdir"]))
    limit = _allow_descriptors(len(lowers))
    # Directories are named by descriptor numbers below /proc/self/fd. A path may be longer than the 255 bytes of
    # fsconfig(2), hold a colon or a comma, and all of them together are longer than the page of mount(2).
    os.chdir("/proc/self/fd")
    fds = [os.open(path, _DIRECTORY) for path in (*map(os.fsencode, places.values()), *lowers)]
    try:
        names = [f"{key}={fd}" for key, fd in zip(places, fds, strict=False)]
        numbers = fds[len(places) :]
        try:
            return _overlay(names, numbers, others)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EINVAL):
                raise
            return legacy_overlay(names, numbers, others)
    finally:
        for fd in fds:
            os.close(fd)
        os.chdir("/")
        _restore_descriptors(limit)


def _overlay(places: list[str], lowers: list[int], others: tuple[str, ...]) -> int:
    fs = syscalls.fsopen(b"overlay")
    try:
        for fd in lowers:
            syscalls.fsconfig_string(fs, b"lowerdir+", str(fd).encode())  # Linux 6.7
        for place in places:
            _configure(fs, place)
        for key, value in _OVERLAY_SETTINGS:
            _try(fs, f"{key}={value}")
        for option in others:
            if option == "volatile":
                _try(fs, option)
            else:
                _configure(fs, option)
        return _finish(fs, 0)
    finally:
        os.close(fs)


def legacy_overlay(places: list[str], lowers: list[int], others: tuple[str, ...]) -> int:
    """By mount(2), for kernels that do not know ``lowerdir+``; the working directory is /proc/self/fd."""
    needed = [f"lowerdir={':'.join(map(str, lowers))}", *places, *(o for o in others if o != "volatile")]
    wanted = [f"{key}={value}" for key, value in _OVERLAY_SETTINGS] + [o for o in others if o == "volatile"]
    # Any directory will do: the mount is cloned and taken off again at once.
    place = b"/dev"
    try:
        syscalls.mount(b"overlay", place, b"overlay", 0, ",".join(needed + wanted).encode())
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        syscalls.mount(b"overlay", place, b"overlay", 0, ",".join(needed).encode())
    fd = syscalls.open_tree(place, is_recursive=False)
    syscalls.umount2(place, syscalls.MNT_DETACH)
    return fd


def _configure(fs: int, option: str) -> None:
    key, separator, value = option.partition("=")
    try:
        if separator:
            syscalls.fsconfig_string(fs, key.encode(), os.fsencode(value))
        else:
            syscalls.fsconfig_flag(fs, key.encode())
    except OSError as error:
        raise _explained(error, fs, option) from error


def _try(fs: int, option: str) -> None:
    try:
        _configure(fs, option)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _finish(fs: int, attributes: int) -> int:
    try:
        syscalls.fsconfig_create(fs)
    except OSError as error:
        raise _explained(error, fs, "") from error
    return syscalls.fsmount(fs, attributes)


def _explained(error: OSError, fs: int, option: str) -> OSError:
    """The error with what the kernel says about it, which a read of the context gives."""
    said = []
    while True:
        try:
            said.append(os.read(fs, 4096).decode("utf-8", "replace").strip().partition(" ")[2])
        except OSError:  # ENODATA: that was all
            break
    text = ": ".join(part for part in (error.strerror, option, *said) if part)
    return OSError(error.errno, text)


def _forget_volatile(workdir: bytes) -> None:
    """Allow a second mount of an upper directory.

    A volatile overlay leaves a mark, so that nobody uses an upper after a crash; what a crash did is found out
    by other means here.
    """
    try:
        os.rmdir(os.path.join(workdir, b"work/incompat/volatile"))
    except (FileNotFoundError, NotADirectoryError):
        return


def _allow_descriptors(count: int) -> tuple[int, int] | None:
    """Raise the soft limit if ``count`` more descriptors may not fit; returns the old limits then."""
    if count + _SPARE_DESCRIPTORS < 200:
        return None
    import resource

    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (old[1], old[1]))
    return old


def _restore_descriptors(old: tuple[int, int] | None) -> None:
    if old is None:
        return
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, old)
