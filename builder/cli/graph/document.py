"""A drawing as JSON, for programs and for the page."""

from __future__ import annotations

import json
from typing import Any

from builder.cli.builds import as_document
from builder.engine.graph.drawing import Drawing, DrawnStep


def as_json(drawing: Drawing) -> str:
    """Ends with a line end."""
    return json.dumps(document(drawing), indent=2) + "\n"


def document(drawing: Drawing) -> dict[str, Any]:
    """The fields of `builds show --format json`, and of each step where it stands, layers, and savings."""
    build = as_document(drawing.build) if drawing.build is not None else {}
    build.pop("steps", None)
    return {
        "title": drawing.title,
        "image": drawing.image,
        "build": build or None,
        "savedSeconds": round(drawing.saved_s, 6),
        "steps": [_step(step) for step in drawing.steps],
    }


def _step(step: DrawnStep) -> dict[str, Any]:
    record = step.record
    place = record.location
    return {
        "id": record.digest,
        "stage": step.stage,
        "number": step.number,
        "label": step.label,
        "name": step.name,
        "text": record.text,
        "lines": [place.start_line, place.end_line] if place else None,
        "inputs": list(record.inputs),
        "status": step.status,
        "cause": record.cause,
        "error": record.error,
        "key": record.key,
        "seconds": round(record.seconds, 6) if record.started_at is not None else None,
        "cpuSeconds": record.usage.cpu_s if record.usage else None,
        "peakMemory": record.usage.peak_memory if record.usage else None,
        "written": step.written,
        "savedSeconds": None if step.saved_s is None else round(step.saved_s, 6),
        "isCritical": step.is_critical,
        "layers": [
            {"number": layer.number, "size": layer.size, "diffId": layer.diff_id} for layer in step.layers
        ],
    }
