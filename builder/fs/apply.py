"""Layer tars, turned into the upper directory of an overlay; every byte of them is taken for hostile."""

from __future__ import annotations

import errno
import os
import stat

from builder.fs.blocks import Readable
from builder.fs.layer import META_PREFIX, OPAQUE_MARKER, WHITEOUT_PREFIX, LayerStats
from builder.fs.limits import BadArchive, Limits
from builder.fs.tar import TarMember, TarReader
from builder.fs.tree import Entry, StackedTree
from builder.fs.upper import Upper, bound_time, copy_bytes, owner_error, set_metadata, xattrs_of

# The kernel's own limit (include/linux/namei.h MAXSYMLINKS).
_MAX_SYMLINKS = 40
_NODES = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}
# What the archive's own names can bring about; anything else is the host's trouble and stays an OSError.
_NAME_ERRORS = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENOENT)


def apply_layer(
    stream: Readable, directory: str, parent: StackedTree | None = None, limits: Limits | None = None
) -> LayerStats:
    """Unpack a layer tar (not compressed) into ``directory``, fresh and empty, in overlay format.

    ``parent`` is what the layer lies on. It decides where a path through a symbolic link leads, which
    metadata a directory has that the layer does not mention, what a hard link to a lower file copies up,
    and which whiteouts hide something: the others are left out, as overlayfs shows a whiteout where
    nothing is below it. The root keeps the parent's metadata; its own entry is read and not used, as in
    containerd. The stream is read to its end. After an error the directory holds rubbish.
    """
    if parent is not None and not parent.lowers:
        parent = None
    reader = TarReader(stream, limits)
    upper = Upper(directory)
    try:
        applier = _Applier(reader, upper, parent, limits or Limits())
        for member in reader:
            try:
                applier.apply(member)
            except OSError as error:
                if error.errno in _NAME_ERRORS:
                    raise BadArchive(f'cannot make "{_shown(member.name)}": {error.strerror}') from error
                raise
        applier.finish()
    finally:
        upper.close()
    reader.drain()
    return applier.stats()


