"""`bootstrap`, `parse`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from builder.cli.context import opened
from builder.cli.failures import WithSource
from builder.core.errors import Kind, PybuildError


class UnknownFormat(PybuildError):
    """There is no such output format."""

    kind = Kind.INVALID
    code = "unknown-format"


def bootstrap(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")] = "busybox:latest",
) -> None:
    """Make a small base image from this machine, without a registry."""
    from builder.engine.bootstrap import bootstrap as make

    with opened(context) as engine:
        reference, image, origin = make(engine, name)
    print(f"{reference.familiar()} {image} ({origin})")


def parse(
    path: Annotated[
        str, typer.Argument(metavar="FILE", help="A Dockerfile; - is standard input.")
    ] = "Dockerfile",
    format: Annotated[str, typer.Option("--format", metavar="HOW", help="json.")] = "json",
) -> None:
    """Show how a Dockerfile is read."""
    from builder.frontend.dockerfile.parser import parse as parse_source
    from builder.frontend.dockerfile.syntax_json import to_json

    if format != "json":
        raise UnknownFormat(f'--format cannot be "{format}"', hint="there is json")
    data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    try:
        nodes = to_json(parse_source(data, file=path))
    except PybuildError as error:
        raise WithSource(error, data, None) from error
    import json

    print(json.dumps(nodes, indent=2, ensure_ascii=False))
