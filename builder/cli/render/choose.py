"""Which renderer a command gets, from its ``--progress`` and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

from builder.cli.render.base import Renderer, Sources
from builder.cli.render.output import is_terminal
from builder.core.errors import Kind, PybuildError

MODES = ("auto", "plain", "tty", "rawjson", "quiet", "none")
_LOG_LINES = 6  # of a running step, in the live view; BUILDKIT_TTY_LOG_LINES


class UnknownProgressMode(PybuildError):
    """``--progress`` names no renderer."""

    kind = Kind.INVALID
    code = "unknown-progress-mode"

    def __init__(self, mode: str) -> None:
        super().__init__(f'progress mode "{mode}" does not exist', hint=f"use one of {', '.join(MODES)}")
        self.mode = mode


def choose(
    mode: str, stream: IO[str] | IO[bytes], environ: Mapping[str, str], *, sources: Sources | None = None
) -> Renderer:
    """The renderer for ``mode``, one of MODES, on ``stream``; raises UnknownProgressMode.

    ``auto`` follows BUILDKIT_PROGRESS, then is ``tty`` on a terminal that can move its cursor
    and ``plain`` elsewhere. ``sources`` gives the file that a warning's excerpt is from.
    """
    if mode == "auto":
        mode = environ.get("BUILDKIT_PROGRESS") or "auto"
    if mode == "auto":
        mode = "tty" if is_terminal(stream) and environ.get("TERM", "") != "dumb" else "plain"
    # Each renderer is imported when it is used: rich alone is 60 ms, json 10.
    match mode:
        case "plain":
            from builder.cli.render.plain import Plain

            return Plain(stream, color=not environ.get("NO_COLOR"), sources=sources)
        case "tty":
            from builder.cli.render.tty import Tty

            return Tty(
                stream,
                color=not environ.get("NO_COLOR"),
                log_lines=_log_lines(environ),
                environ=environ,
                sources=sources,
            )
        case "rawjson":
            from builder.cli.render.rawjson import RawJson

            return RawJson(stream)
        case "quiet" | "none":
            from builder.cli.render.quiet import Quiet

            return Quiet()
        case _:
            raise UnknownProgressMode(mode)


def wants_color(stream: IO[str] | IO[bytes], environ: Mapping[str, str]) -> bool:
    """Whether diagnostics on ``stream`` are coloured (https://no-color.org)."""
    return is_terminal(stream) and not environ.get("NO_COLOR") and environ.get("TERM", "") != "dumb"


def _log_lines(environ: Mapping[str, str]) -> int:
    given = environ.get("BUILDKIT_TTY_LOG_LINES", "")
    # As with BuildKit, nonsense means the default.
    return int(given) if given.isascii() and given.isdigit() and len(given) < 6 else _LOG_LINES
