"""`import`, `export`, `squash`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from builder.cli.archive import NoOutput
from builder.cli.context import opened
from builder.cli.tables import size
from builder.core.platform import Platform


def import_(
    context: typer.Context,
    origin: Annotated[str, typer.Argument(metavar="FILE|URL|-", help="A tar, compressed or not.")],
    name: Annotated[str | None, typer.Argument(metavar="[REPOSITORY[:TAG]]")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("-c", "--change", metavar="LINE", help="A line of a Dockerfile: CMD, ENV, …"),
    ] = None,
    message: Annotated[
        str, typer.Option("-m", "--message", metavar="TEXT", help="The comment in its history.")
    ] = "",
    platform: Annotated[str | None, typer.Option("--platform", metavar="OS/ARCH")] = None,
) -> None:
    """Make an image of one layer from the files of a tar."""
    from builder.engine.imagetree import import_image

    wanted = Platform.parse(platform) if platform else Platform.host()
    with opened(context) as engine:
        image = import_image(engine, origin, name, changes=changes or [], message=message, platform=wanted)
    print(image)


def export(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CONTAINER|IMAGE")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to (default: standard output)."),
    ] = None,
) -> None:
    """Write the files of a container or image as a tar."""
    from builder.engine.imagetree import export_tree

    if output is None and sys.stdout.isatty():
        raise NoOutput("an archive would make no sense on a terminal", hint="use -o FILE, or a pipe")
    with opened(context) as engine:
        export_tree(engine, name, output)


def squash(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="IMAGE")],
    keep: Annotated[
        str | None,
        typer.Option("--from", metavar="WHERE", help="Keep the layers up to this one."),
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("-t", "--tag", metavar="NAME", help="Name the new image.")
    ] = None,
) -> None:
    """Make one layer of an image's layers, as another image."""
    from builder.engine.imagetree import squash as squash_image

    with opened(context) as engine:
        done = squash_image(engine, name, keep=keep, tags=tags or [])
    sizes = f"{done.layers} layers ({size(done.size_before)}) are one ({size(done.size)})"
    print(f"{sizes}, which no other image shares", file=sys.stderr)
    print(done.image)
