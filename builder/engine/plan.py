"""`plan`: what a build would run, without running it."""

from __future__ import annotations

from builder.core.events import Progress
from builder.core.job import Job
from builder.engine.assemble import Engine
from builder.engine.build import BuildRequest, BuildSource
from builder.engine.platforms import convert
from builder.engine.prepare import prepare
from builder.engine.reasons import Reasons
from builder.engine.recorder import Recorder
from builder.engine.why.plan import PlannedStep, plan_steps
from builder.llb.definition import merged
from builder.ops.results import SnapshotResults


def plan(
    engine: Engine, request: BuildRequest, recorder: Recorder, source: BuildSource, progress: Progress
) -> list[PlannedStep]:
    """Of base images it reads the configuration only; ``progress`` is told of that, and of warnings."""
    job = Job(engine.job.id, progress=progress, cancel=engine.job.cancel)
    with prepare(engine, request, recorder, job) as prepared:
        source.name, source.data = prepared.dockerfile.name, prepared.dockerfile.data
        conversions = convert(prepared, request.platforms, progress)
        definition = merged(each.definition for each in conversions)
        snapshots = engine.snapshots
        return plan_steps(
            definition,
            [each.definition.target for each in conversions],
            prepared.resolver,
            engine.cache,
            SnapshotResults(snapshots),
            lambda name: all(
                each.layer is None or snapshots.is_ready(each.name) for each in snapshots.chain(name)
            ),
            Reasons(engine, request, definition).explainer,
            job,
        )
