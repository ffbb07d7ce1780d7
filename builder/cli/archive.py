"""`save`, `load`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from builder.cli.context import opened
from builder.core.errors import Kind, PybuildError


class NoOutput(PybuildError):
    """An archive needs a place to go to."""

    kind = Kind.INVALID
    code = "no-output"


def save(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="IMAGE...")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to (default: standard output)."),
    ] = None,
    format: Annotated[
        str,
        typer.Option("--format", metavar="HOW", help="archive (a tar for docker and OCI tools) or oci-dir."),
    ] = "archive",
) -> None:
    """Write images to an archive."""
    from builder.engine.images import save as save_images

    if format not in ("archive", "oci-dir"):
        raise NoOutput(f'--format cannot be "{format}"', hint="it is archive or oci-dir")
    if output is None and format == "oci-dir":
        raise NoOutput("a folder cannot be written to standard output", hint="name it with -o")
    if output is None and sys.stdout.isatty():
        raise NoOutput("an archive would make no sense on a terminal", hint="use -o FILE, or a pipe")
    with opened(context) as engine:
        save_images(engine, names, output, is_directory=format == "oci-dir")


def load(
    context: typer.Context,
    input: Annotated[
        Path | None,
        typer.Option(
            "-i",
            "--input",
            metavar="FILE",
            help="An archive or an OCI layout folder (default: standard input).",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No effect: there is no progress.")] = False,
) -> None:
    """Read images from an archive."""
    from builder.engine.images import load as load_images

    with opened(context) as engine:
        loaded = load_images(engine, input)
    for item in loaded:
        for name in item.names:
            print(f"Loaded image: {name.familiar()}")
        if not item.names:
            print(f"Loaded image ID: {item.image.id}")
