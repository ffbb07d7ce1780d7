"""What ran when, as a file for chrome://tracing or Perfetto."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded when there is a build
    from builder.engine.assemble import Engine
    from builder.engine.build import BuildSource


@contextmanager
def traced(engine: Engine, source: BuildSource, path: Path | None) -> Iterator[None]:
    """The build in the block is written to ``path``, also if it fails."""
    try:
        yield
    finally:
        if path is not None and source.build:
            from builder.engine.history.shelf import BuildShelf
            from builder.engine.history.trace import write_trace

            write_trace(BuildShelf(engine.database, engine.state).find(source.build), path)
