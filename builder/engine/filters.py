"""What `--filter` of several commands has in common."""

from __future__ import annotations

from builder.core.errors import Kind, PybuildError


class InvalidFilter(PybuildError):
    """`--filter` asks for something that cannot be asked."""

    kind = Kind.INVALID
    code = "invalid-filter"
