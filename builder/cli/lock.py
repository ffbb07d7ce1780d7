"""`pybuild lock`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from builder.cli.build import InvalidOption, build_args_of
from builder.cli.context import opened
from builder.cli.failures import WithSource
from builder.cli.platforms import wanted_platforms


def lock(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="The build context: a folder.")] = ".",
    file: Annotated[
        str | None,
        typer.Option("-f", "--file", metavar="FILE", help="The Dockerfile (default: PATH/Dockerfile)."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="STAGE", help="Lock what this stage needs.")
    ] = None,
    build_args: Annotated[
        list[str] | None,
        typer.Option("--build-arg", metavar="K[=V]", help="Set an ARG; without value from the environment."),
    ] = None,
    platform: Annotated[
        list[str] | None, typer.Option("--platform", metavar="OS/ARCH", help="The platform to lock for.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if the file is not up to date.")
    ] = False,
    update: Annotated[
        str | None, typer.Option("--update", metavar="NAME", help="Resolve only this name anew.")
    ] = None,
) -> None:
    """Write down what the names in a Dockerfile lead to."""
    from builder.engine.build import BuildRequest, BuildSource
    from builder.engine.lock import resolve_names, write
    from builder.engine.recorder import Recorder

    if check and update is not None:
        raise InvalidOption("--check and --update exclude each other", hint="leave one of them out")
    recorder, source = Recorder(os.environ), BuildSource()
    request = BuildRequest(
        context=path,
        file=file,
        target=target,
        build_args=build_args_of(build_args or (), recorder.environment),
        platforms=wanted_platforms(platform or (), os.environ),
    )
    try:
        with opened(context) as engine:
            locked = resolve_names(engine, request, recorder, source, update)
    except BaseException as error:
        raise WithSource(error, source.data, None) from error
    if not check:
        write(locked)
        print(f"wrote {locked.path}")
        return
    changed = [key for key in sorted(locked.now) if locked.before.get(key) != locked.now[key]]
    for key in changed:
        before = locked.before.get(key)
        print(f"missing {key[1]}" if before is None else f"changed {key[1]}: {before} → {locked.now[key]}")
    if changed:
        raise typer.Exit(1)
    print(f"{locked.path} is up to date")
