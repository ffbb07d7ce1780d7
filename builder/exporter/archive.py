"""Packed images as one tar that is a docker-archive and an OCI layout at once, or the same as a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.core.reference import Reference
from builder.exporter.documents import encode, index_document
from builder.exporter.pack import Packer, Sink
from builder.exporter.packed import Packed, PackedImage, PackedIndex
from builder.fs.replace import replacing
from builder.fs.tar import TarMember
from builder.fs.tarwrite import TarWriter
from builder.store.interface import ContentStore

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class SavedImage(NamedTuple):
    """A packed image or index, and the names that it has in the archive."""

    packed: Packed
    names: Sequence[Reference]
    main: PackedImage | None = None  # of an index: the image for those who know of none


class Target(Protocol):
    """Where an archive goes: files in order, each written once."""

    def file(self, name: str, size: int, write: Callable[[Sink], object]) -> None:
        """``write`` is given the sink for exactly ``size`` bytes."""


def save(
    saved: Sequence[SavedImage],
    target: Target,
    packer: Packer,
    content: ContentStore,
    *,
    is_docker: bool = True,
) -> None:
    """Write images with everything that they need; layers that they share are written once.

    ``is_docker``: with the manifest.json of `docker save`, beside the OCI layout; of an index it has the main
    image.
    """
    done: set[Digest] = set()

    def blob(described: Descriptor, write: Callable[[Sink], object]) -> None:
        if described.digest not in done:
            done.add(described.digest)
            target.file(_path(described), described.size, write)

    def stored(described: Descriptor) -> Callable[[Sink], object]:
        return lambda sink: sink(_read(content, described))

    target.file("oci-layout", len(_LAYOUT), lambda sink: sink(_LAYOUT))
    for packed, _, _ in saved:
        for image in packed.images if isinstance(packed, PackedIndex) else (packed,):
            for layer in image.layers:
                blob(layer.descriptor, lambda sink, layer=layer: packer.write(layer, sink))  # type: ignore[misc]  # mypy#15459: default in lambda
            for described in (image.config, image.descriptor):
                blob(described, stored(described))
        blob(packed.descriptor, stored(packed.descriptor))
    documents = {"index.json": _index(saved)}
    if is_docker:
        documents["manifest.json"] = _docker_manifest(saved)
    for name, data in documents.items():
        target.file(name, len(data), lambda sink, data=data: sink(data))  # type: ignore[misc]  # mypy#15459: default in lambda


def write_tar(
    saved: Sequence[SavedImage], sink: Sink, packer: Packer, content: ContentStore, *, is_docker: bool = True
) -> None:
    """The archive as a tar stream."""
    target = TarTarget(sink)
    save(saved, target, packer, content, is_docker=is_docker)
    target.finish()


def _index(saved: Sequence[SavedImage]) -> bytes:
    return index_document((entry for item in saved for entry in _index_entries(item)), (), is_oci=True)


def _docker_manifest(saved: Sequence[SavedImage]) -> bytes:
    entries = []
    for packed, names, main in saved:
        image = main if isinstance(packed, PackedIndex) else packed
        assert image is not None, "an index has no place in it"
        entries.append(
            {
                "Config": _path(image.config),
                "RepoTags": [name.familiar() for name in names],
                "Layers": [_path(layer.descriptor) for layer in image.layers],
            }
        )
    return encode(entries)


def _index_entries(item: SavedImage) -> Iterable[Descriptor]:
    entry = item.packed.descriptor
    if not item.names:
        yield entry
    for name in item.names:
        annotations = {**dict(entry.annotations), "io.containerd.image.name": str(name)}
        if name.tag:
            annotations["org.opencontainers.image.ref.name"] = name.tag
        yield replace(entry, annotations=tuple(annotations.items()))


def _path(described: Descriptor) -> str:
    return f"blobs/{described.digest.algorithm}/{described.digest.hex}"


def _read(content: ContentStore, described: Descriptor) -> bytes:
    with content.open(described.digest) as blob:
        return blob.read()


class TarTarget:
    """An archive as a tar stream. Times are 0: the same image saves to the same bytes."""

    def __init__(self, sink: Sink) -> None:
        self._writer = TarWriter(sink)
        self._directories: set[str] = set()

    def file(self, name: str, size: int, write: Callable[[Sink], object]) -> None:
        """See Target."""
        parent = ""
        for part in name.split("/")[:-1]:
            parent = f"{parent}{part}/"
            if parent not in self._directories:
                self._directories.add(parent)
                self._writer.add(_member(parent, "dir", 0o755, 0))
        with self._writer.streaming(_member(name, "file", 0o644, size)) as sink:
            write(sink)

    def finish(self) -> None:
        """The end mark."""
        self._writer.finish()


class DirectoryTarget:
    """An archive as a folder; blobs that are there already are not written again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def file(self, name: str, size: int, write: Callable[[Sink], object]) -> None:
        """See Target."""
        if name.startswith("blobs/"):
            self.blob(name, size, write)
            return
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            write(file.write)

    def blob(self, name: str, size: int, write: Callable[[Sink], object]) -> None:
        """A file that its name tells the content of: one of that size is not written again."""
        path = self._directory / name
        if path.exists() and path.stat().st_size == size:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            write(file.write)


def _member(name: str, kind: str, mode: int, size: int) -> TarMember:
    return TarMember(name, kind, mode, 0, 0, size, 0, "", (0, 0), {})
