"""What an archive from elsewhere may ask for, and the errors that say it asked for more."""

from __future__ import annotations

from typing import NamedTuple

from builder.core.errors import Kind, PybuildError


class Limits(NamedTuple):
    """Bounds for one untrusted archive; the defaults are far beyond any image seen in the wild."""

    entries: int = 5_000_000
    path_length: int = 4096  # bytes; PATH_MAX of Linux (include/uapi/linux/limits.h)
    header_size: int = 1 << 20  # bytes of one extended header; archive/tar of Go stops at the same size
    sparse_chunks: int = 100_000
    total_size: int = 1 << 38  # bytes of file data, holes included


class BadArchive(PybuildError):
    """The bytes are not the archive they should be, or try something no archive may do."""

    kind = Kind.CORRUPT
    code = "bad-archive"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or "fetch or make the archive again; this one was not used")


class ArchiveLimit(BadArchive):
    """The archive asks for more than is reasonable."""

    code = "archive-limit"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(
            f"the archive is over the limit of {limit} {what}",
            hint="an archive this large is refused to protect the host",
        )
        self.limit = limit
