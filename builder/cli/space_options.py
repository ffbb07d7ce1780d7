"""Options of `build` about the room that the store takes."""

from __future__ import annotations

from typing import Annotated

import typer

KeepStorage = Annotated[
    str | None,
    typer.Option(
        "--keep-storage",
        metavar="SIZE",
        help="Before the build, give back what was used longest ago until the store has this size.",
    ),
]
CacheTtl = Annotated[
    str | None,
    typer.Option("--cache-ttl", metavar="TIME", help="Run steps again that ran longer ago than that: 24h."),
]
