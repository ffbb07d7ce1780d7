"""A build in Chrome's trace-event format, as chrome://tracing and Perfetto read it.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builder.engine.history.record import BuildRecord, StepRecord
from builder.fs.replace import replacing

_PROCESS = 1
_CACHE_LANE = 0


def trace_document(record: BuildRecord) -> dict[str, Any]:
    """Times are microseconds since the build began; steps that ran side by side are in lanes of their own."""
    ran = [step for step in record.steps if step.started_at is not None]
    lanes = _lanes(ran)
    events = [
        _metadata("process_name", 0, f"pybuild build {record.id}"),
        _metadata("thread_name", _CACHE_LANE, "cache"),
        *(_metadata("thread_name", lane, f"lane {lane}") for lane in sorted(set(lanes.values()))),
        *(_hit(step) for step in record.steps if step.status in ("cached", "unneeded")),
        *(_span(record, step, lanes[step.digest]) for step in ran),
        *_arrows(record, ran, lanes),
    ]
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "build": record.id,
            "status": record.outcome,
            "seconds": round(record.seconds, 6),
            "image": record.image or "",
        },
    }


def write_trace(record: BuildRecord, path: Path) -> None:
    """As a file, which appears when it is whole."""
    with replacing(path) as file:
        file.write(json.dumps(trace_document(record)).encode())


def _lanes(steps: list[StepRecord]) -> dict[str, int]:
    """Numbers from 1: the lowest that is free when the step begins."""
    found: dict[str, int] = {}
    ends: list[float] = []
    for step in sorted(steps, key=lambda each: each.started_at or 0.0):
        start = step.started_at or 0.0
        lane = next((number for number, end in enumerate(ends) if end <= start), len(ends))
        ends[lane : lane + 1] = [start + step.seconds]
        found[step.digest] = lane + 1
    return found


def _metadata(kind: str, lane: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": _PROCESS, "tid": lane, "args": {"name": name}}


def _hit(step: StepRecord) -> dict[str, Any]:
    return {
        "ph": "i", "s": "t", "cat": step.status, "name": step.name, "pid": _PROCESS, "tid": _CACHE_LANE,
        "ts": 0, "args": _facts(step),
    }  # fmt: skip


def _span(record: BuildRecord, step: StepRecord, lane: int) -> dict[str, Any]:
    return {
        "ph": "X", "cat": step.status, "name": step.name, "pid": _PROCESS, "tid": lane,
        "ts": _start(record, step), "dur": _micro(step.seconds), "args": _facts(step),
    }  # fmt: skip


def _facts(step: StepRecord) -> dict[str, Any]:
    facts: Mapping[str, Any] = {
        "digest": step.digest,
        "line": step.location.start_line if step.location else None,
        "text": step.text,
        "key": step.key,
        "cause": step.cause,
        "error": step.error,
        "cpu_s": step.usage.cpu_s if step.usage else None,
        "peak_memory": step.usage.peak_memory if step.usage else None,
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _arrows(record: BuildRecord, ran: list[StepRecord], lanes: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """From each step to those that waited for its result."""
    known = {step.digest: step for step in ran}
    number = 0
    for step in ran:
        for below in (known[name] for name in step.inputs if name in known):
            number += 1
            end = _start(record, below) + _micro(below.seconds)
            arrow = {"cat": "input", "name": "input", "id": number, "pid": _PROCESS}
            yield {**arrow, "ph": "s", "tid": lanes[below.digest], "ts": end}
            yield {**arrow, "ph": "f", "bp": "e", "tid": lanes[step.digest], "ts": _start(record, step)}


def _start(record: BuildRecord, step: StepRecord) -> int:
    return max(0, _micro((step.started_at or record.started_at) - record.started_at))


def _micro(seconds: float) -> int:
    return round(seconds * 1_000_000)
