"""Images in archives: save, load."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.platform import Platform
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine
from builder.engine.imagelist import config_of
from builder.exporter.archive import DirectoryTarget, SavedImage, write_tar
from builder.exporter.archive import save as write_archive
from builder.exporter.index import assemble_index
from builder.exporter.layers import Layers
from builder.exporter.pack import Packer
from builder.exporter.packed import PackedImage, PackOptions
from builder.fs.replace import replacing
from builder.registry.interface import NoMatchingPlatform
from builder.source.archive import ArchiveLoader, LoadedImage
from builder.store.interface import Image

FORMATS = ("archive", "docker-archive", "oci-archive", "docker-dir", "oci-dir")
FOLDERS = ("docker-dir", "oci-dir")


class OneImageAtATime(PybuildError):
    """A format that holds one image is to hold several."""

    kind = Kind.INVALID
    code = "one-image-at-a-time"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOptions:
    """How images are saved."""

    format: str = "archive"  # one of FORMATS
    platform: Platform | None = None  # of names that stand for several
    compression: str = "uncompressed"  # of the store's layers; pulled ones leave as they came

    @property
    def packing(self) -> PackOptions:
        """Plain layers leave unstored; a docker-dir has Docker's media types."""
        return PackOptions(
            compression=self.compression, is_oci=self.format != "docker-dir", is_plain_stored=False
        )


def save(engine: Engine, names: Sequence[str], output: Path | None, options: SaveOptions) -> None:
    """Write an archive to a file, a folder, or standard output."""
    options.packing.check()
    found = _found(engine, names, options)
    for each in found:
        for part in each.parts:
            engine.bring_layers(part.snapshot)
    with Layers(engine.snapshots, engine.content) as layers:
        packer = engine.packer(layers)
        saved = [_saved(engine, packer, each, options.packing) for each in found]
        is_docker = options.format in ("archive", "docker-archive")
        if options.format == "docker-dir":
            _write_docker_dir(engine, saved, output, packer)
        elif options.format == "oci-dir":
            assert output is not None
            write_archive(saved, DirectoryTarget(output), packer, engine.content, is_docker=False)
        elif output is None:
            write_tar(saved, sys.stdout.buffer.write, packer, engine.content, is_docker=is_docker)
        else:
            with replacing(output) as file:
                write_tar(saved, file.write, packer, engine.content, is_docker=is_docker)


class _Found(NamedTuple):
    image: Image  # of an index: the one that commands use
    parts: list[Image]
    names: list[Reference]


def _found(engine: Engine, names: Sequence[str], options: SaveOptions) -> list[_Found]:
    """What names stand for, an image or the images of an index, each once with all its names."""
    found: dict[tuple[Digest, ...], _Found] = {}
    for name in names:
        for image, reference in _meant(engine, name):
            parts = engine.images.platforms_of(reference) if reference is not None else []
            if options.platform is not None:
                image = _of_platform(engine, parts or [image], options.platform)
            if not parts or options.platform is not None or options.format == "docker-dir":
                parts = [image]
            entry = found.setdefault(tuple(part.id for part in parts), _Found(image, parts, []))
            if reference is not None and reference.digest is None and reference not in entry.names:
                entry.names.append(reference)
    return list(found.values())


def _meant(engine: Engine, name: str) -> list[tuple[Image, Reference | None]]:
    """A repository without a tag means all of its tags, as in `docker save`."""
    reference = _reference(name)
    if reference is not None and reference.tag is None and reference.digest is None:
        tags = _tags_of(engine, reference)
        if tags:
            return tags
    image = engine.images.find(name)
    is_named = reference is not None and engine.images.by_reference(reference) == image
    return [(image, reference if is_named else None)]


def _tags_of(engine: Engine, reference: Reference) -> list[tuple[Image, Reference | None]]:
    names = {name: each for each in engine.images.all() for name in engine.images.names_of(each.id)}
    known = [(names[name], Reference.parse(name)) for name in sorted(names)]
    return [(image, found) for image, found in known if found.repository == reference.repository]


def _of_platform(engine: Engine, images: Sequence[Image], wanted: Platform) -> Image:
    """Raises NoMatchingPlatform."""
    platforms = {config_of(engine, image).platform: image for image in images}
    for platform, image in platforms.items():
        if wanted.matches(platform):
            return image
    raise NoMatchingPlatform(wanted, tuple(platforms))


def _saved(engine: Engine, packer: Packer, found: _Found, packing: PackOptions) -> SavedImage:
    packed = {
        part.id: packer.pack(engine.content.read(part.id), part.snapshot, packing) for part in found.parts
    }
    if len(packed) == 1:
        return SavedImage(packed[found.image.id], found.names)
    index = assemble_index(list(packed.values()), engine.content)
    return SavedImage(index, found.names, packed.get(found.image.id))


def _write_docker_dir(
    engine: Engine, saved: Sequence[SavedImage], output: Path | None, packer: Packer
) -> None:
    from builder.exporter.docker_dir import write_docker_dir

    if len(saved) != 1:
        raise OneImageAtATime("a docker-dir holds one image", hint="save them one by one, or in an archive")
    assert output is not None
    assert isinstance(saved[0].packed, PackedImage)
    write_docker_dir(saved[0].packed, output, packer, engine.content)


def load(engine: Engine, path: Path | None, platform: Platform | None = None) -> list[LoadedImage]:
    """Read an archive from a file, a folder, or standard input; all of it, or what is for ``platform``."""
    loader = ArchiveLoader(engine.content, engine.images, engine.snapshots, platform)
    if path is not None and path.is_dir():
        return loader.load_directory(path)
    if path is None:
        return loader.load_tar(sys.stdin.buffer)
    with open(path, "rb") as file:
        return loader.load_tar(file)


def _reference(name: str) -> Reference | None:
    try:
        return Reference.parse(name)
    except InvalidReference:
        return None
