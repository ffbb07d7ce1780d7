"""A drawing for Graphviz: `pybuild graph --format dot | dot -Tsvg`."""

from __future__ import annotations

from builder.cli.builds import seconds
from builder.cli.render.text import one_line
from builder.cli.tables import size
from builder.engine.graph.drawing import Drawing, DrawnStep

_COLORS = {
    "cached": "#d7ecd9", "unneeded": "#eef1f4", "done": "#d6e6fb", "failed": "#f8d3d0",
    "cancelled": "#fbe8cc", "unreached": "#ffffff", "image": "#eef1f4",
}  # fmt: skip
_NAME_LENGTH = 60


def as_dot(drawing: Drawing) -> str:
    """A digraph with a cluster for each stage; arrows lead from inputs to their users."""
    numbers = {step.record.digest: f"n{index}" for index, step in enumerate(drawing.steps)}
    stages: dict[str, list[DrawnStep]] = {}
    for step in drawing.steps:
        stages.setdefault(step.stage, []).append(step)
    lines = [
        "digraph build {",
        f"  label={_quoted(drawing.title)}; labelloc=t; rankdir=TB;",
        '  node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=10];',
    ]
    for index, (stage, steps) in enumerate(stages.items()):
        indent = "  "
        if stage:
            lines.append(f"  subgraph cluster_{index} {{ label={_quoted(stage)}; style=rounded;")
            indent = "    "
        lines += [f"{indent}{numbers[step.record.digest]} [{_attributes(step)}];" for step in steps]
        if stage:
            lines.append("  }")
    for step in drawing.steps:
        user = numbers[step.record.digest]
        lines += [f"  {numbers[below]} -> {user};" for below in step.record.inputs if below in numbers]
    return "\n".join((*lines, "}", ""))


def _attributes(step: DrawnStep) -> str:
    name = one_line(step.name)
    facts = [
        "" if step.status == "image" else step.status,
        seconds(step.record.seconds) if step.record.started_at is not None else "",
        size(step.written) if step.written is not None else "",
    ]
    texts = (
        f"{step.number} {name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + '…'}".strip(),
        " ".join(fact for fact in facts if fact),
        one_line(step.record.cause or ""),
    )
    label = "\n".join(text for text in texts if text)
    width = 2 if step.is_critical else 1
    return f'label={_quoted(label)}, fillcolor="{_COLORS[step.status]}", penwidth={width}'


def _quoted(text: str) -> str:
    """A string of the DOT language, in which a backslash begins an escape, and ``\\n`` is a line end."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
