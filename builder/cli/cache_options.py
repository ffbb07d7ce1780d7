"""`--cache-from` and `--cache-to` of `pybuild build`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli.render.text import amount, counted
from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.suggest import did_you_mean

if TYPE_CHECKING:  # --help does without
    from builder.engine.build import BuildOutcome
    from builder.engine.sharing.options import CachePlace, CacheTarget, SharingOptions

CacheFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--cache-from", metavar="NAME|type=TYPE,…", help="Take steps from a shared cache; several times."
    ),
]
CacheTo = Annotated[
    list[str] | None,
    typer.Option("--cache-to", metavar="NAME|type=TYPE,…", help="Write a shared cache; several times."),
]

_PACKING = (
    "mode", "compression", "compression-level", "force-compression", "oci-mediatypes", "image-manifest",
    "ignore-error", "mounts",
)  # fmt: skip
_FROM = {"local": ("src", "tag", "digest"), "registry": ("ref",)}
_TO = {"local": ("dest", "tag", *_PACKING), "registry": ("ref", *_PACKING), "inline": ("mode",)}
_ELSEWHERE = {
    "gha": "a registry that the workflow may write to, such as ghcr.io: type=registry,ref=…",
    "s3": "a registry, or type=local and a tool that copies the folder to the bucket",
    "azblob": "a registry, or type=local and a tool that copies the folder to the container",
}


class InvalidCacheOption(PybuildError):
    """--cache-from or --cache-to cannot be read, or makes no sense."""

    kind = Kind.INVALID
    code = "invalid-cache-option"


def read_sharing(
    sources: Sequence[str] | None, targets: Sequence[str] | None, arguments: Mapping[str, str] = {}
) -> SharingOptions:
    """Docker's build argument for an inline cache counts as one.

    Raises InvalidCacheOption, InvalidReference, InvalidDigest, UnknownCompression, Unsupported.
    """
    from builder.engine.sharing.options import SharingOptions

    texts = list(targets or ())
    if arguments.get("BUILDKIT_INLINE_CACHE", "").lower() in ("1", "t", "true"):
        texts.append("type=inline")
    return SharingOptions(
        sources=tuple(_source(text) for text in sources or ()), targets=tuple(map(_target, texts))
    )


def summary_lines(outcome: BuildOutcome) -> list[str]:
    """What shared caches did for the build, and it for them."""
    lines = []
    saved = outcome.saved
    if saved is not None:
        if saved.steps:
            fetched, size = amount(saved.fetched, "B"), amount(saved.size, "B")
            lines.append(
                f"cache: {saved.steps} of {saved.of} steps came from {', '.join(saved.places)}, which saved"
                f" {saved.seconds:.1f} s; {fetched} of their {size} were fetched"
            )
        else:
            lines.append(f"cache: none of {saved.of} steps came from a shared cache")
    lines += [
        f"cache: {counted(each.records, 'record')} written to {each.place} in {each.seconds:.1f} s;"
        f" {counted(each.blobs, 'new blob')}, {amount(each.size, 'B')}"
        for each in outcome.written
    ]
    return lines


def _source(text: str) -> CachePlace:
    from builder.core.digest import Digest
    from builder.core.reference import DEFAULT_TAG
    from builder.engine.sharing.options import CachePlace

    kind, values = _values("--cache-from", text, _FROM)
    if kind == "registry":
        return _repository("--cache-from", values)
    source = _needed("--cache-from", values, "src")
    digest = values.get("digest")
    name = str(Digest.parse(digest)) if digest else values.get("tag") or DEFAULT_TAG
    return CachePlace(folder=Path(source).absolute(), name=name)


def _target(text: str) -> CacheTarget:
    from builder.core.reference import DEFAULT_TAG
    from builder.engine.sharing.options import CachePlace, CacheTarget, packed_as

    kind, values = _values("--cache-to", text, _TO)
    mode = values.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidCacheOption(f'--cache-to: mode cannot be "{mode}"', hint="it is min or max")
    if kind == "inline":
        if mode == "max":
            raise InvalidCacheOption(
                "an inline cache has the layers of its image and no others",
                hint="leave mode=max out, or export to a registry",
            )
        return CacheTarget()
    mounts = tuple(name.strip().lstrip("/") for name in values.get("mounts", "").split(",") if name.strip())
    if not _flag(values, "image-manifest", default=True):
        raise Unsupported("--cache-to: a cache is an image manifest always", hint="leave image-manifest out")
    pack = packed_as(
        values.get("compression", "gzip"),
        _level(values),
        is_forced=_flag(values, "force-compression", default=False),
        is_oci=_flag(values, "oci-mediatypes", default=True),
    )
    place = (
        _repository("--cache-to", values)
        if kind == "registry"
        else CachePlace(
            folder=Path(_needed("--cache-to", values, "dest")).absolute(),
            name=values.get("tag") or DEFAULT_TAG,
        )
    )
    return CacheTarget(
        place=place,
        mode="max" if mode == "max" else "min",
        pack=pack,
        fails_build=not _flag(values, "ignore-error", default=True),
        mounts=() if "all" in mounts else mounts,
        has_all_mounts="all" in mounts,
    )


def _repository(option: str, values: Mapping[str, str]) -> CachePlace:
    from builder.core.reference import Reference
    from builder.engine.sharing.options import CachePlace

    reference = Reference.parse(_needed(option, values, "ref")).with_default_tag()
    if reference.digest is not None and option == "--cache-to":
        raise InvalidCacheOption(f'{option}: "{reference}" names a digest', hint="name a tag")
    return CachePlace(reference=reference, name=str(reference.digest or reference.tag))


def _values(option: str, text: str, kinds: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, str]]:
    """CSV as buildx reads it; a single field without "=" is a name in a registry."""
    import csv

    try:
        (fields,) = csv.reader([text], strict=True) if "\n" not in text else ([],)
    except (csv.Error, ValueError) as error:
        raise InvalidCacheOption(f'{option} "{text}" cannot be read: {error}') from error
    if len(fields) == 1 and fields[0] and "=" not in fields[0]:
        return "registry", {"ref": fields[0]}
    values: dict[str, str] = {}
    last = ""
    for field in fields:
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if last == "mounts" and (not equals or key == "mounts"):
            values[last] += f",{value if equals else field}"  # mounts=ID,ID
            continue
        if not equals or not key:
            raise InvalidCacheOption(f'{option}: "{field}" is no key=value', hint="write type=TYPE,KEY=VALUE")
        values[key], last = value, key
    kind = values.pop("type", "")
    if kind in _ELSEWHERE:
        raise Unsupported(f"{option}: type={kind} is not built yet", hint=f"use {_ELSEWHERE[kind]}")
    if kind not in kinds:
        raise InvalidCacheOption(
            f'{option} type "{kind}" is not known',
            hint=did_you_mean(kind, kinds, otherwise=f"it is one of {', '.join(kinds)}"),
        )
    for key in values:
        if key not in kinds[kind]:
            raise InvalidCacheOption(
                f'{option} type={kind} has no "{key}"',
                hint=did_you_mean(key, kinds[kind], otherwise=f"it has {', '.join(kinds[kind])}"),
            )
    return kind, values


def _needed(option: str, values: Mapping[str, str], key: str) -> str:
    value = values.get(key)
    if not value:
        raise InvalidCacheOption(f"{option} needs {key}=…", hint=f"say where the cache is with {key}")
    return value


def _flag(values: Mapping[str, str], key: str, *, default: bool) -> bool:
    value = values.get(key, str(default)).lower()
    if value in ("1", "t", "true"):
        return True
    if value in ("0", "f", "false"):
        return False
    raise InvalidCacheOption(f'--cache-to: {key} cannot be "{value}"', hint="it is true or false")


def _level(values: Mapping[str, str]) -> int | None:
    value = values.get("compression-level")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise InvalidCacheOption(f'--cache-to: compression-level cannot be "{value}"', hint="it is a number")
    return int(value)
