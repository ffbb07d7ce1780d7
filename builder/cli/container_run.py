"""`run`, once its command line is read."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from builder.cli.context import opened_with, rendered
from builder.cli.settings import Settings
from builder.core.errors import Kind, PybuildError, Unsupported


class NotATerminal(PybuildError):
    """-t needs a terminal on standard input."""

    kind = Kind.INVALID
    code = "not-a-terminal"


class RunValues(NamedTuple):
    """What the command line says; None: not given."""

    image: str
    command: list[str]
    remove: bool = False
    interactive: bool = False
    tty: bool = False
    env: list[str] = []  # noqa: RUF012 (never changed)
    volumes: list[str] = []  # noqa: RUF012 (never changed)
    workdir: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    network: str = "host"
    name: str | None = None
    hostname: str | None = None
    pull: str = "missing"


def execute(settings: Settings, values: RunValues) -> int:
    """The container's exit code."""
    from builder.engine.containers import run as run_container
    from builder.runtime.spec import RunOptions

    if values.network not in ("host", "none"):
        raise Unsupported(f'--network "{values.network}" is not built yet', hint="there are host and none")
    if values.pull not in ("missing", "always", "never"):
        raise Unsupported(f'--pull cannot be "{values.pull}"', hint="it is missing, always or never")
    if values.tty and values.interactive and not sys.stdin.isatty():
        raise NotATerminal("the input device is not a terminal", hint="leave out -t")
    options = RunOptions(
        command=values.command,
        entrypoint=values.entrypoint,
        env=values.env,
        volumes=values.volumes,
        working_dir=values.workdir,
        user=values.user,
        hostname=values.hostname,
        network=values.network,
        is_terminal=values.tty,
    )
    try:
        with (
            rendered("plain" if sys.stderr.isatty() else "quiet") as renderer,
            opened_with(settings, renderer) as engine,
        ):
            return run_container(
                engine,
                values.image,
                options,
                name=values.name,
                is_removed=values.remove,
                is_interactive=values.interactive,
                pull=values.pull,  # type: ignore[arg-type]  # checked above
                environ=os.environ,
            )
    except PybuildError as error:
        # 125 is "the engine failed", so that 1 can be the program's own answer.
        error.run_exit_code = getattr(error, "exit_code", 125)  # type: ignore[attr-defined]  # read by failures
        raise
