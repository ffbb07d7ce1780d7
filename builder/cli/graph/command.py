"""`graph`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from builder.cli.build import choice
from builder.cli.context import opened

_FORMATS = ("tree", "dot", "json", "html")


def graph(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="[BUILD|IMAGE]", help="As `builds ls` or `images` shows it.")
    ] = "latest",
    format: Annotated[str, typer.Option("--format", metavar="HOW", help="tree, dot, json or html.")] = "tree",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to (default: standard output)."),
    ] = None,
) -> None:
    """Draw the steps of a build, or of an image."""
    from builder.cli.graph.document import as_json
    from builder.cli.graph.dot import as_dot
    from builder.cli.graph.page import as_html
    from builder.cli.graph.tree import as_tree
    from builder.engine.graph.drawing import draw

    choice("--format", format, _FORMATS, {})
    with opened(context) as engine:
        drawing = draw(engine, name)
    text = {"tree": as_tree, "dot": as_dot, "json": as_json, "html": as_html}[format](drawing)
    data = text.encode("utf-8", "backslashreplace")
    if output is None:
        sys.stdout.buffer.write(data)
    else:
        output.write_bytes(data)
