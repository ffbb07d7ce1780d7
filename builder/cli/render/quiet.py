"""The renderer that shows nothing; the caller prints the image id."""

from __future__ import annotations

from builder.cli.render.base import Renderer


class Quiet(Renderer):
    """Remembers what a failure report needs."""
