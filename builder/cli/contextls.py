"""`context ls`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli.render.text import amount, counted, one_line

if TYPE_CHECKING:  # --help does without
    from builder.engine.contextlist import ContextList, Decision, IgnoreRule

_MOST_FOLDERS = 10


def ls(
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="The build context: a folder.")] = ".",
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", metavar="FILE", help="The Dockerfile, for the ignore file beside it."),
    ] = None,
    why: Annotated[
        str | None, typer.Option("--why", metavar="PATH", help="Say of one path only whether it is in.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List what is in a build context, and what is not."""
    from builder.engine.contextlist import decide, list_context
    from builder.engine.recorder import Recorder

    recorder = Recorder(os.environ)
    if why is not None:
        decision = decide(Path(path), file, why, recorder)
        print(json.dumps(asdict(decision), indent=2) if as_json else _said(decision))
        return
    found = list_context(Path(path), file, recorder)
    if as_json:
        print(json.dumps(_document(found), indent=2))
    else:
        print("\n".join(_lines(found)))


def _lines(found: ContextList) -> list[str]:
    kept = [("in", amount(each.size, "B"), _shown(each.path, each.kind), "") for each in found.kept]
    out = [
        ("out", amount(each.size, "B"), _shown(each.path, each.kind), f"  {_named(each.rule)}")
        for each in found.left_out
    ]
    lines = [f"{word:<4}{size:>9}  {name}{rule}" for word, size, name, rule in (*kept, *out)]
    lines.append(f"in: {_sum(len(found.kept), sum(each.size for each in found.kept))}")
    left_out = sum(each.files for each in found.left_out), sum(each.size for each in found.left_out)
    lines.append(f"out: {_sum(*left_out)}")
    if len(found.folders) > 1:
        lines.append("largest folders:")
        lines += [
            f"    {amount(folder.size, 'B'):>9}  {_shown(folder.path, 'dir')}"
            for folder in found.folders[:_MOST_FOLDERS]
        ]
    return lines


def _said(decision: Decision) -> str:
    name = one_line(decision.path)
    if decision.rule is None:
        return f"{name} is in: no ignore rule applies to it"
    if decision.is_in and not decision.rule.is_exception:
        return f"{name} is in, for something below it is, although {_named(decision.rule)} leaves it out"
    return f"{name} is {'in' if decision.is_in else 'out'}: {_named(decision.rule)}"


def _named(rule: IgnoreRule) -> str:
    return f'"{one_line(rule.text)}", line {rule.line} of {rule.file}'


def _shown(path: str, kind: str) -> str:
    return one_line(f"{path}/" if kind == "dir" and path != "." else path)


def _sum(files: int, size: int) -> str:
    return f"{counted(files, 'file')}, {amount(size, 'B')}"


def _document(found: ContextList) -> dict[str, Any]:
    return {
        "in": [asdict(each) for each in found.kept],
        "out": [asdict(each) for each in found.left_out],
        "folders": [asdict(each) for each in found.folders],
    }
