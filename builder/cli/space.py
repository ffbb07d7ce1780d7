"""`du`, `prune`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli.context import opened, settings_of
from builder.cli.render.text import counted, one_line
from builder.cli.system import UnknownFormat
from builder.cli.tables import ago, size, table

if TYPE_CHECKING:  # loaded when there is a store to ask
    from builder.engine.space.policy import Verdict
    from builder.engine.space.prune import Pruned
    from builder.engine.space.usage import Usage

# Of an id; more of it where --filter id= needs it is in the JSON.
_ID_LENGTH = 19
_TEXT_LENGTH = 60


def du(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Each thing by itself.")] = False,
    format: Annotated[str, typer.Option("--format", metavar="HOW", help="table or json.")] = "table",
) -> None:
    """Show what takes the room in the store."""
    from builder.engine.space.usage import usage

    _check_format(format)
    with opened(context) as engine:
        found = usage(engine, lists_things=verbose or format == "json")
    if format == "json":
        print(json.dumps(_usage_document(found), ensure_ascii=False))
        return
    if verbose:
        rows = [
            (
                use.kind, use.id[:_ID_LENGTH], size(use.size), size(use.shared), size(use.unique),
                ago(use.last_used), _clip(use.text),
            )
            for use in found.things
        ]  # fmt: skip
        print(table(("TYPE", "ID", "SIZE", "SHARED", "UNIQUE", "LAST USED", "WHAT"), rows))
        print()
    kinds = [
        (kind.kind, str(kind.things) if kind.things else "", size(kind.size), size(kind.reclaimable))
        for kind in found.kinds
    ]
    print(table(("TYPE", "COUNT", "SIZE", "RECLAIMABLE"), kinds))
    print(f"\nTotal: {size(found.total)}")


def prune(
    context: typer.Context,
    all: Annotated[
        bool, typer.Option("-a", "--all", help="Also records that images share, and records of builds.")
    ] = False,
    keep_storage: Annotated[
        str | None,
        typer.Option(
            "--keep-storage",
            "--max-used-space",
            metavar="SIZE",
            help="Keep what was used last, until the store has this size.",
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="NAME=VALUE", help="until=24h, id=ID or type=TYPE; several times."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing: say what would be.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="A line for all that stays.")] = False,
    force: Annotated[bool, typer.Option("-f", "--force", help="Ask nothing.")] = False,
    format: Annotated[str, typer.Option("--format", metavar="HOW", help="table or json.")] = "table",
) -> None:
    """Give back the room that nobody needs, and say why the rest stays."""
    from builder.core.limits import parse_size
    from builder.engine.space.emergency import make_first_room
    from builder.engine.space.policy import read_filters
    from builder.engine.space.prune import prune as run
    from builder.engine.space.usage import step_names

    _check_format(format)
    policy = replace(
        read_filters(filters or [], now=time.time()),
        takes_shared=all,
        keep=None if keep_storage is None else parse_size(keep_storage, "--keep-storage"),
        keep_text=f"--keep-storage {keep_storage}",
    )
    if not force and not dry_run:
        what = "all build cache, also what images share" if all else "all build cache that no image uses"
        print(
            f"WARNING! This will remove {what}, and images without a name.\n"
            "Are you sure you want to continue? [y/N] ",
            end="",
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return
    if not dry_run:
        make_first_room(settings_of(context).root)
    with opened(context) as engine:
        texts = step_names(engine)  # now, while all records are there
        pruned = run(engine, policy, is_dry=dry_run, sizes_kept=dry_run or verbose or format == "json")
    if format == "json":
        print(json.dumps(_pruned_document(pruned, texts), ensure_ascii=False))
        return
    _print_pruned(pruned, texts, is_dry=dry_run, lists_kept=dry_run or verbose)


def _print_pruned(pruned: Pruned, texts: dict[str, str], *, is_dry: bool, lists_kept: bool) -> None:
    removed = [verdict for verdict in pruned.verdicts if verdict.is_removed]
    kept = [verdict for verdict in pruned.verdicts if not verdict.is_removed]
    if removed:
        rows = [_row(verdict, texts) for verdict in removed]
        print("Would remove:" if is_dry else "Removed:")
        print(table(("TYPE", "ID", "FREES", "WHAT"), rows))
        print()
    if kept and lists_kept:
        reasoned = [(*_row(verdict, texts)[:3], verdict.reason, _row(verdict, texts)[3]) for verdict in kept]
        print("Stays:")
        print(table(("TYPE", "ID", "SIZE", "BECAUSE", "WHAT"), reasoned))
        print()
    elif kept:
        reasons: dict[str, int] = {}
        for verdict in kept:
            reasons[verdict.reason] = reasons.get(verdict.reason, 0) + 1
        for reason, number in sorted(reasons.items(), key=lambda item: -item[1]):
            print(f"{counted(number, 'thing')} stay{'s' if number == 1 else ''}: {reason}")
    print(f"Total reclaimed space: {size(max(0, pruned.before - pruned.after))}")


def _row(verdict: Verdict, texts: dict[str, str]) -> tuple[str, str, str, str]:
    thing = verdict.thing
    return thing.kind, thing.id[:_ID_LENGTH], size(verdict.size), _clip(thing.text or texts.get(thing.id, ""))


def _clip(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _TEXT_LENGTH else f"{line[: _TEXT_LENGTH - 1]}…"


def _check_format(format: str) -> None:
    if format not in ("table", "json"):
        raise UnknownFormat(f'--format cannot be "{format}"', hint="there are table and json")


def _usage_document(found: Usage) -> dict[str, Any]:
    things = [
        {
            "type": use.kind, "id": use.id, "text": use.text, "size": use.size, "shared": use.shared,
            "unique": use.unique, "createdAt": use.created_at, "lastUsedAt": use.last_used,
        }
        for use in found.things
    ]  # fmt: skip
    kinds = [
        {"type": kind.kind, "count": kind.things, "size": kind.size, "reclaimable": kind.reclaimable}
        for kind in found.kinds
    ]
    return {"total": found.total, "types": kinds, "things": things}


def _pruned_document(pruned: Pruned, texts: dict[str, str]) -> dict[str, Any]:
    things = [
        {
            "type": verdict.thing.kind, "id": verdict.thing.id,
            "text": verdict.thing.text or texts.get(verdict.thing.id, ""),
            "removed": verdict.is_removed, "reason": verdict.reason, "size": verdict.size,
        }
        for verdict in pruned.verdicts
    ]  # fmt: skip
    return {"before": pruned.before, "after": pruned.after, "things": things}
