"""`pybuild check`, and `pybuild build --check`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli.build import build_args_of, choice
from builder.cli.context import opened
from builder.cli.failures import WithSource
from builder.cli.platforms import wanted_platforms

if TYPE_CHECKING:
    from builder.engine.build import BuildRequest
    from builder.engine.recorder import Recorder

FORMATS = ("text", "json", "github")


def check(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="The build context: a folder.")] = ".",
    file: Annotated[
        str | None,
        typer.Option("-f", "--file", metavar="FILE", help="The Dockerfile (default: PATH/Dockerfile)."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="STAGE", help="Check what this stage needs, not all.")
    ] = None,
    build_args: Annotated[
        list[str] | None,
        typer.Option("--build-arg", metavar="K[=V]", help="Set an ARG; without value from the environment."),
    ] = None,
    platform: Annotated[
        list[str] | None, typer.Option("--platform", metavar="OS/ARCH", help="The platform to check for.")
    ] = None,
    format: Annotated[
        str, typer.Option("--format", metavar="HOW", help="text, json or github (annotations).")
    ] = "text",
) -> None:
    """Check a Dockerfile without building it."""
    from builder.engine.build import BuildRequest
    from builder.engine.recorder import Recorder

    recorder = Recorder(os.environ)
    request = BuildRequest(
        context=path,
        file=file,
        target=target,
        build_args=build_args_of(build_args or (), recorder.environment),
        platforms=wanted_platforms(platform or (), os.environ),
    )
    report(context, request, recorder, choice("--format", format, FORMATS, {}))


def report(context: typer.Context, request: BuildRequest, recorder: Recorder, format: str) -> None:
    """Print what is found; the exit code is 1 if there are errors, or findings of the build checks."""
    from builder.cli.render import findings
    from builder.engine.build import BuildSource
    from builder.engine.check import check as run_check

    source = BuildSource()
    try:
        with opened(context) as engine:
            result = run_check(engine, request, recorder, source)
    except BaseException as error:
        raise WithSource(error, source.data, None) from error
    warnings, errors = result.warnings, result.errors
    if format == "json":
        shown = findings.as_json(warnings, errors, source.name)
    elif format == "github":
        shown = findings.as_github(warnings, errors, os.path.relpath(source.name))
    else:
        from builder.cli.render.choose import wants_color

        shown = findings.as_text(warnings, errors, source.data, color=wants_color(sys.stdout, os.environ))
    sys.stdout.write(shown)
    if errors or any(warning.rule is not None for warning in warnings):
        raise typer.Exit(1)
