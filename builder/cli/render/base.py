"""What every renderer is: a thread-safe receiver of events that knows its steps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, assert_never

from builder.cli.render.log import LogLine, StepOutput
from builder.cli.render.text import one_line
from builder.core.events import (
    Event,
    StepFinished,
    StepLog,
    StepMissed,
    StepProgress,
    StepQueued,
    StepStarted,
    StepUsage,
    Warned,
)

Sources = Callable[[str], bytes | None]  # a location's file name to its bytes, for excerpts
_MOST_WARNINGS = 1000
_MOST_ITEMS = 500


class Step:
    """One step as far as its events told; logs go when it ends, unless it failed."""

    __slots__ = ("cause", "finished", "id", "inputs", "items", "name", "output", "started_at")

    def __init__(self, step_id: str) -> None:
        self.id = step_id
        self.name = step_id
        self.cause = ""
        self.inputs: tuple[str, ...] = ()
        self.started_at: float | None = None
        self.finished: StepFinished | None = None
        self.output: StepOutput | None = None
        self.items: dict[str, StepProgress] = {}

    def seconds(self, at: float) -> float:
        """Since the step started; its wall time once it finished."""
        if self.finished is not None and (self.finished.seconds or self.finished.is_cached):
            return self.finished.seconds
        return max(0.0, at - self.started_at) if self.started_at is not None else 0.0


class Renderer:
    """A ``Progress`` with a ``close``; subclasses draw in their ``_on_…`` methods, under the lock."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler in the thread that emits may emit, too.
        self._lock = threading.RLock()
        self._steps: dict[str, Step] = {}
        self._warnings: dict[Warned, None] = {}
        self._failed: list[str] = []
        self._is_closed = False

    def emit(self, event: Event) -> None:
        """Takes one event, from any thread; ignores what comes after ``close``."""
        with self._lock:
            if not self._is_closed:
                self._take(event)

    def close(self) -> None:
        """Show what is left and stop; idempotent."""
        with self._lock:
            self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def failed_steps(self) -> list[str]:
        """Steps that ended in an error, the first one first; cancelled ones are not among them."""
        with self._lock:
            return list(self._failed)

    @property
    def warnings(self) -> list[Warned]:
        """All of them, in the order in which they came."""
        with self._lock:
            return list(self._warnings)

    @property
    def findings(self) -> int:
        """How many warnings come from the build checks."""
        with self._lock:
            return sum(warning.rule is not None for warning in self._warnings)

    def step_name(self, step: str) -> str:
        """The name as shown; the id of a step that nobody announced."""
        with self._lock:
            return self._steps[step].name if step in self._steps else step

    def failure_tail(self, step: str) -> list[str]:
        """The last log lines of a failed (or running) step, each after its time: ``0.055 message``."""
        with self._lock:
            known = self._steps.get(step)
            if known is None or known.output is None:
                return []
            return [f"{line.seconds:.3f} {line.text}" for line in known.output.tail()]

    def _take(self, event: Event) -> None:
        match event:
            case StepQueued():
                step = self._step(event.step)
                step.name, step.inputs = one_line(event.name), event.inputs
                self._on_queued(step)
            case StepStarted():
                step = self._step(event.step)
                # A step that was over starts again if its cached result turned out to be gone.
                step.started_at, step.finished = event.at, None
                self._on_started(step, event)
            case StepMissed():
                step = self._step(event.step)
                step.cause = one_line(event.cause)
                self._on_missed(step)
            case StepLog():
                self._take_log(self._step(event.step), event)
            case StepProgress():
                step = self._step(event.step)
                if step.started_at is None:
                    step.started_at = event.at
                if event.item in step.items or len(step.items) < _MOST_ITEMS:
                    self._on_progress(step, event, step.items.get(event.item))
                    step.items[event.item] = event
            case StepFinished():
                self._take_end(self._step(event.step), event)
            case StepUsage():
                pass  # for the record
            case Warned():
                if event not in self._warnings and len(self._warnings) < _MOST_WARNINGS:
                    self._warnings[event] = None
                    self._on_warned(event)
            case _:
                assert_never(event)

    def _step(self, step_id: str) -> Step:
        step = self._steps.get(step_id)
        if step is None:
            step = self._steps[step_id] = Step(step_id)
        return step

    def _take_log(self, step: Step, event: StepLog) -> None:
        if step.started_at is None:
            step.started_at = event.at
        if step.output is None:
            step.output = StepOutput()
        lines = step.output.feed(event.stream, event.data, max(0.0, event.at - step.started_at))
        self._on_log(step, event, lines)

    def _take_end(self, step: Step, event: StepFinished) -> None:
        seconds = step.seconds(event.at)
        rest = step.output.finish(seconds) if step.output is not None else []
        step.finished = event
        if event.error is not None and not event.is_cancelled:
            self._failed.append(step.id)
        self._on_finished(step, event, rest)
        step.items = {}
        if event.error is None or event.is_cancelled:
            step.output = None

    def _on_queued(self, step: Step) -> None:
        """The step is known by name."""

    def _on_started(self, step: Step, event: StepStarted) -> None:
        """The step runs."""

    def _on_missed(self, step: Step) -> None:
        """It is known why the step runs."""

    def _on_log(self, step: Step, event: StepLog, lines: list[LogLine]) -> None:
        """The step printed; ``lines`` are those that this event completes."""

    def _on_progress(self, step: Step, event: StepProgress, before: StepProgress | None) -> None:
        """An item moved on; ``before`` is what was last said of it."""

    def _on_finished(self, step: Step, event: StepFinished, rest: list[LogLine]) -> None:
        """The step is over; ``rest`` are lines that never got their end."""

    def _on_warned(self, warning: Warned) -> None:
        """Called once for equal warnings."""
