"""The modes that Git records: whether a file may be executed by its owner, and nothing else."""

from __future__ import annotations

from builder.fs.tree import Entry

_FILE, _PROGRAM, _DIRECTORY = 0o644, 0o755, 0o755


def own_mode(entry: Entry) -> int:
    """As it is; permissions of a symbolic link mean nothing on Linux."""
    return 0o777 if entry.kind == "symlink" else entry.mode


def git_mode(entry: Entry) -> int:
    """The mode that a checkout under umask 0022 gives."""
    match entry.kind:
        case "symlink":
            return 0o777
        case "dir":
            return _DIRECTORY
        case _:
            return _PROGRAM if entry.mode & 0o100 else _FILE


def is_recorded(old: int, new: int) -> bool:
    """Whether Git tells two modes of a file apart."""
    return bool((old ^ new) & 0o100)
