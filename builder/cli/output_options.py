"""The options of `build` about what it leaves: `--output` and its shorthands."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.suggest import did_you_mean

if TYPE_CHECKING:  # a command that only shows its help does without
    from builder.core.reference import Reference
    from builder.engine.outputs import Output, Outputs

OutputTexts = Annotated[
    list[str] | None,
    typer.Option("-o", "--output", metavar="type=TYPE,…", help="What to make of the result; several times."),
]
Push = Annotated[bool, typer.Option("--push", help="Push the image: --output type=registry.")]
Load = Annotated[bool, typer.Option("--load", help="Load the image into a Docker daemon.")]
MetadataFile = Annotated[
    Path | None, typer.Option("--metadata-file", metavar="FILE", help="Write what was made as JSON.")
]
AnnotationTexts = Annotated[
    list[str] | None,
    typer.Option("--annotation", metavar="[TYPE:]K=V", help="Annotate the image's manifest; several times."),
]

_PACKING = (
    "name", "compression", "compression-level", "force-compression", "oci-mediatypes", "rewrite-timestamp",
)  # fmt: skip
_IMAGE = (
    "oci-artifact", "push", "push-by-digest", "registry.insecure", "store", "unpack", "dangling-name-prefix",
    "name-canonical", *_PACKING,
)  # fmt: skip
_KEYS = {
    "image": _IMAGE,
    "registry": _IMAGE,
    "docker": ("dest", "tar", *_PACKING),
    "oci": ("dest", "oci-artifact", "tar", *_PACKING),
    "local": ("attestation-prefix", "dest", "mode", "platform-split", "rewrite-timestamp"),
    "tar": ("attestation-prefix", "dest", "rewrite-timestamp"),
    "cacheonly": (),
}
# Of BuildKit and buildx, known and without effect here: refused by name.
_UNBUILT = (
    "annotation-inline", "attestation-inline", "buildinfo", "compatibility-version",
    "context", "danging-name-empty-only", "nydus", "prefer-nondist-layers",
    "source-date-epoch",
)  # fmt: skip


class InvalidOutput(PybuildError):
    """--output cannot be read, or makes no sense."""

    kind = Kind.INVALID
    code = "invalid-output"


class ReadOutputs:
    """What the options mean together."""

    def __init__(self, outputs: Outputs, *, rewrites_timestamps: bool) -> None:
        self.outputs = outputs
        self.rewrites_timestamps = rewrites_timestamps

    @property
    def takes_stdout(self) -> bool:
        """Whether an archive goes to standard output, which then has nothing else."""
        return any(item.dest is None and item.kind in ("docker", "oci", "tar") for item in self.outputs.items)


def read_outputs(
    texts: Sequence[str] | None,
    annotations: Sequence[str] | None,
    *,
    pushes: bool,
    loads: bool,
    is_described: bool,
    environ: Mapping[str, str],
    context: str = ".",
) -> ReadOutputs:
    """``context`` is the build's, a folder or not.

    Raises InvalidOutput, InvalidAnnotation, InvalidReference, Unsupported.
    """
    from builder.engine.outputs import Output, Outputs, annotations_of

    noted = annotations_of(annotations or ())
    read = [_output(text) for text in texts or ()]
    items = [item for item, _ in read]
    for item in items:
        if item.is_mirror and item.dest is not None:
            _refuse_precious(item.dest, context)
    if pushes:
        items = _pushed(items)
    if loads:
        loaded = Output(kind="load")
        items.append(loaded.packed_as(None, None, is_forced=False, is_oci=True, annotations=()))
    if not items:
        items = [Output(kind="image")]
    if sum(item.dest is None and item.kind in ("docker", "oci", "tar") for item in items) > 1:
        raise InvalidOutput("only one output can go to standard output", hint="name files with dest=FILE")
    outputs = Outputs(
        items=tuple(item.annotated(noted) for item in items),
        docker_host=environ.get("DOCKER_HOST", ""),
        is_described=is_described,
    )
    found = ReadOutputs(outputs, rewrites_timestamps=any(rewrites for _, rewrites in read))
    if found.takes_stdout and sys.stdout.isatty():
        raise InvalidOutput("an archive would make no sense on a terminal", hint="use dest=FILE, or a pipe")
    return found


def _pushed(items: list[Output]) -> list[Output]:
    """--push pushes the images that there are, or else the one of the build."""
    from builder.engine.outputs import Output

    if not any(item.kind in ("image", "registry") for item in items):
        return [*items, Output(kind="registry", pushes=True)]
    return [replace(item, pushes=True) if item.kind in ("image", "registry") else item for item in items]


def _output(text: str) -> tuple[Output, bool]:
    """One --output, and whether it wants timestamps rewritten."""
    from builder.engine.outputs import Output, names_of

    values = _values(text)
    kind = values.pop("type", "")
    if kind not in _KEYS:
        raise InvalidOutput(
            f'--output type "{kind}" is not known',
            hint=did_you_mean(kind, _KEYS, otherwise=f"it is one of {', '.join(_KEYS)}"),
        )
    annotations = {key: values.pop(key) for key in list(values) if key.startswith("annotation")}
    for key in values:
        if key in _UNBUILT:
            raise Unsupported(f'--output: "{key}" is not built yet', hint="leave it out")
        if key not in _KEYS[kind]:
            known = [*_KEYS[kind], *(["annotation.KEY"] if "name" in _KEYS[kind] else [])]
            raise InvalidOutput(
                f'--output type={kind} has no "{key}"',
                hint=did_you_mean(key, known, otherwise=f"it has {', '.join(known) or 'no keys'}"),
            )
    if annotations and "name" not in _KEYS[kind]:
        raise InvalidOutput(f"--output type={kind} has no manifest to annotate")
    output = Output(
        kind=kind,
        names=names_of(values.get("name", "")),
        pushes=_flag(values, "push", default=kind == "registry"),
        pushes_by_digest=_flag(values, "push-by-digest", default=False),
        is_insecure=_flag(values, "registry.insecure", default=False),
        keeps_digest=_flag(values, "name-canonical", default=False),
        nameless_prefix=_prefix(values.get("dangling-name-prefix")),
        has_artifacts=_flag(values, "oci-artifact", default=False),
        attestation_prefix=_name_prefix(values.get("attestation-prefix", "")),
        is_packed="compression" in values or "force-compression" in values,
        is_folder=not _flag(values, "tar", default=True),
        is_split=_flag(values, "platform-split", default=False) if "platform-split" in values else None,
    )
    if not _flag(values, "store", default=True) and not output.pushes:
        output = replace(output, kind="cacheonly")
    _flag(values, "unpack", default=True)  # an image of the store can always be run
    output = _placed(output, values, text).packed_as(
        values.get("compression"),
        _level(values),
        is_forced=_flag(values, "force-compression", default=False),
        is_oci=_flag(values, "oci-mediatypes", default=True),
        annotations=tuple(annotations.items()),
    )
    return output, _flag(values, "rewrite-timestamp", default=False)


def _placed(output: Output, values: Mapping[str, str], text: str) -> Output:
    """Where it goes: dest."""
    dest = values.get("dest")
    match output.kind:
        case "local":
            if not dest or dest == "-":
                raise InvalidOutput(f'--output "{text}" needs a folder', hint="name it with dest=FOLDER")
            mode = values.get("mode", "copy")
            if mode not in ("copy", "delete"):
                raise InvalidOutput(f'--output: mode cannot be "{mode}"', hint="it is copy or delete")
            return replace(output, dest=Path(dest), is_mirror=mode == "delete")
        case "docker" if not dest:
            if output.is_folder:
                raise InvalidOutput(f'--output "{text}" needs a folder', hint="name it with dest=FOLDER")
            return replace(output, kind="load")
        case "docker" | "oci" | "tar":
            path = None if not dest or dest == "-" else Path(dest)
            if output.is_folder and path is None:
                raise InvalidOutput(f'--output "{text}" needs a folder', hint="name it with dest=FOLDER")
            if not output.is_folder and path is not None and path.is_dir():
                raise InvalidOutput(f'--output: "{path}" is a folder', hint="name a file, or give tar=false")
            if path is not None and not output.is_folder and not path.absolute().parent.is_dir():
                raise InvalidOutput(f'--output: there is no folder "{path.parent}"', hint="make it first")
            return replace(output, dest=path)
        case _:
            return output


def _refuse_precious(folder: Path, context: str) -> None:
    """What is not of the build is removed: never the folder that somebody works in, or one above it."""
    whole = folder.resolve()
    precious = (".", os.path.expanduser("~"), context)
    if any(Path(place).resolve().is_relative_to(whole) for place in precious):
        raise InvalidOutput(
            f'--output: mode=delete would empty "{folder}", with this folder, the context or your home in it',
            hint="name a folder that holds nothing but the output",
        )


def _prefix(text: str | None) -> Reference | None:
    """Raises InvalidOutput, InvalidReference."""
    from builder.core.reference import Reference

    if text is None:
        return None
    prefix = Reference.parse(text)
    if prefix.tag is not None or prefix.digest is not None:
        raise InvalidOutput(f'--output: dangling-name-prefix cannot be "{text}"', hint="leave out the tag")
    return prefix


def _name_prefix(text: str) -> str:
    if "/" in text:
        raise InvalidOutput(f'--output: attestation-prefix "{text}" is no beginning of a name')
    return text


def _values(text: str) -> dict[str, str]:
    """CSV as buildx reads it; without any key it is a folder, or a tar on standard output."""
    import csv

    try:
        (fields,) = csv.reader([text], strict=True) if "\n" not in text else ([],)
    except (csv.Error, ValueError) as error:
        raise InvalidOutput(f'--output "{text}" cannot be read: {error}') from error
    if len(fields) == 1 and "=" not in fields[0] and fields[0]:
        return {"type": "tar", "dest": "-"} if fields[0] == "-" else {"type": "local", "dest": fields[0]}
    values: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        key = key.strip() if key.startswith("annotation") else key.strip().lower()
        if not equals or not key:
            raise InvalidOutput(f'--output: "{field}" is no key=value', hint="write type=TYPE,KEY=VALUE")
        values[key] = value
    if "type" not in values:
        raise InvalidOutput(f'--output "{text}" has no type', hint=f"type is one of {', '.join(_KEYS)}")
    return values


def _flag(values: Mapping[str, str], key: str, *, default: bool) -> bool:
    value = values.get(key)
    if value is None:
        return default
    # As Go's strconv.ParseBool; a key without a value is an error there too.
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise InvalidOutput(f'--output: {key} cannot be "{value}"', hint="it is true or false")


def _level(values: Mapping[str, str]) -> int | None:
    value = values.get("compression-level")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise InvalidOutput(f'--output: compression-level cannot be "{value}"', hint="it is a number")
    return int(value)
