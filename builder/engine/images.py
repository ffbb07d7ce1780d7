"""Images in archives: save, load."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine
from builder.exporter.archive import DirectoryTarget, SavedImage, write_tar
from builder.exporter.archive import save as write_archive
from builder.exporter.index import assemble_index
from builder.exporter.layers import Layers
from builder.exporter.pack import Packer
from builder.exporter.packed import PackOptions
from builder.fs.replace import replacing
from builder.source.archive import ArchiveLoader, LoadedImage
from builder.store.interface import Image

# Layers of the store leave uncompressed and unstored, pulled ones as they came.
_AS_IT_IS = PackOptions(compression="uncompressed", is_plain_stored=False)


def save(engine: Engine, names: Sequence[str], output: Path | None, *, is_directory: bool) -> None:
    """Write an archive to a file, a folder, or standard output."""
    found: dict[tuple[Digest, ...], _Found] = {}
    for name in names:
        image = engine.images.find(name)
        reference = _reference(name)
        parts: list[Image] = []
        if reference is not None and engine.images.by_reference(reference) == image:
            parts = engine.images.platforms_of(reference)
        else:
            reference = None
        key = tuple(part.id for part in parts or [image])
        entry = found.setdefault(key, _Found(image, parts or [image], []))
        if reference is not None and reference.digest is None:
            entry.names.append(reference.with_default_tag())
    for each in found.values():
        for part in each.parts:
            engine.bring_layers(part.snapshot)
    with Layers(engine.snapshots, engine.content) as layers:
        packer = engine.packer(layers)
        saved = [_saved(engine, packer, each) for each in found.values()]
        if is_directory:
            assert output is not None
            write_archive(saved, DirectoryTarget(output), packer, engine.content)
        elif output is None:
            write_tar(saved, sys.stdout.buffer.write, packer, engine.content)
        else:
            with replacing(output) as file:
                write_tar(saved, file.write, packer, engine.content)


class _Found(NamedTuple):
    image: Image  # of an index: the one that commands use
    parts: list[Image]
    names: list[Reference]


def _saved(engine: Engine, packer: Packer, found: _Found) -> SavedImage:
    packed = {
        part.id: packer.pack(engine.content.read(part.id), part.snapshot, _AS_IT_IS) for part in found.parts
    }
    if len(packed) == 1:
        return SavedImage(packed[found.image.id], found.names)
    index = assemble_index(list(packed.values()), engine.content)
    return SavedImage(index, found.names, packed.get(found.image.id))


def load(engine: Engine, path: Path | None) -> list[LoadedImage]:
    """Read an archive from a file, an OCI layout folder, or standard input."""
    loader = ArchiveLoader(engine.content, engine.images, engine.snapshots)
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
