"""A drawing as lines of text: stage by stage, with what comes from elsewhere named."""

from __future__ import annotations

from collections.abc import Iterator

from builder.cli.builds import seconds
from builder.cli.render.text import one_line
from builder.cli.tables import align, size
from builder.engine.graph.drawing import Drawing, DrawnStep

_NAME_LENGTH = 60


def as_tree(drawing: Drawing) -> str:
    """Ends with a line end."""
    by_id = {step.record.digest: step for step in drawing.steps}
    stages: dict[str, list[DrawnStep]] = {}
    for step in drawing.steps:
        stages.setdefault(step.stage, []).append(step)
    rows: list[str] = []
    remarks: list[list[str]] = []
    for steps in stages.values():
        for index, step in enumerate(steps):
            is_last = index == len(steps) - 1
            rows.append(_row(step, "└─ " if is_last else "├─ ", _from(step, by_id)))
            mark = "   " if is_last else "│  "
            remarks.append([f"{mark}   {line}" for line in _remarks(step)])
    aligned = align("\n".join(rows)).split("\n") if rows else []
    lines = iter(zip(aligned, remarks, strict=True))
    body: list[str] = []
    for stage, steps in stages.items():
        body.append(one_line(stage) or "steps")
        for _ in steps:
            line, more = next(lines)
            body += [line.rstrip(), *more]
    return "\n".join((*_head(drawing), "", *body, ""))


def _head(drawing: Drawing) -> Iterator[str]:
    if drawing.build is not None:
        build = drawing.build
        saved = f", {seconds(drawing.saved_s)} saved by the cache" if drawing.saved_s else ""
        yield f"build {build.id}: {build.outcome} in {seconds(build.seconds)}{saved}"
    if drawing.image is not None:
        yield f"image {drawing.image} ({one_line(drawing.title)})"


def _row(step: DrawnStep, branch: str, origins: str) -> str:
    name = one_line(step.name)
    name = name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
    record = step.record
    layers = ""
    if step.layers:
        first, last = step.layers[0].number, step.layers[-1].number
        numbers = f"layer {first}" if first == last else f"layers {first}-{last}"
        layers = f"{numbers} ({size(sum(layer.size for layer in step.layers))})"
    cells = (
        f"{branch}{f'{step.number} ' if step.number else ''}{name}",
        "" if step.status == "image" else step.status,
        f"{record.seconds:.2f}s{' *' if step.is_critical else ''}" if record.started_at is not None else "",
        size(step.written) if step.written is not None else "",
        layers,
        origins,
    )
    return "\t".join(cells)


def _from(step: DrawnStep, by_id: dict[str, DrawnStep]) -> str:
    """The inputs that lie in other stages."""
    others = [by_id[name] for name in step.record.inputs if name in by_id]
    labels = [one_line(other.label) for other in others if other.stage != step.stage]
    return f"← {', '.join(labels)}" if labels else ""


def _remarks(step: DrawnStep) -> Iterator[str]:
    if step.record.cause:
        yield one_line(step.record.cause)
    if step.record.error:
        yield f"error: {one_line(step.record.error)}"
