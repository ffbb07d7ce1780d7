"""`profile`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli.builds import Build, seconds
from builder.cli.context import opened
from builder.cli.render.text import one_line
from builder.cli.tables import size, table

if TYPE_CHECKING:  # loaded when there is a store to ask
    from builder.engine.history.profile import Profile, ProfileLine

_NAME_LENGTH = 60


def profile(
    context: typer.Context,
    build: Build = "latest",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="Write it in Chrome's trace format instead."),
    ] = None,
) -> None:
    """Show where the time of a build went."""
    from builder.engine.history.profile import profile as profile_of
    from builder.engine.history.shelf import BuildShelf

    with opened(context) as engine:
        record = BuildShelf(engine.database, engine.state).find(build)
        if trace is not None:
            from builder.engine.history.trace import write_trace

            write_trace(record, trace)
            return
        found = profile_of(engine, record)
    if as_json:
        print(json.dumps(_document(found), indent=2))
    else:
        print("\n".join(_described(found)))


def _described(found: Profile) -> list[str]:
    rows = [_row(line) for line in found.lines]
    head = ("STEP", "STATUS", "WALL", "CPU", "MEMORY", "WRITTEN", "SAVED")
    lines = [line.rstrip() for line in table(head, rows).split("\n")]
    count = sum(line.is_critical for line in found.lines)
    lines += [
        "",
        f"* the critical path: {seconds(found.critical_s)} in {count} of {len(found.lines)} steps;"
        f" the build took {seconds(found.record.seconds)}",
    ]
    if found.saved_s:
        lines.append(f"the cache saved {seconds(found.saved_s)}, as far as the steps' last runs are recorded")
    return lines


def _row(line: ProfileLine) -> tuple[str, ...]:
    step = line.step
    name = one_line(step.name)
    return (
        ("* " if line.is_critical else "  ")
        + (name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"),
        step.status,
        f"{step.seconds:.2f}s" if step.started_at is not None else "",
        f"{step.usage.cpu_s:.2f}s" if step.usage else "",
        size(step.usage.peak_memory) if step.usage else "",
        size(line.written) if line.written is not None and step.status == "done" else "",
        f"{line.saved_s:.2f}s" if line.saved_s is not None else "",
    )


def _document(found: Profile) -> dict[str, Any]:
    return {
        "build": found.record.id,
        "seconds": round(found.record.seconds, 6),
        "criticalSeconds": round(found.critical_s, 6),
        "savedSeconds": round(found.saved_s, 6),
        "steps": [
            {
                "name": line.step.name,
                "digest": line.step.digest,
                "status": line.step.status,
                "seconds": round(line.step.seconds, 6),
                "cpuSeconds": line.step.usage.cpu_s if line.step.usage else None,
                "peakMemory": line.step.usage.peak_memory if line.step.usage else None,
                "written": line.written,
                "savedSeconds": None if line.saved_s is None else round(line.saved_s, 6),
                "isCritical": line.is_critical,
            }
            for line in found.lines
        ],
    }
