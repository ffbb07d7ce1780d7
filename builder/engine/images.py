"""Images at hand: list, inspect, tag, remove, pull, save, load."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.image import History, ImageConfig
from builder.core.platform import Platform
from builder.core.reference import InvalidReference, Reference
from builder.core.times import rfc3339
from builder.engine.assemble import Engine
from builder.exporter.archive import DirectoryTarget, SavedImage, TarTarget
from builder.exporter.archive import save as write_archive
from builder.exporter.layers import Layers
from builder.runtime.containers import ContainerStore
from builder.source.archive import ArchiveLoader, LoadedImage
from builder.store.gc import collect
from builder.store.interface import Image


class ImageInUse(PybuildError):
    """An image cannot be removed as asked."""

    kind = Kind.CONFLICT
    code = "image-in-use"


class ListedImage(NamedTuple):
    """One line of `images`: a name and what it stands for; no name is a dangling image."""

    repository: str
    tag: str
    id: Digest
    created: str  # RFC 3339
    size: int  # bytes of all layers, uncompressed where that is known


class HistoryLine(NamedTuple):
    """One line of `history`, newest first."""

    image: Digest | None
    entry: History
    size: int


class Removed(NamedTuple):
    """What `rmi` did."""

    untagged: tuple[str, ...]
    deleted: Digest | None


def config_of(engine: Engine, image: Image) -> ImageConfig:
    """Of an image of the store."""
    return ImageConfig.from_json(engine.content.read(image.id))


def list_images(engine: Engine) -> list[ListedImage]:
    """Newest first, a line per name."""
    lines = []
    for image in engine.images.all():
        config, size = config_of(engine, image), _size(engine, image)
        names = engine.images.names_of(image.id)
        for name in names:
            repository, _, tag = Reference.parse(name).familiar().rpartition(":")
            lines.append(ListedImage(repository, tag, image.id, config.created, size))
        if not names:
            repositories = [repository for repository, _ in engine.images.manifests_of(image.id)]
            shown = Reference.parse(repositories[0]).familiar() if repositories else "<none>"
            lines.append(ListedImage(shown, "<none>", image.id, config.created, size))
    return sorted(lines, key=lambda line: line.created, reverse=True)


def inspect_image(engine: Engine, name: str) -> dict[str, Any]:
    """In the shape of `docker image inspect`."""
    image = engine.images.find(name)
    config = config_of(engine, image)
    document = json.loads(config.to_json())
    return {
        "Id": str(image.id),
        "RepoTags": [Reference.parse(n).familiar() for n in engine.images.names_of(image.id)],
        "RepoDigests": [
            f"{Reference.parse(repository).familiar()}@{digest}"
            for repository, digest in engine.images.manifests_of(image.id)
        ],
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created,
        "Author": config.author,
        "Config": document["config"],
        "Architecture": config.platform.architecture,
        "Variant": config.platform.variant,
        "Os": config.platform.os,
        "Size": _size(engine, image),
        "RootFS": {"Type": "layers", "Layers": [str(d) for d in config.diff_ids]},
        "Metadata": {"LastTagTime": rfc3339(image.created_at)},
    }


def image_history(engine: Engine, name: str) -> list[HistoryLine]:
    """Newest first, as `docker history` shows it."""
    image = engine.images.find(name)
    chain = iter(engine.snapshots.chain(image.snapshot))
    lines = []
    for entry in config_of(engine, image).history:
        snapshot = None if entry.is_empty_layer else next(chain, None)
        lines.append(HistoryLine(None, entry, engine.snapshots.layer_size(snapshot.name) if snapshot else 0))
    if lines:
        lines[-1] = lines[-1]._replace(image=image.id)
    return lines[::-1]


def tag(engine: Engine, name: str, new_name: str) -> None:
    """Let ``new_name`` stand for the image that ``name`` means."""
    reference = Reference.parse(new_name)
    if reference.digest is not None:
        raise InvalidReference(new_name, "a tag cannot hold a digest", hint="leave out @sha256:…")
    engine.images.tag(reference, engine.images.find(name).id)


def remove_image(engine: Engine, name: str, *, is_forced: bool) -> Removed:
    """Take a name away, and the image with its last one."""
    image = engine.images.find(name)
    names = engine.images.names_of(image.id)
    reference = _reference(name)
    is_by_name = reference is not None and engine.images.by_reference(reference) == image
    rest = [n for n in names if reference is None or n != str(reference.with_default_tag())]
    if is_by_name and reference is not None and rest:
        engine.images.untag(reference)
        return Removed((reference.with_default_tag().familiar(),), None)
    if not is_by_name and len(names) > 1 and not is_forced:
        raise ImageInUse(
            f'image "{name}" has {len(names)} names', hint="remove them by name, or all at once with --force"
        )
    users = [c.name for c in ContainerStore(engine.state, engine.database).all() if c.image == str(image.id)]
    if users and not is_forced:
        raise ImageInUse(
            f'image "{name}" is used by container "{users[0]}"',
            hint="remove it with `pybuild rm`, or use --force",
        )
    engine.images.delete(image.id)
    collect(engine.state, engine.database, engine.content)
    return Removed(tuple(Reference.parse(n).familiar() for n in names), image.id)


def pull(engine: Engine, name: str, platform: Platform) -> tuple[Reference, Digest]:
    """Bring an image with all its layers; the name and the image's id."""
    reference = Reference.parse(name).with_default_tag()
    source = engine.sources.resolve(reference, platform, "always", engine.job)
    engine.bring_layers(source.image.snapshot)
    return reference, source.image.id


