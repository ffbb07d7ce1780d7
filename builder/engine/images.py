"""Images in archives: save, load."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from builder.core.digest import Digest
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine
from builder.exporter.archive import DirectoryTarget, SavedImage, write_tar
from builder.exporter.archive import save as write_archive
from builder.exporter.layers import Layers
from builder.exporter.packed import PackOptions
from builder.fs.replace import replacing
from builder.source.archive import ArchiveLoader, LoadedImage
from builder.store.interface import Image

# Layers of the store leave uncompressed and unstored, pulled ones as they came.
_AS_IT_IS = PackOptions(compression="uncompressed", is_plain_stored=False)


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
    for image, _ in found.values():
        engine.bring_layers(image.snapshot)
    with Layers(engine.snapshots, engine.content) as layers:
        packer = engine.packer(layers)
        saved = [
            SavedImage(packer.pack(engine.content.read(image.id), image.snapshot, _AS_IT_IS), references)
            for image, references in found.values()
        ]
        if is_directory:
            assert output is not None
            write_archive(saved, DirectoryTarget(output), packer, engine.content)
        elif output is None:
            write_tar(saved, sys.stdout.buffer.write, packer, engine.content)
        else:
            with replacing(output) as file:
                write_tar(saved, file.write, packer, engine.content)


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
