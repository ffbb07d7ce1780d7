"""`save`: one tar that is a docker-archive and an OCI layout at once, or the same as a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from builder.core.descriptor import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest
from builder.core.image import ImageConfig
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.exporter.layers import Layers
from builder.fs.tar import TarMember
from builder.fs.tarwrite import TarWriter
from builder.store.interface import ContentStore, Image, Snapshot, Snapshotter

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class SavedImage(NamedTuple):
    """An image to save, and the names that it has in the archive."""

    image: Image
    names: Sequence[Reference]


class Target(Protocol):
    """Where an archive goes: files in order, each written once."""

    def file(self, name: str, size: int, write: Callable[[Callable[[bytes], object]], object]) -> None:
        """``write`` is given the sink for exactly ``size`` bytes."""


class _Written(NamedTuple):
    manifest: Descriptor
    platform: Platform
    config: Digest
    layers: list[Digest]
    saved: SavedImage


def save(
    saved: Sequence[SavedImage], target: Target, layers: Layers, snapshots: Snapshotter, content: ContentStore
) -> None:
    """Write images with everything that they need; layers that they share are written once."""
    done: set[Digest] = set()

    def blob(digest: Digest, size: int, write: Callable[[Callable[[bytes], object]], object]) -> None:
        if digest not in done:
            done.add(digest)
            target.file(f"blobs/{digest.algorithm}/{digest.hex}", size, write)

    target.file("oci-layout", len(_LAYOUT), lambda sink: sink(_LAYOUT))
    written = [_write_image(item, blob, layers, snapshots, content) for item in saved]
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [entry for item in written for entry in _index_entries(item)],
    }
    manifest = [
        {
            "Config": f"blobs/{item.config.algorithm}/{item.config.hex}",
            "RepoTags": [name.familiar() for name in item.saved.names],
            "Layers": [f"blobs/{layer.algorithm}/{layer.hex}" for layer in item.layers],
        }
        for item in written
    ]
    for name, document in (("index.json", index), ("manifest.json", manifest)):
        data = _json(document)
        target.file(name, len(data), lambda sink, data=data: sink(data))  # type: ignore[misc]  # mypy#15459: default in lambda


def _write_image(
    saved: SavedImage,
    blob: Callable[[Digest, int, Callable[[Callable[[bytes], object]], object]], None],
    layers: Layers,
    snapshots: Snapshotter,
    content: ContentStore,
) -> _Written:
    with content.open(saved.image.id) as file:
        config = file.read()
    descriptors = []
    for snapshot in snapshots.chain(saved.image.snapshot):
        layer = layers.descriptor(snapshot)
        blob(layer.digest, layer.size, _layer_writer(layers, snapshot))
        descriptors.append(layer)
    blob(saved.image.id, len(config), lambda sink: sink(config))
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(Descriptor(media_type=OCI_CONFIG, digest=saved.image.id, size=len(config))),
            "layers": [_descriptor(_as_oci(layer)) for layer in descriptors],
        }
    )
    digest = Digest.of(manifest)
    blob(digest, len(manifest), lambda sink: sink(manifest))
    return _Written(
        Descriptor(media_type=OCI_MANIFEST, digest=digest, size=len(manifest)),
        ImageConfig.from_json(config).platform,
        saved.image.id,
        [layer.digest for layer in descriptors],
        saved,
    )


def _layer_writer(layers: Layers, snapshot: Snapshot) -> Callable[[Callable[[bytes], object]], object]:
    return lambda sink: layers.write(snapshot, sink)


def _index_entries(item: _Written) -> Iterable[dict[str, Any]]:
    platform = {"architecture": item.platform.architecture, "os": item.platform.os}
    if item.platform.variant:
        platform["variant"] = item.platform.variant
    entry = {**_descriptor(item.manifest), "platform": platform}
    if not item.saved.names:
        yield entry
    for name in item.saved.names:
        annotations = {"io.containerd.image.name": str(name)}
        if name.tag:
            annotations["org.opencontainers.image.ref.name"] = name.tag
        yield {**entry, "annotations": annotations}


def _as_oci(layer: Descriptor) -> Descriptor:
    """The same blob under its OCI media type: the manifest that we write is an OCI manifest."""
    kind = layer.media_type
    if kind.startswith("application/vnd.docker."):
        suffix = {"gzip": "+gzip", "zstd": "+zstd"}.get(kind.rpartition(".")[2], "")
        kind = f"application/vnd.oci.image.layer.v1.tar{suffix}"
    return Descriptor(media_type=kind, digest=layer.digest, size=layer.size)


def _descriptor(value: Descriptor) -> dict[str, Any]:
    return {"mediaType": value.media_type, "digest": str(value.digest), "size": value.size}


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


class TarTarget:
    """An archive as a tar stream. Times are 0: the same image saves to the same bytes."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._writer = TarWriter(sink)
        self._directories: set[str] = set()

    def file(self, name: str, size: int, write: Callable[[Callable[[bytes], object]], object]) -> None:
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

    def file(self, name: str, size: int, write: Callable[[Callable[[bytes], object]], object]) -> None:
        """See Target."""
        path = self._directory / name
        if name.startswith("blobs/") and path.exists() and path.stat().st_size == size:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        with open(partial, "wb") as file:
            write(file.write)
        os.replace(partial, path)


def _member(name: str, kind: str, mode: int, size: int) -> TarMember:
    return TarMember(name, kind, mode, 0, 0, size, 0, "", (0, 0), {})
