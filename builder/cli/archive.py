"""`save`, `load`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from builder.cli.context import opened
from builder.core.errors import Kind, PybuildError
from builder.core.platform import Platform


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
        typer.Option(
            "--format",
            metavar="HOW",
            help="archive (for docker and OCI tools), docker-archive, oci-archive, docker-dir or oci-dir.",
        ),
    ] = "archive",
    platform: Annotated[
        str | None, typer.Option("--platform", metavar="OS/ARCH", help="The image for this platform.")
    ] = None,
    compression: Annotated[
        str,
        typer.Option(
            "--compression", metavar="HOW", help="uncompressed, gzip, zstd or estargz, of layers built here."
        ),
    ] = "uncompressed",
    compress: Annotated[bool, typer.Option("--compress", help="The same as --compression gzip.")] = False,
    multi_image_archive: Annotated[
        bool, typer.Option("-m", "--multi-image-archive", help="For podman's command lines: always so.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No effect: there is no progress.")] = False,
) -> None:
    """Write images to an archive."""
    from builder.engine.images import FOLDERS, FORMATS, SaveOptions
    from builder.engine.images import save as save_images

    if format not in FORMATS:
        raise NoOutput(f'--format cannot be "{format}"', hint=f"it is {', '.join(FORMATS)}")
    if output is None and format in FOLDERS:
        raise NoOutput("a folder cannot be written to standard output", hint="name it with -o")
    if output is None and sys.stdout.isatty():
        raise NoOutput("an archive would make no sense on a terminal", hint="use -o FILE, or a pipe")
    if output is not None and not output.absolute().parent.is_dir():
        raise NoOutput(f'there is no folder "{output.parent}"', hint="make it first")
    options = SaveOptions(
        format=format,
        platform=Platform.parse(platform) if platform else None,
        compression="gzip" if compress else compression,
    )
    with opened(context) as engine:
        save_images(engine, names, output, options)


def load(
    context: typer.Context,
    input: Annotated[
        Path | None,
        typer.Option(
            "-i",
            "--input",
            metavar="FILE",
            help="An archive, or a folder that save writes (default: standard input).",
        ),
    ] = None,
    platform: Annotated[
        str | None, typer.Option("--platform", metavar="OS/ARCH", help="The image for this platform.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No effect: there is no progress.")] = False,
) -> None:
    """Read images from an archive."""
    from builder.engine.images import load as load_images

    with opened(context) as engine:
        loaded = load_images(engine, input, Platform.parse(platform) if platform else None)
    for item in loaded:
        for name, before in item.replaced:
            print(
                f"The image {name.familiar()} already exists, renaming the old one with ID {before}"
                " to empty string"
            )
        for name in item.names:
            print(f"Loaded image: {name.familiar()}")
        if not item.names:
            print(f"Loaded image ID: {item.image.id}")
