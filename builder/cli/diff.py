"""`diff`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli.context import opened
from builder.cli.render.text import escape

if TYPE_CHECKING:  # loaded when there is a store to ask
    from builder.engine.imagediff import ImageDiff

_LETTERS = {"added": "A", "removed": "D", "changed": "C"}


def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="IMAGE")],
    after: Annotated[str, typer.Argument(metavar="IMAGE")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if there is a difference.")
    ] = False,
) -> None:
    """Show what is in one image and not, or otherwise, in another."""
    from builder.engine.imagediff import diff_images

    with opened(context) as engine:
        found = diff_images(engine, before, after)
        if as_json:
            print(json.dumps(_document(found), indent=2))
        else:
            for line in _described(found):
                print(line)
    if exit_code and not found.is_empty:
        raise typer.Exit(1)


def _described(found: ImageDiff) -> list[str]:
    lines = []
    for change in found.paths:
        facts = ", ".join(
            f"{name} {pair[0]} → {pair[1]}" if pair else name for name, pair in change.differences.items()
        )
        lines.append(f"{_LETTERS[change.kind]} {escape(change.path)}{f'  {facts}' if facts else ''}")
    return lines + [
        f"{escape(member.name)}: {_value(member.before)} → {_value(member.after)}" for member in found.config
    ]


def _value(value: Any) -> str:
    return "unset" if value is None else escape(json.dumps(value, ensure_ascii=False))


def _document(found: ImageDiff) -> dict[str, Any]:
    return {
        "before": str(found.before),
        "after": str(found.after),
        "paths": [
            {
                "path": change.path,
                "change": change.kind,
                "kind": change.entry.kind,
                "size": change.entry.size if change.entry.kind == "file" else None,
                "differences": change.differences,
            }
            for change in found.paths
        ],
        "config": [
            {"name": member.name, "before": member.before, "after": member.after} for member in found.config
        ],
    }
