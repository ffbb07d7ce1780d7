"""Traces and critical paths of builds."""

from __future__ import annotations

import json

from builder.core.location import Location
from builder.engine.history.record import BuildRecord, StepRecord, Usage
from builder.engine.history.trace import trace_document
from builder.solver.graph import critical_path


def _step(name: str, start: float, seconds: float, *inputs: str) -> StepRecord:
    return StepRecord(
        digest=name,
        name=f"[{name}]",
        location=Location(3, 1, 4, 2),
        inputs=inputs,
        status="done",
        started_at=start,
        seconds=seconds,
        usage=Usage(cpu_s=0.5, peak_memory=9),
    )


def _record() -> BuildRecord:
    steps = (
        StepRecord(digest="base", name="[base]", status="cached"),
        _step("left", 100.5, 2.0, "base"),
        _step("right", 101.0, 0.25, "base"),
        _step("late", 101.5, 0.5),
        _step("top", 102.5, 1.0, "left", "right"),
        StepRecord(digest="never", name="[never]"),
    )
    return BuildRecord(id="b", started_at=100.0, seconds=4.0, steps=steps)


def test_trace_has_the_shape_of_the_format() -> None:
    """Every event has the members that its phase needs, and the whole is JSON."""
    document = json.loads(json.dumps(trace_document(_record())))
    needed = {"M": {"args"}, "i": {"ts", "s"}, "X": {"ts", "dur"}, "s": {"ts", "id"}, "f": {"ts", "id", "bp"}}
    for event in document["traceEvents"]:
        assert {"ph", "name", "pid", "tid"} | needed[event["ph"]] <= set(event)
        assert all(isinstance(event[name], int) for name in ("ts", "dur", "pid", "tid") if name in event)
        assert all(event[name] >= 0 for name in ("ts", "dur") if name in event)

    assert document["displayTimeUnit"] == "ms"


def test_spans_of_a_lane_do_not_overlap() -> None:
    """A step takes the lowest lane that is free when it begins, from the microsecond when it did."""
    spans = [event for event in trace_document(_record())["traceEvents"] if event["ph"] == "X"]

    assert [("[left]", 1, 500_000, 2_000_000), ("[right]", 2, 1_000_000, 250_000)] == [
        (event["name"], event["tid"], event["ts"], event["dur"]) for event in spans[:2]
    ]
    assert [2, 1] == [event["tid"] for event in spans[2:]]


def test_arrows_lead_from_the_end_of_an_input_to_its_user() -> None:
    """A pair with one number for each input that ran."""
    events = trace_document(_record())["traceEvents"]
    begins = {event["id"]: event["ts"] for event in events if event["ph"] == "s"}
    ends = {event["id"]: event["ts"] for event in events if event["ph"] == "f"}

    assert {1: 2_500_000, 2: 1_250_000} == begins
    assert {1: 2_500_000, 2: 2_500_000} == ends


def test_critical_path_is_the_longest_chain() -> None:
    """Not the one with the most steps, nor the longest step by itself."""
    inputs = {"top": ["left", "right"], "left": ["base"], "right": ["base", "unknown"], "aside": ["base"]}
    seconds = {"base": 1.0, "left": 2.0, "right": 3.0, "top": 1.0, "aside": 3.5}

    assert critical_path(seconds, inputs) == ["base", "right", "top"]
    assert critical_path({}, inputs) == []
