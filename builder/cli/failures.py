"""From an exception to what a person reads, and to the exit code."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TextIO

from builder.core.errors import Cancelled, Kind, PybuildError


class HostFailed(PybuildError):
    """The operating system refused something that pybuild had to do."""

    kind = Kind.UNAVAILABLE
    code = "host-failed"


class DiskFull(PybuildError):
    """No space is left where the store, or an output, is written."""

    kind = Kind.UNAVAILABLE
    code = "disk-full"


class WithSource(Exception):
    """An error on its way out, with the Dockerfile that it speaks of and the steps that people saw."""

    def __init__(
        self, error: BaseException, source: bytes | None, failed: tuple[str, list[str]] | None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.source = source
        self.failed = failed  # the failing step's name, its last lines


def explain(error: BaseException, stream: TextIO, environ: Mapping[str, str]) -> int:
    """Print an error the way its kind asks for; the exit code."""
    source: bytes | None = None
    failed: tuple[str, list[str]] | None = None
    if isinstance(error, WithSource):
        source, failed, error = error.source, error.failed, error.error
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=stream)
        return 130
    known = as_known(error)
    if known is None:
        import traceback

        stream.write("".join(traceback.format_exception(error)))
        print("this is a bug in pybuild: please report it with the lines above", file=stream)
        return 1
    if isinstance(known, Cancelled):
        print("cancelled", file=stream)
        return 130
    from builder.cli.render.choose import wants_color
    from builder.cli.render.diagnostics import render_error, render_step_failure

    color = wants_color(stream, environ)
    if failed is not None:
        stream.write(render_step_failure(failed[0], failed[1], known, source, color=color))
    else:
        stream.write(render_error(known, source, color=color))
    return exit_code(known)


def exit_code(error: PybuildError) -> int:
    """1, unless the error has a code of its own (`run`: 125, 126, 127)."""
    own = getattr(error, "run_exit_code", None)
    return own if isinstance(own, int) else 1


def as_known(error: BaseException) -> PybuildError | None:
    """Errors of the operating system in our words; None: a bug."""
    if isinstance(error, PybuildError):
        return error
    if isinstance(error, OSError):
        where = f' ("{error.filename}")' if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFull(
                f"no space is left on the disk{where}",
                hint="free some space, or give another --root; nothing was lost",
            )
        return HostFailed(f"the system refused: {error.strerror or error}{where}")
    if isinstance(error, RecursionError):
        return HostFailed(
            "directories are nested too deeply to be read", hint="exclude them in .dockerignore"
        )
    if isinstance(error, MemoryError):
        return HostFailed(
            "out of memory", hint="close something, or raise the limit that this process runs under"
        )
    return None
