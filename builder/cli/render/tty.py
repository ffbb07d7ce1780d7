"""Progress for people at a terminal: running steps at the bottom, finished ones scroll up.

Events only change what is known; a thread draws ten times a second. So a slow terminal never
holds up a build, and three thousand cached steps cost a few writes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, cast

from builder.cli.render.base import Renderer, Sources, Step
from builder.cli.render.diagnostics import render_warning
from builder.cli.render.frame import Row, cause_row, finished_row, header, live_rows
from builder.cli.render.log import LogLine
from builder.cli.render.output import Output, Ticker
from builder.core.events import Event, StepFinished, StepLog, StepProgress, StepStarted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_STYLES = {
    "done": "blue",
    "failed": "bold red",
    "canceled": "yellow",
    "running": "",
    "detail": "dim",
    "header": "bold",
}


class Tty(Renderer):
    """Draws with rich; ``close`` leaves every step's line, a summary and the warnings."""

    def __init__(
        self,
        stream: IO[str] | IO[bytes],
        *,
        color: bool = True,
        log_lines: int = 6,
        environ: Mapping[str, str] | None = None,
        size: tuple[int, int] | None = None,
        clock: Callable[[], float] = time.time,
        tick_s: float = 0.1,
        sources: Sources | None = None,
    ) -> None:
        """``environ`` tells what the terminal can; ``size`` (columns, rows) is asked of it otherwise."""
        super().__init__()
        # Imported here: the other renderers, and every command without one, do without 60 ms of rich.
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._text_type: type[Text] = Text
        self._output = Output(stream)
        width, height = size if size is not None else (None, None)
        self._console: Console = Console(
            file=cast("IO[str]", self._output),
            force_terminal=True,
            color_system="auto" if color else None,
            no_color=not color,
            width=width,
            height=height,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
            _environ=environ if environ is not None else {},
        )
        self._live = Live(
            Text(""), console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._color = color
        self._log_lines = log_lines
        self._clock = clock
        self._sources = sources
        self._began_at: float | None = None
        self._draw_lock = threading.Lock()
        self._ticker = Ticker(tick_s, self.tick)
        self._running: dict[str, Step] = {}
        self._scrolling: list[Row] = []  # finished since the last tick
        self._queued = 0
        self._done = 0
        self._is_canceled = False

    def tick(self) -> None:
        """Draw what is known now."""
        with self._draw_lock:
            with self._lock:
                if self._is_closed:
                    return
                scrolled, rows = self._scene(is_over=False)
            self._live.start()
            self._draw(scrolled, rows)

    def close(self) -> None:
        """Draw for the last time; steps that never ended are shown as they were."""
        self._ticker.stop()
        with self._draw_lock:
            with self._lock:
                if self._is_closed:
                    return
                scrolled, rows = self._scene(is_over=True)
                self._is_closed = True
            if self._began_at is None:
                return
            self._live.start()
            self._draw(scrolled, rows)
            self._live.stop()
            for warning in self._warnings:
                location = warning.location
                source = self._sources(location.file) if self._sources and location is not None else None
                self._output.write(render_warning(warning, source, color=self._color))

    def _take(self, event: Event) -> None:
        if self._began_at is None:
            self._began_at = self._clock()
            self._ticker.start()
        super()._take(event)

    def _on_queued(self, step: Step) -> None:
        self._queued += 1

    def _on_started(self, step: Step, event: StepStarted) -> None:
        self._running[step.id] = step

    def _on_log(self, step: Step, event: StepLog, lines: list[LogLine]) -> None:
        if step.finished is None:
            self._running[step.id] = step

    def _on_progress(self, step: Step, event: StepProgress, before: StepProgress | None) -> None:
        if step.finished is None:
            self._running[step.id] = step

    def _on_finished(self, step: Step, event: StepFinished, rest: list[LogLine]) -> None:
        self._running.pop(step.id, None)
        self._is_canceled |= event.is_cancelled
        if event.is_cancelled and step.started_at is None:
            return
        self._done += 1
        self._scrolling.append(finished_row(step))
        if step.cause:
            self._scrolling.append(cause_row(step))

    def _scene(self, *, is_over: bool) -> tuple[list[Row], list[Row]]:
        """What scrolls up now, and what stays in the live region: one row less than the screen."""
        scrolled, self._scrolling = self._scrolling, []
        now = self._clock()
        seconds = now - self._began_at if self._began_at is not None else 0.0
        total = max(self._queued, self._done + len(self._running))
        top = header(self._done, total, seconds, self._ending() if is_over else "")
        room = max(0, self._console.height - 2)
        lines = 0 if is_over else self._log_lines
        return scrolled, [top, *live_rows(list(self._running.values()), now, room, lines)]

    def _ending(self) -> str:
        if self._failed:
            return "FAILED"
        return "CANCELED" if self._running or self._is_canceled else "FINISHED"

    def _draw(self, scrolled: list[Row], rows: list[Row]) -> None:
        # One write for both: what scrolls up goes above the old view, which the new one replaces.
        with self._console:
            if scrolled:
                self._console.print(self._text(scrolled), no_wrap=True, crop=False)
            self._live.update(self._text(rows), refresh=True)

    def _text(self, rows: list[Row]) -> Text:
        return self._text_type("\n", no_wrap=True, end="").join(self._line(row) for row in rows)

    def _line(self, row: Row) -> Text:
        # The last column stays free: some terminals wrap as soon as it is written.
        width = self._console.width - 1
        style = _STYLES[row.style]
        line = self._text_type(row.left, style, no_wrap=True, end="")
        if row.right:
            line.truncate(max(1, width - len(row.right) - 1), overflow="ellipsis", pad=True)
            line.append(f" {row.right}", style)
        line.truncate(width, overflow="ellipsis")
        return line