def save(engine: Engine, names: Sequence[str], output: Path | None, *, is_directory: bool) -> None:
    """Write an archive to a file, a folder, or standard output."""
    found: dict[Digest, tuple[Image, list[Reference]]] = {}
    for name in names:
        image = engine.images.find(name)
        references = found.setdefault(image.id, (image, []))[1]
        reference = _reference(name)
        if (
            reference is not None
            and engine.images.by_reference(reference) == image
            and reference.digest is None
        ):
            references.append(reference.with_default_tag())
    saved = [SavedImage(image, references) for image, references in found.values()]
    for item in saved:
        engine.bring_layers(item.image.snapshot)
    with Layers(engine.snapshots, engine.content) as layers:
        if is_directory:
            assert output is not None
            write_archive(saved, DirectoryTarget(output), layers, engine.snapshots, engine.content)
        elif output is None:
            _write_tar(saved, sys.stdout.buffer.write, layers, engine)
        else:
            # A half-written archive must not take the place of a good one.
            partial = output.with_name(f".{output.name}.partial")
            try:
                with open(partial, "wb") as file:
                    _write_tar(saved, file.write, layers, engine)
                os.replace(partial, output)
            finally:
                partial.unlink(missing_ok=True)


def load(engine: Engine, path: Path | None) -> list[LoadedImage]:
    """Read an archive from a file, an OCI layout folder, or standard input."""
    loader = ArchiveLoader(engine.content, engine.images, engine.snapshots)
    if path is not None and path.is_dir():
        return loader.load_directory(path)
    if path is None:
        return loader.load_tar(sys.stdin.buffer)
    with open(path, "rb") as file:
        return loader.load_tar(file)


def _write_tar(
    saved: Sequence[SavedImage], sink: Callable[[bytes], object], layers: Layers, engine: Engine
) -> None:
    target = TarTarget(sink)
    write_archive(saved, target, layers, engine.snapshots, engine.content)
    target.finish()


def _reference(name: str) -> Reference | None:
    try:
        return Reference.parse(name)
    except InvalidReference:
        return None


def _size(engine: Engine, image: Image) -> int:
    return sum(engine.snapshots.layer_size(s.name) for s in engine.snapshots.chain(image.snapshot))
