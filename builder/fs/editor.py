"""Changes to a merged tree, written into an overlay upper directory as overlayfs itself would."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.fs.clone import copy_bytes
from builder.fs.contenthash import capability_of
from builder.fs.layer import CAPABILITY
from builder.fs.tree import OPAQUE_XATTRS, Entry, StackedTree, entry_of, is_opaque, is_whiteout, resolve
from builder.fs.upper import DeviceDenied, bound_time, owner_error

_FILE_TYPES = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}


class CopyConflict(PybuildError):
    """Something else is where a file or directory should go."""

    kind = Kind.CONFLICT
    code = "copy-conflict"


class Attributes(NamedTuple):
    """What a path has besides its content; ``mtime_ns`` None leaves the time of writing."""

    mode: int  # permission bits
    uid: int
    gid: int
    mtime_ns: int | None = None
    capability: bytes = b""


class TreeEditor:
    """The merged tree of an upper directory over its parent, and the ways to change it.

    Paths are clean and relative, with the links of their parents resolved (``resolve``). All directories
    of such a path are real directories below ``upper``, which nobody else writes to meanwhile, so that no
    operation leaves it. The parent is never written to. Names that only the parent has are copied up when
    something in them changes. The attributes of ``upper`` itself are the caller's business.
    """

    def __init__(self, upper: str, parent: StackedTree | None = None) -> None:
        self.upper = upper
        self._parent = parent
        # Directories known to be in the upper: whether a directory of the parent shows through.
        self._shows_parent: dict[str, bool] = {"": parent is not None}

    # --- looking ---

    def lookup(self, path: str) -> Entry | None:
        """See Tree."""
        if not path:
            return entry_of("", self.upper, os.lstat(self.upper))
        directory = path.rpartition("/")[0]
        if not self._is_in_upper(directory):
            return None if self._is_hidden(directory) else self._below(path)
        st = self._stat(path)
        if st is None:
            return self._below(path) if self._shows_parent[directory] else None
        return None if is_whiteout(st) else entry_of(path, f"{self.upper}/{path}", st)

    def children(self, path: str) -> list[Entry]:
        """See Tree."""
        lowers = self._parent.lowers if self._parent is not None else []
        return StackedTree([self.upper, *lowers]).children(path)

    def resolve(self, path: str) -> str:
        """A path with all its links followed inside the merged tree. Raises TooManySymlinks."""
        return resolve(self, path)

    # --- directories ---

    def make_directories(
        self,
        path: str,
        mode: int = 0o755,
        owner: tuple[int, int] = (0, 0),
        *,
        mtime_ns: int | None = None,
    ) -> None:
        """Make a directory with its parents; existing ones stay as they are. Raises CopyConflict."""
        if self._is_in_upper(path):
            return
        made = []
        for above in _with_parents(path):
            if self._is_in_upper(above):
                continue
            entry = self.lookup(above)
            if entry is None:
                self.make_directory(above)
                made.append(above)
            elif entry.kind == "dir":
                self._copy_up_directory(above, entry)
            else:
                raise CopyConflict(
                    f'"/{above}" is not a directory',
                    hint="files cannot be put below a file; choose another path",
                )
        for above in reversed(made):  # a time is the last thing that changes in a directory
            self.set_attributes(above, Attributes(mode, *owner, mtime_ns=mtime_ns))

    def make_directory(self, path: str) -> None:
        """Make one directory, in the place of a file if one is there; its parent must exist."""
        directory = path.rpartition("/")[0]
        self.ensure_directory(directory)
        real = f"{self.upper}/{path}"
        if self._stat(path) is not None:
            os.unlink(real)
        os.mkdir(real, 0o700)
        hidden = self._below(path) if self._shows_parent[directory] else None
        if hidden is not None and hidden.kind == "dir":
            mark_opaque(real)
        self._shows_parent[path] = False

    def ensure_directory(self, path: str) -> None:
        """Have an existing directory in the upper, copied up with its parents if need be."""
        if self._is_in_upper(path):
            return
        for above in _with_parents(path):
            if self._is_in_upper(above):
                continue
            entry = self.lookup(above)
            if entry is None or entry.kind != "dir":
                raise CopyConflict(f'"/{above}" is not a directory', hint="something else took its place")
            self._copy_up_directory(above, entry)

    def set_attributes(self, path: str, attributes: Attributes) -> None:
        """Of an existing directory."""
        self.ensure_directory(path)
        _set_attributes(f"{self.upper}/{path}", path, attributes, is_link=False)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """Of an existing directory."""
        self.ensure_directory(path)
        mtime_ns = bound_time(mtime_ns)
        os.utime(f"{self.upper}/{path}", ns=(mtime_ns, mtime_ns))

    # --- everything else; replaces what is no directory ---

    def create_file(self, path: str, *, replaces_directory: bool = False) -> int:
        """A descriptor to write a new file through; ``seal`` and close it. Raises CopyConflict."""
        self._make_room(path, replaces_directory=replaces_directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(f"{self.upper}/{path}", flags, 0o600)

    def seal(self, fd: int, path: str, attributes: Attributes) -> None:
        """Give a written file its attributes."""
        _chown(fd, path, attributes)
        os.fchmod(fd, attributes.mode)
        if attributes.capability:
            os.setxattr(fd, CAPABILITY, attributes.capability)
        if attributes.mtime_ns is not None:
            mtime_ns = bound_time(attributes.mtime_ns)
            os.utime(fd, ns=(mtime_ns, mtime_ns))

    def set_file_attributes(self, path: str, attributes: Attributes, *, is_link: bool = False) -> None:
        """Of a file, symbolic link or node that was put or linked before, by its name."""
        _set_attributes(f"{self.upper}/{path}", path, attributes, is_link=is_link)
        if attributes.capability and not is_link:
            os.setxattr(f"{self.upper}/{path}", CAPABILITY, attributes.capability, follow_symlinks=False)

    def put_symlink(
        self, path: str, target: str, attributes: Attributes, *, replaces_directory: bool = False
    ) -> None:
        """A symbolic link; its mode means nothing. Raises CopyConflict."""
        self._make_room(path, replaces_directory=replaces_directory)
        real = f"{self.upper}/{path}"
        os.symlink(target, real)
        _set_attributes(real, path, attributes, is_link=True)

    def put_node(
        self, path: str, kind: str, device: int, attributes: Attributes, *, replaces_directory: bool = False
    ) -> None:
        """A ``char`` or ``block`` device or a ``fifo``. Raises CopyConflict, DeviceDenied."""
        if kind == "char" and device == 0:
            raise DeviceDenied(path)  # overlayfs would take it for a whiteout; it refuses to make one, too
        self._make_room(path, replaces_directory=replaces_directory)
        real = f"{self.upper}/{path}"
        try:
            os.mknod(real, _FILE_TYPES[kind] | 0o600, 0 if kind == "fifo" else device)
        except PermissionError as error:
            raise DeviceDenied(path) from error
        _set_attributes(real, path, attributes, is_link=False)

    def link(self, path: str, existing: str, *, replaces_directory: bool = False) -> None:
        """A hard link to an existing path, which is copied up if need be. Raises CopyConflict."""
        if path == existing:
            return
        self._copy_up(existing)
        self._make_room(path, replaces_directory=replaces_directory)
        os.link(f"{self.upper}/{existing}", f"{self.upper}/{path}", follow_symlinks=False)

    # --- how ---

    def _stat(self, path: str) -> os.stat_result | None:
        """Of a name in the upper itself; its directory must be known to be there."""
        try:
            return os.lstat(f"{self.upper}/{path}")
        except FileNotFoundError:
            return None

    def _below(self, path: str) -> Entry | None:
        return self._parent.lookup(path) if self._parent is not None else None

    def _is_in_upper(self, path: str) -> bool:
        """Whether the upper has this path as a directory, below directories only."""
        return path in self._shows_parent or self._first_missing(path) is None

    def _first_missing(self, path: str) -> str | None:
        """From the top, the first part of ``path`` that the upper has not as a directory."""
        unknown = []
        while path not in self._shows_parent:
            unknown.append(path)
            path = path.rpartition("/")[0]
        return next((below for below in reversed(unknown) if not self._discover(below)), None)

    def _discover(self, path: str) -> bool:
        """The same for a path whose directory is known to be in the upper."""
        st = self._stat(path)
        if st is None or not stat.S_ISDIR(st.st_mode):
            return False
        below = self._below(path) if self._shows_parent[path.rpartition("/")[0]] else None
        is_merged = below is not None and below.kind == "dir" and not is_opaque(f"{self.upper}/{path}")
        self._shows_parent[path] = is_merged
        return True

    def _is_hidden(self, path: str) -> bool:
        """Whether something of the upper hides the parent's directory ``path``, which the upper has not."""
        missing = self._first_missing(path)
        return missing is not None and (
            self._stat(missing) is not None or not self._shows_parent[missing.rpartition("/")[0]]
        )

    def _copy_up_directory(self, path: str, entry: Entry) -> None:
        """Of a directory whose parent is in the upper already, and keeps its times."""
        real = f"{self.upper}/{path}"
        above = os.path.dirname(real)
        st = os.lstat(above)
        os.mkdir(real, 0o700)
        _set_attributes(
            real, path, Attributes(entry.mode, entry.uid, entry.gid, entry.mtime_ns), is_link=False
        )
        os.utime(above, ns=(st.st_atime_ns, st.st_mtime_ns))
        self._shows_parent[path] = True

    def _copy_up(self, path: str) -> None:
        entry = self.lookup(path)
        if entry is None or entry.kind == "dir":
            problem = "is not there" if entry is None else "is a directory"
            raise CopyConflict(f'cannot link to "/{path}", which {problem}', hint="check the archive")
        directory = path.rpartition("/")[0]
        if self._is_in_upper(directory) and self._stat(path) is not None:
            return
        self.ensure_directory(directory)
        st = os.lstat(f"{self.upper}/{directory}")
        attributes = Attributes(entry.mode, entry.uid, entry.gid, entry.mtime_ns)
        if entry.kind == "file":
            self._copy_up_file(path, entry, attributes)
        elif entry.kind == "symlink":
            self.put_symlink(path, os.readlink(entry.real), attributes)
        else:
            self.put_node(path, entry.kind, entry.rdev, attributes)
        os.utime(f"{self.upper}/{directory}", ns=(st.st_atime_ns, st.st_mtime_ns))

    def _copy_up_file(self, path: str, entry: Entry, attributes: Attributes) -> None:
        source = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            target = self.create_file(path)
            try:
                copy_bytes(source, target, os.fstat(source))
                self.seal(target, path, attributes._replace(capability=capability_of(source)))
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _make_room(self, path: str, *, replaces_directory: bool) -> None:
        """Leave nothing at ``path`` in the upper, so that what is put there next hides the parent's."""
        directory = path.rpartition("/")[0]
        self.ensure_directory(directory)
        st = self._stat(path)
        if st is None:
            below = self._below(path) if self._shows_parent[directory] else None
            is_directory = below is not None and below.kind == "dir"
        else:
            is_directory = stat.S_ISDIR(st.st_mode)
        if is_directory and not replaces_directory:
            raise CopyConflict(
                f'cannot replace to directory "/{path}" with file',
                hint="choose another destination, or remove the directory in a RUN before",
            )
        if st is None:
            return
        if is_directory:
            # Slow to import, and only an archive that replaces its own directory gets here.
            from shutil import rmtree

            rmtree(f"{self.upper}/{path}")
            gone = f"{path}/"
            self._shows_parent = {
                known: shows
                for known, shows in self._shows_parent.items()
                if known != path and not known.startswith(gone)
            }
        else:
            os.unlink(f"{self.upper}/{path}")


def _with_parents(path: str) -> list[str]:
    """A path's directories and itself, from the top; nothing for the root."""
    parts = path.split("/") if path else []
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _set_attributes(real: str, path: str, attributes: Attributes, *, is_link: bool) -> None:
    _chown(real, path, attributes)
    if not is_link:
        os.chmod(real, attributes.mode)
    if attributes.mtime_ns is not None:
        mtime_ns = bound_time(attributes.mtime_ns)
        os.utime(real, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def _chown(target: str | int, path: str, attributes: Attributes) -> None:
    """Goes first, as a change of owner clears special bits and capabilities."""
    try:
        if isinstance(target, int):
            os.fchown(target, attributes.uid, attributes.gid)
        else:
            os.chown(target, attributes.uid, attributes.gid, follow_symlinks=False)
    except OSError as error:
        raise owner_error(error, path, attributes.uid, attributes.gid) from error


def mark_opaque(directory: str) -> None:
    for name in OPAQUE_XATTRS:
        with contextlib.suppress(PermissionError):
            os.setxattr(directory, name, b"y")
            return
    raise PermissionError(f"cannot hide what is below {directory}")
