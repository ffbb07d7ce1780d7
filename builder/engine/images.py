"""Images that come and go: pull, save, load."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from builder.core.digest import Digest
from builder.core.platform import Platform
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine
from builder.exporter.archive import DirectoryTarget, SavedImage, TarTarget
from builder.exporter.archive import save as write_archive
from builder.exporter.layers import Layers
from builder.source.archive import ArchiveLoader, LoadedImage
from builder.store.interface import Image


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
