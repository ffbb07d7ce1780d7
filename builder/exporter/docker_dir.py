"""An image as the flat folder that `podman save --format docker-dir` writes and `dir:` of skopeo reads."""

from __future__ import annotations

from pathlib import Path

from builder.exporter.archive import DirectoryTarget
from builder.exporter.pack import Packer
from builder.exporter.packed import PackedImage
from builder.store.interface import ContentStore

# containers-image's mark of such a folder: blobs are files named by the digits of their digests.
VERSION = b"Directory Transport Version: 1.1\n"


def write_docker_dir(image: PackedImage, directory: Path, packer: Packer, content: ContentStore) -> None:
    """Manifest, config and layers; blobs that are there are not written again."""
    target = DirectoryTarget(directory)
    target.file("version", len(VERSION), lambda sink: sink(VERSION))
    for layer in image.layers:
        described = layer.descriptor
        target.blob(described.digest.hex, described.size, lambda sink, layer=layer: packer.write(layer, sink))  # type: ignore[misc]  # mypy#15459: default in lambda
    with content.open(image.config.digest) as blob:
        config = blob.read()
    target.blob(image.config.digest.hex, len(config), lambda sink: sink(config))
    target.file("manifest.json", len(image.manifest), lambda sink: sink(image.manifest))
