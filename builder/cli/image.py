"""`images`, `inspect`, `history`, `tag`, `rmi`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from builder.cli.context import opened
from builder.cli.tables import ago_rfc3339, size, table
from builder.core.digest import Digest
from builder.core.errors import PybuildError

_NoTrunc = Annotated[bool, typer.Option("--no-trunc", help="Show ids and texts in full.")]


def images(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only ids.")] = False,
    no_trunc: _NoTrunc = False,
) -> None:
    """List images."""
    from builder.engine.images import list_images

    with opened(context) as engine:
        found = list_images(engine)
    if quiet:
        for id in dict.fromkeys(line.id for line in found):
            print(_shown(id, no_trunc))
        return
    rows = [
        (line.repository, line.tag, _shown(line.id, no_trunc), ago_rfc3339(line.created), size(line.size))
        for line in found
    ]
    print(table(("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"), rows))


def inspect(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Images or containers.")],
) -> None:
    """Show all about images and containers, as JSON."""
    from builder.engine.containers import inspect_container
    from builder.engine.images import inspect_image
    from builder.runtime.containers import ContainerNotFound

    documents: list[Any] = []
    with opened(context) as engine:
        for name in names:
            try:
                documents.append(inspect_container(engine, name))
            except ContainerNotFound:
                documents.append(inspect_image(engine, name))
    print(json.dumps(documents, indent=4, ensure_ascii=False))


def history(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="IMAGE")],
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only ids.")] = False,
    no_trunc: _NoTrunc = False,
    format: Annotated[str, typer.Option("--format", metavar="HOW", help="table or json.")] = "table",
) -> None:
    """Show the steps that an image is made of."""
    from builder.engine.images import image_history

    with opened(context) as engine:
        lines = image_history(engine, name)
    ids = [_shown(line.image, no_trunc) if line.image else "<missing>" for line in lines]
    if quiet:
        print("\n".join(ids))
        return
    if format == "json":
        for id, line in zip(ids, lines, strict=True):
            print(json.dumps({"id": id, "size": line.size, **asdict(line.entry)}))
        return
    if format != "table":
        raise _InvalidFormat(f'--format cannot be "{format}"', hint="it is table or json")
    rows = [
        (
            id,
            ago_rfc3339(line.entry.created),
            _clip(line.entry.created_by, no_trunc),
            size(line.size),
            line.entry.comment,
        )
        for id, line in zip(ids, lines, strict=True)
    ]
    print(table(("IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"), rows))


def tag(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="IMAGE")],
    target: Annotated[str, typer.Argument(metavar="NEW_NAME")],
) -> None:
    """Give an image another name."""
    from builder.engine.images import tag as tag_image

    with opened(context) as engine:
        tag_image(engine, source, target)


def rmi(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="IMAGE...")],
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Also with several names, or used by a container.")
    ] = False,
) -> None:
    """Remove images."""
    from builder.engine.images import remove_image

    with opened(context) as engine:
        for name in names:
            removed = remove_image(engine, name, is_forced=force)
            for untagged in removed.untagged:
                print(f"Untagged: {untagged}")
            if removed.deleted is not None:
                print(f"Deleted: {removed.deleted}")


class _InvalidFormat(PybuildError):
    """``--format`` is neither table nor json."""

    code = "invalid-format"


def _shown(id: Digest, is_whole: bool) -> str:
    return str(id) if is_whole else id.short


def _clip(text: str, is_whole: bool) -> str:
    text = " ".join(text.split())
    return text if is_whole or len(text) <= 45 else f"{text[:44]}…"