class _Applier:
    """The upper as it grows, and which names of the parent it hides.

    Whiteouts and opaque marks hide the parent from the moment they are read, but are written at the
    end: a layer may mention a name before or after its whiteout, and both mean the same.
    """

    def __init__(self, reader: TarReader, upper: Upper, parent: StackedTree | None, limits: Limits) -> None:
        self._reader = reader
        self._upper = upper
        self._parent = parent
        self._limits = limits
        self._gone: set[str] = set()  # whiteouts
        self._opaque: set[str] = set()
        self._last: tuple[str, str] | None = None  # a parent as written, and where it leads
        self._entries = self._whiteouts = self._data_size = self._skipped = 0
        self._imply("")

    def stats(self) -> LayerStats:
        return LayerStats(self._entries, self._whiteouts, self._data_size, 0, self._skipped)

    def apply(self, member: TarMember) -> None:
        self._entries += 1
        name = clean(member.name)
        if not name:
            if member.kind != "dir":
                raise BadArchive(f'"{_shown(member.name)}" stands for the root and is not a directory')
            return
        above, _, base = name.rpartition("/")
        if WHITEOUT_PREFIX in above and not _is_kept(name, above):
            return
        if base.startswith(WHITEOUT_PREFIX):
            self._apply_whiteout(above, base)
            return
        if self._last is not None and self._last[0] == above:
            place = self._last[1]
        else:
            place = self._resolve(above)
            self._last = (above, place)
        path = f"{place}/{base}" if place else base
        match member.kind:
            case "file":
                self._file(path, member)
            case "dir":
                self._last = None
                fd, replaced = self._upper.directory(path, member.mtime_ns)
                if replaced:
                    # What was there had hidden the parent's directory, if there is one.
                    self._opaque.add(path)
                set_metadata(fd, path, member.uid, member.gid, member.mode, member.xattrs, is_file=False)
            case "symlink":
                self._last = None
                self._symlink(path, member)
            case "hardlink":
                self._last = None
                self._hard_link(path, member)
            case _:
                self._last = None
                self._node(path, member)

    # One kind each.

    def _file(self, path: str, member: TarMember) -> None:
        if path in self._upper.mtimes:
            self._last = None
        fd = self._upper.file(path, self._reader.copy_to if member.size else _leave_empty)
        try:
            set_metadata(fd, path, member.uid, member.gid, member.mode, member.xattrs, is_file=True)
            mtime_ns = bound_time(member.mtime_ns)
            os.utime(fd, ns=(mtime_ns, mtime_ns))
        finally:
            os.close(fd)
        self._data_size += member.size

    def _symlink(self, path: str, member: TarMember) -> None:
        if not member.link:
            raise BadArchive(f'the symbolic link "{_shown(path)}" has no target')
        dir_fd = self._upper.other(path, lambda name, fd: os.symlink(member.link, name, dir_fd=fd))
        self._finish_leaf(path, dir_fd, member)

    def _node(self, path: str, member: TarMember) -> None:
        major, minor = member.device
        if member.kind == "char" and (major, minor) == (0, 0):
            raise BadArchive(f'"{_shown(path)}" is the device 0:0, which marks deleted files')
        if major > 0xFFF or minor > 0xFFFFF:
            raise BadArchive(f'the device number of "{_shown(path)}" does not exist')
        mode = _NODES[member.kind] | member.mode
        try:
            dir_fd = self._upper.other(
                path, lambda name, fd: os.mknod(name, mode, os.makedev(major, minor), dir_fd=fd)
            )
        except PermissionError:
            # A user namespace has no devices; containerd leaves them out there as well.
            self._skipped += 1
            return
        self._finish_leaf(path, dir_fd, member)
        # The umask of whoever calls has had its say in mknod.
        os.chmod(path.rpartition("/")[2], member.mode, dir_fd=dir_fd)

    def _finish_leaf(self, path: str, dir_fd: int, member: TarMember) -> None:
        name = path.rpartition("/")[2]
        try:
            os.chown(name, member.uid, member.gid, dir_fd=dir_fd, follow_symlinks=False)
        except OSError as error:
            raise owner_error(error, path, member.uid, member.gid) from error
        mtime_ns = bound_time(member.mtime_ns)
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)

    def _hard_link(self, path: str, member: TarMember) -> None:
        """A second name for what the layer or its parent has; symbolic links are linked, never followed."""
        above, _, base = clean(member.link).rpartition("/")
        place = self._resolve(above)
        target = f"{place}/{base}" if place else base
        if not base or target == path:
            raise BadArchive(f'"{_shown(path)}" is a hard link to itself or to the root')
        if target in self._upper.mtimes:
            raise BadArchive(f'"{_shown(path)}" is a hard link to a directory')
        if self._upper.lookup(target) is None:
            lower = self._lower(target)
            if lower is None:
                raise BadArchive(
                    f'"{_shown(path)}" is a hard link to "{_shown(member.link)}", which is missing'
                )
            if lower.kind == "dir":
                raise BadArchive(f'"{_shown(path)}" is a hard link to a directory')
            self._copy_up(target, lower)
        self._upper.link(target, path)

    def _copy_up(self, path: str, lower: Entry) -> None:
        """Have a file of the parent in the upper, with everything that a copy can keep."""
        major, minor = os.major(lower.rdev), os.minor(lower.rdev)
        member = TarMember(
            path, lower.kind, lower.mode, lower.uid, lower.gid, 0, lower.mtime_ns, "", (major, minor)
        )
        if lower.kind == "symlink":
            self._symlink(path, member._replace(link=os.readlink(lower.real)))
        elif lower.kind in _NODES:
            self._node(path, member)
        elif lower.kind == "file":
            source = os.open(lower.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fd = self._upper.file(path, lambda target: copy_bytes(source, target))
                try:
                    set_metadata(fd, path, lower.uid, lower.gid, lower.mode, xattrs_of(source), is_file=True)
                    os.utime(fd, ns=(lower.mtime_ns, lower.mtime_ns))
                finally:
                    os.close(fd)
            finally:
                os.close(source)
        else:
            raise BadArchive(f'"{_shown(path)}" is a socket and cannot be linked to')

    # Deleted names.

    def _apply_whiteout(self, above: str, base: str) -> None:
        self._last = None
        if base == OPAQUE_MARKER:
            self._whiteouts += 1
            self._opaque.add(self._resolve(above))
            return
        if base.startswith(META_PREFIX):
            return
        name = base[len(WHITEOUT_PREFIX) :]
        if name in ("", ".", ".."):
            raise BadArchive(f'"{_shown(base)}" is not the whiteout of any name')
        self._whiteouts += 1
        place = self._resolve(above)
        self._gone.add(f"{place}/{name}" if place else name)

    def finish(self) -> None:
        """Write what hides the parent, then the directories' times."""
        upper = self._upper
        if "" in self._opaque:
            # overlayfs knows no opaque root.
            self._opaque.discard("")
            self._gone.update(entry.path for entry in (self._parent.children("") if self._parent else ()))
        marks = sorted(path for path in self._gone if path.rpartition("/")[0] in upper.mtimes)
        opaque = {path for path in self._opaque if path in upper.mtimes}
        for path in marks:
            if path in upper.mtimes:
                opaque.add(path)
            elif upper.lookup(path) is None and self._hides(path):
                upper.whiteout(path)
        for path in sorted(opaque):
            upper.opaque(path)
        upper.finish()

    def _hides(self, path: str) -> bool:
        """Whether the whiteout of ``path`` has something to hide."""
        if self._parent is None or self._is_below_hidden(path):
            return False
        return self._parent.lookup(path) is not None

    # Where paths lead.

    def _resolve(self, path: str) -> str:
        """The real directory that a clean path leads to in the merged root, made here if need be.

        Symbolic links are followed as if the merged root were ``/``, so none leads out of it.
        """
        mtimes = self._upper.mtimes
        if path in mtimes:
            return path
        pending = [*reversed(path.split("/"))] if path else []
        here = ""
        hops = 0
        while pending:
            part = pending.pop()
            if part == "..":
                here = here.rpartition("/")[0]
                continue
            inner = f"{here}/{part}" if here else part
            if inner in mtimes:
                here = inner
                continue
            target = self._step(inner)
            if target is None:
                here = inner
                continue
            hops += 1
            if hops > _MAX_SYMLINKS:
                raise BadArchive(f'too many symbolic links on the way to "{_shown(path)}"')
            if target.startswith("/"):
                here = ""
            pending.extend(p for p in reversed(target.split("/")) if p not in ("", "."))
        return here

    def _step(self, path: str) -> str | None:
        """The target if there is a symbolic link at ``path``; None once there is a directory."""
        if len(path) > self._limits.path_length:
            raise BadArchive("symbolic links in the archive lead to a path that is too long")
        st = self._upper.lookup(path)
        if st is not None:
            if stat.S_ISLNK(st.st_mode):
                return self._upper.readlink(path)
            raise BadArchive(f'"{_shown(path)}" is not a directory, but the archive has names below it')
        lower = self._lower(path)
        if lower is not None and lower.kind == "symlink":
            return os.readlink(lower.real)
        self._imply(path)
        return None

    def _imply(self, path: str) -> None:
        """Make a directory that the archive takes for granted, as the parent has it or plain."""
        lower = self._lower(path)
        if lower is None or lower.kind != "dir":
            fd, _ = self._upper.directory(path, 0)
            set_metadata(fd, path, 0, 0, 0o755, {}, is_file=False)
            return
        fd, _ = self._upper.directory(path, lower.mtime_ns)
        set_metadata(fd, path, lower.uid, lower.gid, lower.mode, {}, is_file=False)

    def _lower(self, path: str) -> Entry | None:
        """What the parent has at ``path``, unless this layer hides it."""
        if self._parent is None or path in self._gone or self._is_below_hidden(path):
            return None
        return self._parent.lookup(path)

    def _is_below_hidden(self, path: str) -> bool:
        """Whether a directory above ``path`` is opaque or deleted: the parent does not show there."""
        if not self._gone and not self._opaque:
            return False
        while path:
            path = path.rpartition("/")[0]
            if path in self._gone or path in self._opaque:
                return True
        return False


def clean(name: str) -> str:
    """A name of an archive as a relative path without dots; raises BadArchive if it leads above the root."""
    if "/." not in name and "//" not in name and name[:1] not in ("/", "."):
        return name.removesuffix("/")
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise BadArchive(f'"{_shown(name)}" leads outside of the archive')
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _is_kept(name: str, above: str) -> bool:
    """False for what aufs left below its own directories; other reserved names are not for directories."""
    for part in above.split("/"):
        if part.startswith(META_PREFIX):
            return False
        if part.startswith(WHITEOUT_PREFIX):
            raise BadArchive(f'"{_shown(name)}" lies below a name that is reserved for whiteouts')
    return True


def _shown(name: str) -> str:
    """A name for an error message: control characters escaped, and not a page long."""
    return repr(name[:200])[1:-1]


def _leave_empty(_fd: int) -> None:
    """Fill a file of no bytes."""
