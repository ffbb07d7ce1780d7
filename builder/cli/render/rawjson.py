"""Progress for programs: one JSON object a line, in the shape of BuildKit's ``SolveStatus``."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import IO

from builder.cli.render.base import Renderer, Step
from builder.cli.render.log import LogLine
from builder.cli.render.output import Output
from builder.cli.render.warned import warning_document
from builder.core.events import StepFinished, StepLog, StepProgress, StepStarted, Warned

_CANCELED = "context canceled"  # how BuildKit's clients tell a cancelled vertex from a failed one


class RawJson(Renderer):
    """Every event at once, complete: log bytes are neither cut into lines nor clipped."""

    def __init__(self, stream: IO[str] | IO[bytes]) -> None:
        super().__init__()
        self._output = Output(stream)

    def _on_queued(self, step: Step) -> None:
        self._put("vertexes", self._vertex(step))

    def _on_started(self, step: Step, event: StepStarted) -> None:
        self._put("vertexes", self._vertex(step))

    def _on_missed(self, step: Step) -> None:
        self._put("vertexes", self._vertex(step))

    def _on_log(self, step: Step, event: StepLog, lines: list[LogLine]) -> None:
        entry: dict[str, object] = {"vertex": step.id, "stream": event.stream}
        self._put("logs", {**entry, "data": _base64(event.data), "timestamp": _time(event.at)})

    def _on_progress(self, step: Step, event: StepProgress, before: StepProgress | None) -> None:
        status: dict[str, object] = {"id": event.item, "vertex": step.id, "name": event.item}
        if event.total:
            status["total"] = event.total
        status["current"] = event.current
        status["timestamp"] = _time(event.at)
        if event.total and event.current >= event.total:
            status["completed"] = _time(event.at)
        self._put("statuses", status)

    def _on_finished(self, step: Step, event: StepFinished, rest: list[LogLine]) -> None:
        vertex = self._vertex(step)
        if step.started_at is None and not event.is_cancelled:
            vertex["started"] = _time(event.at - event.seconds)
        vertex["completed"] = _time(event.at)
        if event.is_cached:
            vertex["cached"] = True
        if event.is_cancelled or event.error is not None:
            vertex["error"] = _CANCELED if event.is_cancelled else event.error
        self._put("vertexes", vertex)

    def _on_warned(self, warning: Warned) -> None:
        self._put("warnings", warning_document(warning))

    def _vertex(self, step: Step) -> dict[str, object]:
        vertex: dict[str, object] = {"digest": step.id, "name": step.name}
        if step.inputs:
            vertex["inputs"] = step.inputs
        if step.started_at is not None:
            vertex["started"] = _time(step.started_at)
        if step.cause:
            vertex["cause"] = step.cause  # pybuild's own; readers of BuildKit's ignore it
        return vertex

    def _put(self, family: str, entry: dict[str, object]) -> None:
        self._output.write(json.dumps({family: [entry]}, separators=(",", ":")) + "\n")


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
