"""What a check found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from builder.cli.render.diagnostics import render_error, render_warning
from builder.cli.render.text import counted
from builder.core.errors import PybuildError
from builder.core.events import Warned
from builder.core.location import Location


def as_text(
    warnings: Sequence[Warned], errors: Sequence[PybuildError], source: bytes | None, *, color: bool
) -> str:
    """Each with its excerpt, errors first, and their number."""
    reports = [render_error(error, source, color=color) for error in errors]
    reports += [render_warning(warning, source, color=color) for warning in warnings]
    counts = []
    if errors:
        counts.append(counted(len(errors), "error"))
    if warnings:
        counts.append(counted(len(warnings), "warning"))
    return "\n".join((*reports, f"{' and '.join(counts) or 'nothing'} found\n"))


def as_json(warnings: Sequence[Warned], errors: Sequence[PybuildError], path: str) -> str:
    """One document; names as in the output of BuildKit's linter, as far as it has them."""
    document = {
        "file": path,
        "errors": [
            {"code": error.code, "detail": error.message, "hint": error.hint, **_place(error.location)}
            for error in errors
        ],
        "warnings": [
            {"ruleName": each.rule, "detail": each.message, "hint": each.hint, **_place(each.location)}
            for each in warnings
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _place(location: Location | None) -> Mapping[str, object]:
    """Characters count from 0, lines from 1; a range without characters is whole lines."""
    if location is None:
        return {}
    start: dict[str, int] = {"line": location.start_line}
    end: dict[str, int] = {"line": location.end_line}
    if location.start_column > 0:
        start["character"], end["character"] = location.start_column - 1, location.end_column - 1
    return {"location": {"ranges": [{"start": start, "end": end}]}}


def as_github(warnings: Sequence[Warned], errors: Sequence[PybuildError], path: str) -> str:
    """Workflow commands, one a line, which GitHub shows beside the code."""
    lines = [
        _command("error", error.message, error.hint, error.code, error.location, path) for error in errors
    ]
    lines += [
        _command("warning", each.message, each.hint, each.rule or "Dockerfile", each.location, path)
        for each in warnings
    ]
    return "".join(f"{line}\n" for line in lines)


def _command(
    level: str, message: str, hint: str | None, title: str, location: Location | None, path: str
) -> str:
    properties = {"file": path}
    if location is not None:
        properties["line"] = str(location.start_line)
        if location.start_line != location.end_line:
            properties["endLine"] = str(location.end_line)
        elif location.start_column > 0:
            # Columns are shown only within one line.
            properties["col"], properties["endColumn"] = str(location.start_column), str(location.end_column)
    properties["title"] = title
    written = ",".join(f"{name}={_escaped(value, is_property=True)}" for name, value in properties.items())
    text = message if hint is None else f"{message} ({hint})"
    return f"::{level} {written}::{_escaped(text, is_property=False)}"


def _escaped(text: str, *, is_property: bool) -> str:
    """As the runner's own toolkit does it."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if is_property else text
