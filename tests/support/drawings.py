"""Drawings of builds that never were."""

from __future__ import annotations

from builder.core.location import Location
from builder.engine.graph.drawing import Drawing, DrawnLayer, DrawnStep, name_parts
from builder.engine.history.record import BuildRecord, Status, StepRecord, Usage

# Ends elements, begins comments and templates, and is no UTF-8.
HOSTILE = (
    "[1/1] RUN </script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'>"
    "<!-- {{data}} {{scripts}} \u2028 \udcff & &lt; \\ \" ' ${window.hacked=3}"
)


def step(
    digest: str,
    name: str,
    *inputs: str,
    status: Status = "done",
    seconds: float | None = None,
    cause: str | None = None,
    error: str | None = None,
    written: int | None = None,
    saved_s: float | None = None,
    is_critical: bool = False,
    layers: tuple[DrawnLayer, ...] = (),
) -> DrawnStep:
    """``name`` as events have it."""
    stage, number, rest = name_parts(name)
    record = StepRecord(
        digest=digest,
        name=name,
        location=Location(3, 1, 4, 2),
        inputs=inputs,
        text=rest,
        status=status,
        key=f"key-of-{digest}",
        started_at=None if seconds is None else 100.0,
        seconds=seconds or 0.0,
        error=error,
        cause=cause,
        usage=None if seconds is None else Usage(cpu_s=seconds / 2, peak_memory=9_000_000),
    )
    return DrawnStep(
        record=record,
        status=status,
        stage=stage,
        number=number,
        name=rest,
        written=written,
        saved_s=saved_s,
        is_critical=is_critical,
        layers=layers,
    )


def drawing(*steps: DrawnStep, title: str = "app:latest") -> Drawing:
    """Of a build that was done."""
    build = BuildRecord(id="0123456789abcdef", started_at=100.0, seconds=2.5, context="/c")
    return Drawing(title, "sha256:1", build, steps, sum(each.saved_s or 0.0 for each in steps))


def large_drawing(count: int) -> Drawing:
    """Stages of ten steps, each of which reads the stage before; every status is there."""
    statuses: tuple[Status, ...] = ("cached", "done", "unneeded", "done", "done")
    steps = []
    for index in range(count):
        stage, number = divmod(index, 10)
        inputs = [f"s{index - 1}"] if number else ["s0"] if index else []
        if number == 5 and stage:
            inputs.append(f"s{index - 10}")
        steps.append(
            step(
                f"s{index}",
                f"[stage-{stage} {number + 1}/10] RUN make target-{index} && cp -r out /srv/{index}",
                *inputs,
                status=statuses[index % 5],
                seconds=0.1 * (index % 7),
                written=1000 * index,
                is_critical=index % 10 == 0,
            )
        )
    return drawing(*steps)
