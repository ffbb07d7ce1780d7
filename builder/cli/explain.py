"""`explain` and `plan`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli.borrowed import own_option, take_options_of_build
from builder.cli.build import explained
from builder.cli.context import opened
from builder.cli.render.text import one_line

if TYPE_CHECKING:  # loaded when there is a store to ask
    from builder.core.location import Location
    from builder.engine.why.cause import Cause
    from builder.engine.why.plan import PlannedStep
    from builder.engine.why.report import Explained, Report

_MOST_CAUSES = 20

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

# Options of `build` that change keys, or what is read for them; names of the image are borne with.
_WHAT_COUNTS = frozenset(
    "context path tags file target build_args build_arg_files labels build_contexts no_cache no_cache_filter"
    " pull network platform secrets ssh context_modes allow add_host ulimits shm_size cgroup_parent"
    " locked".split()
)


def explain(
    context: typer.Context,
    step: Annotated[
        str, typer.Argument(metavar="STEP", help="A line of the Dockerfile, a number as 2/5, part of a name.")
    ],
    build: Annotated[
        str, typer.Option("--build", metavar="BUILD", help="The build that it ran in (default: latest).")
    ] = "latest",
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="BUILD", help="What to compare with, if not the build before."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say all that made a step run."""
    from builder.engine.history.shelf import BuildShelf
    from builder.engine.why.report import explain as make_report

    with opened(context) as engine:
        shelf = BuildShelf(engine.database, engine.state)
        other = shelf.find(against) if against is not None else None
        report = make_report(shelf, engine.cache, shelf.find(build), step, other)
    if as_json:
        print(json.dumps(_document(report), indent=2))
    else:
        print("\n".join(line for each in report.steps for line in _lines(report, each)))


def plan(context: typer.Context, as_json: AsJson = False, **given: Any) -> None:
    """Say what a build would run, and why, without running it."""
    from builder.cli.build_request import request_of
    from builder.engine.build import BuildSource
    from builder.engine.plan import plan as make_plan
    from builder.engine.recorder import Recorder

    recorder, source = Recorder(os.environ), BuildSource()
    request = request_of(given, recorder)
    with explained("quiet", source) as renderer, opened(context, renderer) as engine:
        steps = make_plan(engine, request, recorder, source, renderer)
    if as_json:
        print(json.dumps({"steps": [_planned(step) for step in steps]}, indent=2))
        return
    for step in steps:
        print(f"{step.prediction:<8}{one_line(step.name)}")
        for line in _said(step.causes):
            print(f"        {line}")


def _lines(report: Report, explained: Explained) -> list[str]:
    step = explained.step
    where = f", line {step.location.start_line}" if step.location is not None else ""
    lines = [f"{one_line(step.name)}{where}: {_outcome(step.status)} in build {report.build.id}"]
    if not explained.causes:
        lines.append(f"  nothing changed since build {report.against.id}" if report.against else "  cached")
    lines += [f"  {line}" for line in _said(explained.causes)]
    for root, causes in explained.roots:
        lines.append(f"{one_line(root.name)}: {_outcome(root.status)}")
        lines += [f"  {line}" for line in _said(causes)]
    if report.against is not None and explained.causes:
        lines.append(f"compared with build {report.against.id}")
    return lines


def _said(causes: Sequence[Cause]) -> list[str]:
    lines = [one_line(cause.text) for cause in causes[:_MOST_CAUSES]]
    return lines if len(causes) <= _MOST_CAUSES else [*lines, f"and {len(causes) - _MOST_CAUSES} more"]


def _outcome(status: str) -> str:
    return {"done": "ran", "unneeded": "not needed", "unreached": "not reached"}.get(status, status)


def _document(report: Report) -> dict[str, Any]:
    return {
        "build": report.build.id,
        "against": report.against.id if report.against is not None else None,
        "steps": [
            {
                "name": each.step.name,
                **_line(each.step.location),
                "status": each.step.status,
                "causes": _documents(each.causes),
                "roots": [
                    {"name": root.name, "status": root.status, "causes": _documents(causes)}
                    for root, causes in each.roots
                ],
            }
            for each in report.steps
        ],
    }


def _planned(step: PlannedStep) -> dict[str, Any]:
    return {
        "name": step.name,
        **_line(step.location),
        "prediction": step.prediction,
        "causes": _documents(step.causes),
    }


def _line(location: Location | None) -> dict[str, int]:
    return {} if location is None else {"line": location.start_line}


def _documents(causes: tuple[Cause, ...]) -> list[dict[str, Any]]:
    return [cause.document() for cause in causes]


take_options_of_build(plan, own_option("as_json", AsJson, False), _WHAT_COUNTS.__contains__)
