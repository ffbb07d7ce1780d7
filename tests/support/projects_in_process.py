"""Builds without a process for each: one engine, many projects; for what takes many builds to show."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from builder.cli.build_request import request_of
from builder.config import Config
from builder.core.events import Event
from builder.core.job import Job
from builder.engine.assemble import Engine
from builder.engine.build import BuildOutcome, BuildRequest, BuildSource, build
from builder.engine.history.record import BuildRecord
from builder.engine.history.shelf import BuildShelf
from builder.engine.plan import plan
from builder.engine.recorder import Recorder
from builder.engine.why.plan import PlannedStep

_SILENT = frozenset({"cached", "unneeded"})


class Quiet:
    """Receives events and keeps none."""

    def emit(self, event: Event) -> None:
        """See Progress."""


class Built(NamedTuple):
    """One build, as it was recorded."""

    outcome: BuildOutcome
    record: BuildRecord

    @property
    def ran(self) -> dict[str, str]:
        """Steps that were not cached, without the brackets of their names → why."""
        return {
            label(step.name): step.cause or ""
            for step in self.record.steps
            if step.status not in _SILENT and not step.name.startswith("[internal] load")
        }


class Builder:
    """Builds folders in one store."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def build(self, folder: Path, environ: Mapping[str, str] = {}, **options: Any) -> Built:
        """``options`` are the parameters of `pybuild build`."""
        request, recorder = _request(folder, environ, options)
        outcome = build(self.engine, request, recorder, BuildSource(), Quiet())
        return Built(outcome, self.shelf.find(outcome.id))

    def plan(self, folder: Path, environ: Mapping[str, str] = {}, **options: Any) -> list[PlannedStep]:
        """What it would run."""
        request, recorder = _request(folder, environ, options)
        return plan(self.engine, request, recorder, BuildSource(), Quiet())

    @property
    def shelf(self) -> BuildShelf:
        return BuildShelf(self.engine.database, self.engine.state)


def label(name: str) -> str:
    """``build 2/5 COPY`` for ``[build 2/5] COPY src /app``."""
    number, _, text = name.removeprefix("[").partition("] ")
    return f"{number} {text.partition(' ')[0]}"


@contextlib.contextmanager
def open_builder(root: Path) -> Iterator[Builder]:
    """As one command would, for all builds of the block."""
    config = Config.load({"HOME": str(root.parent)}, root=root)
    with Engine.open(config, Job("many")) as engine:
        yield Builder(engine)


def _request(
    folder: Path, environ: Mapping[str, str], options: Mapping[str, Any]
) -> tuple[BuildRequest, Recorder]:
    recorder = Recorder(environ)
    request = request_of({"path": str(folder), "pull": "missing", **options}, recorder)
    return request, recorder
