"""`index create`, `index inspect`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli.build import InvalidOption
from builder.cli.context import opened, rendered
from builder.cli.platforms import platforms_of
from builder.cli.render.text import escape
from builder.core.reference import Reference

if TYPE_CHECKING:
    from builder.engine.indexes import Created, Inspected

# Of Go's names of members, those that are not the JSON's with a capital letter.
_GO_NAMES = {
    "os": "OS", "rootfs": "RootFS", "diff_ids": "DiffIDs", "created_by": "CreatedBy",
    "empty_layer": "EmptyLayer", "os.version": "OSVersion", "os.features": "OSFeatures",
}  # fmt: skip
# Their members are the user's, and keep their names.
_MAPS = ("annotations", "Labels", "ExposedPorts", "Volumes")


def create(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help="Names, digests, or descriptors as JSON."),
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("-t", "--tag", metavar="NAME", help="Where to; several times.")
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add to what the tag is already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the index, and push nothing.")] = False,
    annotations: Annotated[
        list[str] | None,
        typer.Option("--annotation", metavar="[TYPE:]K=V", help="Of the index, or of a manifest-descriptor."),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("-f", "--file", metavar="FILE", help="A descriptor, or what --metadata-file wrote."),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option("-p", "--platform", metavar="OS/ARCH,…", help="Keep only images for these."),
    ] = None,
    prefer_index: Annotated[
        bool, typer.Option("--prefer-index/--no-prefer-index", help="Make an index of a single image too.")
    ] = True,
    metadata_file: Annotated[
        Path | None, typer.Option("--metadata-file", metavar="FILE", help="Write what was made as JSON.")
    ] = None,
    progress: Annotated[
        str, typer.Option("--progress", metavar="HOW", help="auto, plain, tty, quiet or rawjson.")
    ] = "auto",
) -> None:
    """Make an index of images that registries have."""
    from builder.engine.indexes import IndexRequest, create_index, index_annotations

    texts = [*(sources or ()), *map(_read, files or ())]
    request = IndexRequest(
        texts,
        [Reference.parse(tag).with_default_tag() for tag in tags or ()],
        index_annotations(annotations or ()),
        platforms_of(platform or ()),
        append,
        prefer_index,
    )
    if not texts and not append:
        raise InvalidOption("an index is made of something", hint="name images")
    if not request.tags and (append or not dry_run):
        raise InvalidOption("an index needs a place", hint="give --tag, or --dry-run to see it")
    with rendered("quiet" if dry_run else progress) as renderer, opened(context, renderer) as engine:
        created = create_index(
            engine,
            request,
            is_dry=dry_run,
            warn=lambda text: print(f"warning: {escape(text)}", file=sys.stderr),
        )
    if dry_run:
        print(json.dumps(json.loads(created.document), indent=2, ensure_ascii=False))
        return
    if metadata_file is not None:
        _describe(metadata_file, created, request.tags)
    for tag in request.tags:
        print(f"{tag.familiar()}: digest: {created.digest} size: {len(created.document)}")


def inspect(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="At a registry.")],
    raw: Annotated[bool, typer.Option("--raw", help="The document, byte for byte.")] = False,
    format: Annotated[
        str,
        typer.Option("--format", metavar="HOW", help="json, or a Go template with .Name .Manifest .Image."),
    ] = "",
) -> None:
    """Show what a registry has under a name."""
    from builder.engine.indexes import configs, inspect_index

    with opened(context) as engine:
        found = inspect_index(engine, name)
        image = configs(engine, found) if format and not raw else None
    if raw:
        sys.stdout.buffer.write(found.fetched.raw)
    elif format:
        print(_formatted(format, found, image))
    else:
        # What a registry says may hold anything, and must not write on the terminal.
        print("\n".join(map(escape, _lines(found))))


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InvalidOption(f'cannot read "{file}": {reason}', hint="look at -f") from error


def _describe(file: Path, created: Created, tags: Sequence[Reference]) -> None:
    from builder.engine.export import write_document

    document = {
        "containerimage.descriptor": {
            "mediaType": created.media_type,
            "digest": str(created.digest),
            "size": len(created.document),
        },
        "containerimage.digest": str(created.digest),
        "image.name": ",".join(map(str, tags)),
    }
    write_document(file, json.dumps(document, indent=2, sort_keys=True) + "\n")


def _lines(found: Inspected) -> list[str]:
    """As `docker buildx imagetools inspect` has it."""
    from builder.engine.indexes import described

    reference, document = found.reference, described(found)
    lines = [
        f"Name:      {reference}",
        f"MediaType: {document['mediaType']}",
        f"Digest:    {document['digest']}",
    ]
    if document.get("annotations"):
        lines += ["Annotations:", *_pairs(document["annotations"], "  ")]
    if "manifests" in document:
        lines += ["", "Manifests:"]
        for entry in document["manifests"]:
            lines += [*_entry(reference, entry), ""]
        del lines[-1]
    return lines


def _entry(reference: Reference, entry: Mapping[str, Any]) -> list[str]:
    lines = [
        f"  Name:      {reference.with_digest(None)}@{entry['digest']}",
        f"  MediaType: {entry.get('mediaType', '')}",
    ]
    said = entry.get("platform")
    if isinstance(said, dict):
        names = (said.get(key) for key in ("os", "architecture", "variant"))
        lines.append(f"  Platform:  {'/'.join(str(name) for name in names if name)}")
    if entry.get("annotations"):
        lines += ["  Annotations:", *_pairs(entry["annotations"], "    ")]
    return lines


def _pairs(annotations: Mapping[str, Any], indent: str) -> list[str]:
    return [f"{indent}{key}: {value}" for key, value in sorted(annotations.items())]


def _formatted(format: str, found: Inspected, image: Any) -> str:
    from builder.cli.template.evaluate import Template
    from builder.engine.indexes import described

    whole = {"name": str(found.reference), "manifest": described(found), "image": image}
    if format == "json":
        return json.dumps(whole, indent=2, ensure_ascii=False)
    return Template.read(format).apply(_as_go(whole))


def _as_go(value: Any, *, is_map: bool = False) -> Any:
    """Members by Go's names too, for templates; JSON keeps the document's."""
    from builder.cli.template.values import Record

    if isinstance(value, list):
        return [_as_go(item) for item in value]
    if not isinstance(value, dict):
        return value
    # Platforms are keys of a map, as in "linux/amd64".
    is_map = is_map or any("/" in key for key in value)
    members = {key: _as_go(item, is_map=key in _MAPS) for key, item in value.items()}
    if is_map:
        return members
    return Record(members, {_GO_NAMES.get(key, key[:1].upper() + key[1:]): members[key] for key in members})
