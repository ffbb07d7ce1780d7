"""`builds ls`, `builds show`, `builds logs`, `builds rm`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli.context import opened
from builder.cli.image import raise_all
from builder.cli.listing import listing
from builder.cli.render.text import one_line
from builder.cli.tables import ago, table
from builder.core.errors import PybuildError

if TYPE_CHECKING:  # loaded when there is a store to ask
    from builder.engine.history.record import BuildRecord, StepRecord

Build = Annotated[
    str, typer.Argument(metavar="[BUILD]", help="An id, the beginning of one, latest, or latest~1.")
]
Format = Annotated[
    str, typer.Option("--format", metavar="HOW", help="table, table TEMPLATE, json, or a Go template.")
]
_HEAD = {
    "ID": "BUILD ID", "Name": "NAME", "Status": "STATUS", "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT", "Duration": "DURATION", "Steps": "STEPS", "Cached": "CACHED",
    "Image": "IMAGE", "Context": "CONTEXT", "Error": "ERROR",
}  # fmt: skip
_NAME_LENGTH = 30


def ls(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only ids.")] = False,
    no_trunc: Annotated[bool, typer.Option("--no-trunc", help="Show names in full.")] = False,
    format: Format = "",
) -> None:
    """List builds, the latest first."""
    from builder.engine.history.shelf import BuildShelf

    with opened(context) as engine:
        found = BuildShelf(engine.database, engine.state).all()
    if quiet:
        for record in found:
            print(record.id)
        return
    columns = ["ID", "Name", "Status", "CreatedSince", "Duration", "Cached"]
    rows = [
        {
            "ID": record.id,
            "Name": _clip(name_of(record), no_trunc),
            "Status": record.outcome,
            "CreatedSince": ago(record.started_at),
            "CreatedAt": _clock(record.started_at),
            "Duration": seconds(record.seconds),
            "Steps": str(len(record.steps)),
            "Cached": f"{sum(is_saved(step) for step in record.steps)}/{len(record.steps)}",
            "Image": record.image or "",
            "Context": record.context,
            "Error": record.error_code or "",
        }
        for record in found
    ]
    text = listing(format, "\t".join(f"{{{{.{column}}}}}" for column in columns), _HEAD, rows)
    if text:
        print(text)


def show(
    context: typer.Context,
    build: Build = "latest",
    format: Annotated[str, typer.Option("--format", metavar="HOW", help="json, or a Go template.")] = "",
) -> None:
    """Show what a build did."""
    from builder.engine.history.shelf import BuildShelf

    with opened(context) as engine:
        record = BuildShelf(engine.database, engine.state).find(build)
    if format == "json":
        print(json.dumps(as_document(record), indent=2))
    elif format:
        from builder.cli.template.evaluate import Template

        print(Template.read(format).apply(as_document(record)))
    else:
        print("\n".join(_described(record)))


def logs(
    context: typer.Context,
    build: Build = "latest",
    step: Annotated[
        str | None,
        typer.Argument(metavar="[STEP]", help="A line of the Dockerfile, a number as 2/5, part of a name."),
    ] = None,
) -> None:
    """Show what the steps of a build printed."""
    from builder.engine.history.choice import find_steps
    from builder.engine.history.shelf import BuildShelf
    from builder.engine.history.steplog import step_logs

    with opened(context) as engine:
        shelf = BuildShelf(engine.database, engine.state)
        record = shelf.find(build)
        wanted = record.steps if step is None else find_steps(record, step)
        for found in step_logs(shelf, record, wanted, is_earlier=step is not None):
            if step is None or len(wanted) > 1 or found.build != record.id:
                origin = f" (cached; printed by build {found.build})" if found.build != record.id else ""
                print(f"{one_line(found.step.name)}{origin}", flush=True)
            with open(found.path, "rb") as file:
                while data := file.read(1 << 20):
                    sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def rm(
    context: typer.Context,
    builds: Annotated[list[str] | None, typer.Argument(metavar="[BUILD...]")] = None,
    all: Annotated[bool, typer.Option("-a", "--all", help="All of them.")] = False,
) -> None:
    """Forget builds and what their steps printed; images and the cache stay."""
    from builder.engine.history.shelf import BuildNotFound, BuildShelf

    if not builds and not all:
        raise BuildNotFound(
            "no build was named", hint="name builds as `pybuild builds ls` shows them, or --all"
        )
    failed: list[PybuildError] = []
    chosen: dict[str, None] = {}
    with opened(context) as engine:
        shelf = BuildShelf(engine.database, engine.state)
        if all:
            chosen = dict.fromkeys(record.id for record in shelf.all())
        for name in builds or ():
            try:
                chosen[shelf.find(name).id] = None
            except PybuildError as error:
                failed.append(error)
        for build_id in chosen:
            shelf.remove(build_id)
            print(build_id)
    raise_all(failed)


def name_of(record: BuildRecord) -> str:
    """What people would call it: its first tag, else its folder, with the stage that was asked for."""
    from builder.core.reference import Reference

    if record.tags:
        return Reference.parse(record.tags[0]).familiar()
    name = PurePath(record.context).name or record.context
    return f"{name} ({record.target})" if record.target else name


def is_saved(step: StepRecord) -> bool:
    """Whether the cache had it, or made it unnecessary."""
    return step.status in ("cached", "unneeded")


def seconds(count: float) -> str:
    """``0.3s``, ``12.0s``, ``2m 05s``."""
    return f"{count:.1f}s" if count < 60 else f"{int(count) // 60}m {int(count) % 60:02}s"


def as_document(record: BuildRecord) -> dict[str, Any]:
    """For programs: every field of the record but the list of what was read."""
    return {
        "id": record.id,
        "startedAt": record.started_at,
        "seconds": round(record.seconds, 6),
        "status": record.outcome,
        "context": record.context,
        "file": record.file,
        "target": record.target,
        "arguments": [list(pair) for pair in record.arguments],
        "error": {"code": record.error_code, "message": record.error} if record.error_code else None,
        "image": record.image,
        "tags": list(record.tags),
        "steps": [_step_document(step) for step in record.steps],
    }


def _step_document(step: StepRecord) -> dict[str, Any]:
    place = step.location
    return {
        "digest": step.digest,
        "name": step.name,
        "lines": [place.start_line, place.end_line] if place else None,
        "text": step.text,
        "inputs": list(step.inputs),
        "status": step.status,
        "cause": step.cause,
        "key": step.key,
        "result": step.result,
        "startedAt": step.started_at,
        "seconds": round(step.seconds, 6),
        "cpuSeconds": step.usage.cpu_s if step.usage else None,
        "peakMemory": step.usage.peak_memory if step.usage else None,
        "error": step.error,
    }


def _described(record: BuildRecord) -> list[str]:
    facts = {
        "Build": record.id,
        "Status": record.outcome,
        "Error": f"{record.error_code}: {one_line(record.error or '')}" if record.error_code else "",
        "Started": f"{_clock(record.started_at)} ({ago(record.started_at)})",
        "Took": seconds(record.seconds),
        "Context": record.context,
        "Dockerfile": record.file or "",
        "Target": record.target or "",
        "Options": " ".join(f"{name} {value}".strip() for name, value in record.arguments),
        "Image": record.image or "",
        "Names": ", ".join(record.tags),
    }
    lines = [f"{f'{name}:':<12}{value}" for name, value in facts.items() if value]
    if record.steps:
        rows = [
            (
                one_line(step.name),
                step.status,
                seconds(step.seconds) if step.seconds else "",
                step.cause or "",
            )
            for step in record.steps
        ]
        lines += [
            "",
            *(line.rstrip() for line in table(("STEP", "STATUS", "TIME", "CAUSE"), rows).split("\n")),
        ]
    return lines


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at))


def _clip(text: str, is_whole: bool) -> str:
    return text if is_whole or len(text) <= _NAME_LENGTH else f"{text[: _NAME_LENGTH - 1]}…"
