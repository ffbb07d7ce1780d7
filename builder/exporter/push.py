"""Packed images on their way to a registry: blobs side by side, then the config, then the manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from builder.core.descriptor import Descriptor
from builder.core.events import StepProgress
from builder.core.job import Cancel, Job
from builder.core.reference import Reference
from builder.core.sidebyside import side_by_side
from builder.core.steps import as_step
from builder.exporter.packed import Packed, PackedImage, PackedIndex, PackedLayer
from builder.store.interface import ContentStore, Snapshotter

if TYPE_CHECKING:  # the library behind it loads slowly
    from builder.registry.interface import RegistryPusher

# Docker's number of uploads at a time (max-concurrent-uploads).
_PARALLEL_PUSHES = 5


class ImagePusher:
    """Pushes what a Packer made. ``fetch`` brings the blob of a layer that was pulled and is not here."""

    def __init__(
        self,
        pusher: RegistryPusher,
        content: ContentStore,
        snapshots: Snapshotter,
        fetch: Callable[[PackedLayer], object],
        job: Job,
    ) -> None:
        self._pusher = pusher
        self._content = content
        self._snapshots = snapshots
        self._fetch = fetch
        self._job = job

    def push(self, packed: Packed, reference: Reference) -> None:
        """All blobs that the repository lacks, and the manifest under the name.

        Of an index the manifests come by digest, then the index under the name. Raises RegistryError and its
        kinds.
        """
        if isinstance(packed, PackedIndex):
            self._push_index(packed, reference)
            return
        self._push_blobs([packed], reference)
        self._push_manifest(packed.manifest, packed.descriptor, reference)

    def _push_index(self, index: PackedIndex, reference: Reference) -> None:
        self._push_blobs(index.images, reference)
        for image in index.images:
            by_digest = reference.with_tag(None).with_digest(image.descriptor.digest)
            self._push_manifest(image.manifest, image.descriptor, by_digest)
        self._push_manifest(index.document, index.descriptor, reference)

    def _push_blobs(self, images: Iterable[PackedImage], reference: Reference) -> None:
        layers: dict[Descriptor, PackedLayer] = {}
        configs: dict[Descriptor, None] = {}
        for image in images:
            layers.update({layer.descriptor: layer for layer in image.layers})
            configs[image.config] = None
        pushes = [partial(self._push_layer, layer, reference) for layer in layers.values()]
        side_by_side(pushes, _PARALLEL_PUSHES, self._job.cancel)
        for config in configs:
            open_at = partial(self._open_at, config, None)
            self._push_blob(config, "config", reference, open_at, "", self._job.cancel)

    def _push_layer(self, layer: PackedLayer, reference: Reference, cancel: Cancel) -> None:
        origin = self._snapshots.origin(layer.snapshot)
        source = Reference.parse(origin) if origin else reference
        is_near = source.domain == reference.domain and source.path != reference.path
        open_at = partial(self._open_at, layer.descriptor, layer)
        mount_from = source.path if is_near else ""
        self._push_blob(layer.descriptor, "layer", reference, open_at, mount_from, cancel)

    def _push_blob(
        self,
        blob: Descriptor,
        what: str,
        reference: Reference,
        open_at: Callable[[int], BinaryIO],
        mount_from: str,
        cancel: Cancel,
    ) -> None:
        step = f"push {blob.digest}"

        def progress(current: int, total: int) -> None:
            self._job.progress.emit(StepProgress(step, str(blob.digest), current, total, "B", time.time()))

        def send() -> None:
            self._pusher.push_blob(
                reference, blob, open_at, mount_from=mount_from, progress=progress, cancel=cancel
            )

        as_step(step, f"[internal] push {reference.familiar()} {what} {blob.digest.short}", self._job, send)

    def _push_manifest(self, raw: bytes, manifest: Descriptor, reference: Reference) -> None:
        step = f"push {reference} {manifest.digest}"

        def send() -> None:
            self._pusher.push_manifest(reference, raw, manifest.media_type, cancel=self._job.cancel)

        as_step(step, f"[internal] push manifest of {reference.familiar()}", self._job, send)

    def _open_at(self, blob: Descriptor, layer: PackedLayer | None, offset: int) -> BinaryIO:
        if layer is not None and self._content.size(blob.digest) is None:
            # The registry has it nowhere that we know of, and its origin is another one.
            self._fetch(layer)
        file = self._content.open(blob.digest)
        file.seek(offset)
        return file
