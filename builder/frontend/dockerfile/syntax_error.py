"""The error for text that is no Dockerfile."""

from __future__ import annotations

from builder.core.errors import Kind, PybuildError


class DockerfileSyntaxError(PybuildError):
    """The text cannot be cut into instructions; ``location`` says where."""

    kind = Kind.INVALID
    code = "dockerfile-syntax"
