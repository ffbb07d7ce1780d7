"""The results of steps that a build did not look at, from what the store knows."""

from __future__ import annotations

from dataclasses import replace

from builder.core.digest import Digest
from builder.engine.assemble import Engine
from builder.engine.history.record import BuildRecord


def with_results(engine: Engine, record: BuildRecord) -> BuildRecord:
    """The record with the snapshots of unneeded steps, where a cache record or the step above tells them."""
    results = {step.digest: step.result for step in record.steps if step.result}
    keys = {
        Digest.parse(step.key): step.digest
        for step in record.steps
        if step.key and not step.result and step.status in ("cached", "unneeded")
    }
    for key, cached in engine.cache.lookup(list(keys)).items():
        results[keys[key]] = cached.result_id.partition(",")[0]
    stages = {step.digest: _stage(step.name) for step in record.steps}
    for step in reversed(record.steps):
        # The first input is what a step is put on; that of another stage is only read.
        below = step.inputs[0] if step.inputs else ""
        if stages.get(below) == stages[step.digest] and below not in results and step.digest in results:
            snapshot = engine.snapshots.stat(results[step.digest] or "")
            if snapshot is not None and snapshot.parent:
                results[below] = snapshot.parent
    return replace(
        record, steps=tuple(replace(step, result=results.get(step.digest)) for step in record.steps)
    )


def _stage(name: str) -> str:
    """``build`` of ``[build 2/5] RUN make``."""
    label = name.partition("]")[0]
    return label.rpartition("/")[0].rpartition(" ")[0].strip("[ ")
