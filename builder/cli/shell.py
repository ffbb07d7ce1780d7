"""`shell`, and `build --on-fail`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli.context import opened, rendered
from builder.cli.render.base import Renderer
from builder.core.errors import Kind, PybuildError

if TYPE_CHECKING:  # loaded when there is a step to look into
    from builder.engine.assemble import Engine
    from builder.engine.build import BuildRequest, BuildSource

OnFail = Annotated[
    str,
    typer.Option(
        "--on-fail",
        metavar="HOW",
        help="When a step fails: keep its files for `pybuild shell`, drop them, or open a shell in them.",
    ),
]
ON_FAIL = ("keep", "drop", "shell")


class StepAmbiguous(PybuildError):
    """A word is that of several steps."""

    kind = Kind.CONFLICT
    code = "step-ambiguous"


def shell(
    context: typer.Context,
    build: Annotated[
        str, typer.Argument(metavar="[BUILD]", help="An id, the beginning of one, latest, or latest~1.")
    ],
    step: Annotated[
        str | None,
        typer.Argument(metavar="STEP", help="A line of the Dockerfile, a number as 2/5, part of a name."),
    ] = None,
    before: Annotated[
        bool, typer.Option("--before", help="The files as the step found them, not as it left them.")
    ] = False,
    command: Annotated[
        str, typer.Option("-c", "--command", metavar="COMMAND", help="Run this, and no shell to type into.")
    ] = "",
    secrets: Annotated[
        list[str] | None, typer.Option("--secret", metavar="id=ID,src=FILE", help="As for `build`.")
    ] = None,
    ssh: Annotated[
        list[str] | None, typer.Option("--ssh", metavar="ID[=SOCKET|KEY]", help="As for `build`.")
    ] = None,
) -> None:
    """Open a shell in the files of a step, with its environment and its mounts."""
    from builder.cli.build_session import read_secrets, read_ssh
    from builder.engine.history.choice import find_steps
    from builder.engine.history.shelf import BuildShelf
    from builder.engine.inside.request import request_of_record
    from builder.engine.inside.shell import ShellOptions, open_shell

    if step is None:
        build, step = "latest", build
    options = ShellOptions(is_before=before, command=command, is_terminal=_is_terminal() and not command)
    with rendered("quiet") as renderer, opened(context, renderer) as engine:
        record = BuildShelf(engine.database, engine.state).find(build)
        found = find_steps(record, step)
        if len(found) > 1:
            names = ", ".join(f'"{each.name}"' for each in found)
            raise StepAmbiguous(f'"{step}" is several steps: {names}', hint="name one of them")
        request = request_of_record(
            record,
            os.environ.get,
            secrets=read_secrets(secrets or [], os.environ),
            ssh=read_ssh(ssh or [], os.environ),
        )
        code = open_shell(engine, record, found[0], request, options, os.environ)
    raise typer.Exit(code)


@contextlib.contextmanager
def failing(
    how: str, engine: Engine, request: BuildRequest, source: BuildSource, renderer: Renderer
) -> Iterator[None]:
    """What becomes of the files of a step that fails in the block."""
    try:
        yield
    except PybuildError as error:
        from builder.engine.inside.failed import drop, step_of

        step = step_of(error)
        if step is not None and how == "drop":
            drop(engine, source.build, step)
        elif step is not None and how == "shell":
            renderer.close()
            print(f"{error.message}\na shell in what the step left; the build ends with it", file=sys.stderr)
            _look_into(engine, request, source.build, step)
        raise


def _look_into(engine: Engine, request: BuildRequest, build: str, failed: str) -> None:
    from builder.engine.history.shelf import BuildShelf
    from builder.engine.inside.shell import ShellOptions, open_shell

    record = BuildShelf(engine.database, engine.state).find(build)
    step = next(step for step in record.steps if step.digest == failed)
    open_shell(engine, record, step, request, ShellOptions(is_terminal=_is_terminal()), os.environ)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
