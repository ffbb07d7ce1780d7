"""Where the time of a build went, and what the cache spared it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.engine.assemble import Engine
from builder.engine.history.record import BuildRecord, StepRecord
from builder.engine.history.results import with_results
from builder.engine.history.shelf import BuildShelf
from builder.fs.measure import stored_bytes
from builder.solver.graph import critical_path

_RAN = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class ProfileLine:
    """One step."""

    step: StepRecord
    written: int | None  # bytes of the files that it left; None: none of its own, or they are gone
    saved_s: float | None  # what it took when it last ran, for a cached step; None: that is not recorded
    is_critical: bool  # had it been faster, so had the build


@dataclass(frozen=True, slots=True)
class Profile:
    """A build, step by step."""

    record: BuildRecord
    lines: tuple[ProfileLine, ...]

    @property
    def critical_s(self) -> float:
        """Seconds of the longest chain of steps."""
        return sum(line.step.seconds for line in self.lines if line.is_critical)

    @property
    def saved_s(self) -> float:
        """Seconds that cached steps took when they ran, one after the other."""
        return sum(line.saved_s or 0.0 for line in self.lines)


def profile(engine: Engine, record: BuildRecord) -> Profile:
    """Looks at the store for what steps wrote, and at earlier builds for what cached ones took."""
    record = with_results(engine, record)
    runs = BuildShelf(engine.database, engine.state).last_runs(before=record)
    seconds = {step.digest: step.seconds for step in record.steps if step.status in _RAN}
    critical = frozenset(critical_path(seconds, {step.digest: step.inputs for step in record.steps}))
    lines = []
    for step in record.steps:
        is_saved = step.status in ("cached", "unneeded") and step.key in runs
        saved_s = runs[step.key][1].seconds if is_saved and step.key is not None else None
        lines.append(ProfileLine(step, written(engine, step), saved_s, step.digest in critical))
    return Profile(record, tuple(lines))


def written(engine: Engine, step: StepRecord) -> int | None:
    """Bytes of the files that a step left, if it made any of its own and they are still there."""
    snapshot = engine.snapshots.stat(step.result) if step.result else None
    if snapshot is None or snapshot.layer is not None or snapshot.same_as or snapshot.clamp_of:
        return None
    directory = engine.snapshots.directory(snapshot.name)
    return stored_bytes(directory) if Path(directory).is_dir() else None
