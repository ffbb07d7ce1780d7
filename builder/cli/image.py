"""`images`, `inspect`, `history`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from builder.cli.context import opened
from builder.cli.listing import listing
from builder.cli.tables import ago_rfc3339, go_time, size
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError, SeveralErrors

NoTrunc = Annotated[bool, typer.Option("--no-trunc", help="Show ids and texts in full.")]
Format = Annotated[
    str, typer.Option("--format", metavar="HOW", help="table, table TEMPLATE, json, or a Go template.")
]
_HEAD = {
    "ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT", "Size": "SIZE", "Containers": "CONTAINERS", "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
}  # fmt: skip
_HISTORY_HEAD = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY",
    "Size": "SIZE", "Comment": "COMMENT",
}  # fmt: skip


class UnknownType(PybuildError):
    """`inspect --type` names something that pybuild has not."""

    kind = Kind.INVALID
    code = "unknown-type"


def images(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[REPOSITORY[:TAG]]", help="Only these; * and ? are patterns.")
    ] = None,
    all: Annotated[bool, typer.Option("-a", "--all", help="Also the other images of an index.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only ids.")] = False,
    digests: Annotated[bool, typer.Option("--digests", help="Also the digests of registries.")] = False,
    no_trunc: NoTrunc = False,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "-f", "--filter", metavar="NAME=VALUE", help="dangling, label, reference, before, since, until."
        ),
    ] = None,
    format: Format = "",
    tree: Annotated[bool, typer.Option("--tree", help="With a line for each platform.")] = False,
) -> None:
    """List images."""
    from builder.engine.imagelist import list_images

    wanted = [*(filters or []), *([f"reference={name}"] if name else [])]
    has_digests = digests or "{{.Digest}}" in format
    with opened(context) as engine:
        if tree:
            from builder.cli.imagetrees import print_trees

            if quiet or digests or format:
                raise UnknownType(
                    "--tree goes with no other form of the list", hint="leave out -q and --format"
                )
            print_trees(engine, wanted, is_whole=no_trunc)
            return
        found = list_images(engine, wanted, has_digests=has_digests, has_parts=all)
    if quiet:
        for line in found:
            print(_shown(line.id, no_trunc))
        return
    columns = ["Repository", "Tag", *(["Digest"] if digests else []), "ID", "CreatedSince", "Size"]
    rows = [
        {
            "Containers": "N/A",
            "CreatedAt": go_time(line.created),
            "CreatedSince": ago_rfc3339(line.created),
            "Digest": line.digest,
            "ID": _shown(line.id, no_trunc),
            "Repository": line.repository,
            "SharedSize": "N/A",
            "Size": size(line.size),
            "Tag": line.tag,
            "UniqueSize": "N/A",
            "VirtualSize": size(line.size, 4),
        }
        for line in found
    ]
    _print(listing(format, "\t".join(f"{{{{.{column}}}}}" for column in columns), _HEAD, rows))


def inspect(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Images or containers.")],
    format: Annotated[
        str, typer.Option("-f", "--format", metavar="HOW", help="json, or a Go template.")
    ] = "",
    type: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="Look only for image or container.")
    ] = "",
) -> None:
    """Show all about images and containers, as JSON."""
    from builder.engine.containers import inspect_container
    from builder.engine.imagelist import inspect_image
    from builder.runtime.containers import ContainerNotFound

    if type not in ("", "image", "container"):
        raise UnknownType(f'--type cannot be "{type}"', hint="it is image or container")
    documents: list[Any] = []
    missing: list[PybuildError] = []
    with opened(context) as engine:
        for name in names:
            try:
                if type != "image":
                    try:
                        documents.append(inspect_container(engine, name))
                        continue
                    except ContainerNotFound:
                        if type == "container":
                            raise
                documents.append(inspect_image(engine, name))
            except PybuildError as error:
                if error.kind is not Kind.NOT_FOUND:
                    raise
                missing.append(error)
    if not format:
        print(json.dumps(documents, indent=4, ensure_ascii=False))
    elif format == "json":
        from builder.cli.template.values import encoded

        print(encoded(documents))
    else:
        from builder.cli.template.evaluate import Template
        from builder.cli.template.records import inspected

        template = Template.read(format)
        for document in documents:
            print(inspected(template, document))
    raise_all(missing)


def history(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="IMAGE")],
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only ids.")] = False,
    human: Annotated[
        bool, typer.Option("-H", "--human/--no-human", help="Sizes and times for people.")
    ] = True,
    no_trunc: NoTrunc = False,
    format: Format = "",
) -> None:
    """Show the steps that an image is made of."""
    from builder.engine.imagelist import image_history

    with opened(context) as engine:
        lines = image_history(engine, name)
    ids = [_shown(line.image, no_trunc) if line.image else "<missing>" for line in lines]
    if quiet:
        print("\n".join(ids))
        return
    rows = [
        {
            "Comment": line.entry.comment,
            "CreatedAt": line.entry.created[:19] + "Z",
            "CreatedBy": _clip(line.entry.created_by, no_trunc),
            "CreatedSince": ago_rfc3339(line.entry.created) if human else line.entry.created[:19] + "Z",
            "ID": id,
            "Size": size(line.size) if human else str(line.size),
        }
        for id, line in zip(ids, lines, strict=True)
    ]
    created = "CreatedSince" if human else "CreatedAt"
    columns = f"{{{{.ID}}}}\t{{{{.{created}}}}}\t{{{{.CreatedBy}}}}\t{{{{.Size}}}}\t{{{{.Comment}}}}"
    _print(listing(format, columns, _HISTORY_HEAD, rows))


def raise_all(errors: list[PybuildError]) -> None:
    """One error as itself, several together."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralErrors(errors)


def _print(text: str) -> None:
    if text:
        sys.stdout.write(f"{text}\n")


def _shown(id: Digest, is_whole: bool) -> str:
    return str(id) if is_whole else id.short


def _clip(text: str, is_whole: bool) -> str:
    text = text.replace("\t", " ")
    return text if is_whole or len(text) <= 45 else f"{text[:44]}…"
