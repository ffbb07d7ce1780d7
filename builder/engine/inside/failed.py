"""What failed steps left."""

from __future__ import annotations

from builder.core.errors import PybuildError
from builder.engine.assemble import Engine
from builder.ops.exec import StepFailed, failure_name
from builder.store.state import remove_tree


def step_of(error: PybuildError) -> str | None:
    """The digest of the step whose process failed; None: it was something else."""
    return error.step if isinstance(error, StepFailed) else None


def drop(engine: Engine, build: str, step: str) -> None:
    """Throw away the files of one step, by its digest."""
    remove_tree(engine.state.failed / failure_name(build, step))
