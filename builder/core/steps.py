"""Work that people see as a step, though no vertex stands for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from builder.core.events import StepFinished, StepQueued, StepStarted
from builder.core.job import Job

T = TypeVar("T")


def as_step(step: str, name: str, job: Job, work: Callable[[], T]) -> T:
    """Run ``work`` as a step that people see."""
    started = time.time()
    job.progress.emit(StepQueued(step, name, (), None))
    job.progress.emit(StepStarted(step, started))
    try:
        value = work()
    except BaseException as error:
        now = time.time()
        job.progress.emit(
            StepFinished(step, now, False, str(error) or type(error).__name__, False, now - started)
        )
        raise
    now = time.time()
    job.progress.emit(StepFinished(step, now, False, None, False, now - started))
    return value
