"""Progress for pipes and CI logs: a numbered block of lines per step, as ``docker build`` prints it.

One step at a time has the floor; what others say meanwhile waits, so that lines of different
steps do not mix. The floor passes on when its step is over, falls silent for a second, or has
had it for five; a step that gets it again repeats its header. Times are those of the events.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO

from builder.cli.render.base import Renderer, Sources, Step
from builder.cli.render.diagnostics import render_warning
from builder.cli.render.log import LogLine
from builder.cli.render.output import Output, Ticker
from builder.cli.render.text import amount, clean, one_line
from builder.core.events import StepFinished, StepLog, StepProgress, StepStarted, Warned

_SILENCE_S = 1.0
_TURN_S = 5.0
_TRANSFER_S = 5.0  # between two lines about one unfinished transfer
_MOST_WAITING = 1024 * 1024  # characters of waiting lines; beyond that they are shown at once


class Plain(Renderer):
    """Writes in the thread that emits: a reader that stalls, stalls the build, as with ``make``."""

    def __init__(
        self,
        stream: IO[str] | IO[bytes],
        *,
        color: bool = True,
        clock: Callable[[], float] = time.time,
        tick_s: float = 0.5,
        sources: Sources | None = None,
    ) -> None:
        """``color`` keeps the colours of what steps print; ``tick_s`` 0: only events advance the view."""
        super().__init__()
        self._output = Output(stream)
        self._color = color
        self._clock = clock
        self._sources = sources
        self._ticker = Ticker(tick_s, self.tick)
        self._numbers: dict[str, int] = {}
        self._floor: Step | None = None
        self._floor_since = 0.0
        self._last_said = 0.0
        # Who wants the floor, each in the order in which they began to wait: steps with lines,
        # those of them that are over, and steps that only began.
        self._waiting: dict[str, list[str]] = {}
        self._over: dict[str, None] = {}
        self._begun: dict[str, None] = {}
        self._waiting_size = 0
        self._told: dict[tuple[str, str], float] = {}  # when a transfer was last mentioned
        self._text: list[str] = []
        self._is_first = True

    def tick(self) -> None:
        """Give the floor to a waiting step if its time has come although nothing happens."""
        with self._lock:
            if not self._is_closed:
                self._advance(self._clock())

    def close(self) -> None:
        """Show all that waits."""
        self._ticker.stop()
        with self._lock:
            if not self._is_closed:
                for step in self._steps.values():
                    if step.finished is None and step.output is not None:
                        self._say(step, self._lines(step, step.output.finish(step.seconds(self._clock()))))
                while self._waiting:
                    self._pass_floor(self._last_said)
                self._write()
        super().close()

    def _on_started(self, step: Step, event: StepStarted) -> None:
        self._begun[step.id] = None
        self._advance(event.at)

    def _on_missed(self, step: Step) -> None:
        self._say(step, [f"why: {step.cause}"])

    def _on_log(self, step: Step, event: StepLog, lines: list[LogLine]) -> None:
        if lines:
            self._say(step, self._lines(step, lines))
            self._advance(event.at)

    def _on_progress(self, step: Step, event: StepProgress, before: StepProgress | None) -> None:
        if before is not None and _is_complete(before):
            return
        key = (step.id, event.item)
        if not _is_complete(event) and event.at - self._told.setdefault(key, event.at) < _TRANSFER_S:
            return
        self._told[key] = event.at
        self._say(step, [_transfer(event)])
        self._advance(event.at)

    def _on_finished(self, step: Step, event: StepFinished, rest: list[LogLine]) -> None:
        lines = self._lines(step, rest)
        for item in step.items.values():
            self._told.pop((step.id, item.item), None)
            # A transfer of unknown size is complete when its step is.
            if item.total == 0 and item.current and event.error is None:
                lines.append(_transfer(item, is_done=True))
        if event.is_cancelled:
            if step.started_at is None:
                return
            lines.append("CANCELED")
        elif event.error is not None:
            lines.append(f"ERROR: {one_line(event.error)}")
        else:
            lines.append("CACHED" if event.is_cached else f"DONE {step.seconds(event.at):.1f}s")
        self._say(step, lines)
        self._over[step.id] = None
        self._advance(event.at)

    def _on_warned(self, warning: Warned) -> None:
        source = None
        if self._sources is not None and warning.location is not None:
            source = self._sources(warning.location.file)
        if self._floor is not None:
            self._leave_floor()
        self._text.append(f"\n{render_warning(warning, source, color=False)}")
        self._write()

    def _lines(self, step: Step, lines: list[LogLine]) -> list[str]:
        return [
            f"{line.seconds:.3f} {line.text if self._color else clean(line.text, keep_color=False)}"
            for line in lines
        ]

    def _say(self, step: Step, lines: list[str]) -> None:
        if lines:
            self._waiting.setdefault(step.id, []).extend(lines)
            self._waiting_size += sum(map(len, lines))

    def _advance(self, at: float) -> None:
        """Show what may be shown at that time."""
        while self._waiting or self._begun:
            floor = self._floor
            if floor is not None and floor.id in self._waiting:
                self._show(floor, at)
            elif floor is None or self._is_floor_over(at):
                self._pass_floor(at)
            else:
                # The floor's step may never speak again: somebody has to look at the clock.
                self._ticker.start()
                break
        self._write()

    def _is_floor_over(self, at: float) -> bool:
        if not self._waiting:
            return False  # steps that only began can wait: their header says nothing yet
        return (
            at - self._last_said >= _SILENCE_S
            or at - self._floor_since >= _TURN_S
            or self._waiting_size > _MOST_WAITING
        )

    def _pass_floor(self, at: float) -> None:
        if self._floor is not None:
            self._leave_floor()
        step = self._steps[next(iter(self._over or self._waiting or self._begun))]
        number = self._numbers.setdefault(step.id, len(self._numbers) + 1)
        self._text.append(f"\n#{number} {step.name}\n")
        self._floor, self._floor_since = step, at
        self._show(step, at)

    def _leave_floor(self) -> None:
        assert self._floor is not None
        self._text.append(f"#{self._numbers[self._floor.id]} ...\n")
        self._floor = None

    def _show(self, step: Step, at: float) -> None:
        lines = self._waiting.pop(step.id, [])
        self._begun.pop(step.id, None)
        self._over.pop(step.id, None)
        self._waiting_size -= sum(map(len, lines))
        number = self._numbers[step.id]
        self._text += [f"#{number} {line}\n" for line in lines]
        self._last_said = at
        if step.finished is not None:
            self._floor = None

    def _write(self) -> None:
        if self._text:
            text = "".join(self._text)
            self._text.clear()
            # The empty line is between blocks, not before the first.
            self._output.write(text.removeprefix("\n") if self._is_first else text)
            self._is_first = False


def _is_complete(progress: StepProgress) -> bool:
    return progress.total > 0 and progress.current >= progress.total


def _transfer(progress: StepProgress, *, is_done: bool = False) -> str:
    current = amount(progress.current, progress.unit)
    item = one_line(progress.item)
    if is_done or _is_complete(progress):
        return f"{item} {current} done"
    if progress.total:
        return f"{item} {current} / {amount(progress.total, progress.unit)}"
    return f"{item} {current}"
