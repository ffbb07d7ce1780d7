"""What steps printed, when they last ran."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from builder.engine.history.record import BuildRecord, StepRecord
from builder.engine.history.shelf import BuildShelf
from builder.engine.logs import log_path


class StepLogFile(NamedTuple):
    """The output of one step, and the build that it is of."""

    step: StepRecord
    build: str
    path: Path


def step_logs(
    shelf: BuildShelf, record: BuildRecord, steps: Sequence[StepRecord], *, is_earlier: bool
) -> Iterator[StepLogFile]:
    """Of those steps that printed anything; ``is_earlier``: for cached ones, what they printed before."""
    runs = shelf.last_runs(before=record) if is_earlier else {}
    for step in steps:
        build, digest = record.id, step.digest
        if step.status in ("cached", "unneeded") and step.key in runs:
            build, run = runs[step.key]
            digest = run.digest
        path = log_path(shelf.logs(build), digest)
        if path.is_file():
            yield StepLogFile(step, build, path)
