"""Images of registries, brought into the store piece by piece."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from builder.core.descriptor import LAYERS, Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.errors import PybuildError
from builder.core.events import StepProgress
from builder.core.image import ImageConfig, chain_ids
from builder.core.job import Cancel, Job
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.core.sidebyside import side_by_side
from builder.core.steps import as_step
from builder.source.interface import BrokenImage, ImageUnavailable, PullPolicy, ResolvedSource
from builder.store.interface import ContentStore, Image, ImageStore, ResumedWriter, Snapshot, Snapshotter

if TYPE_CHECKING:  # a build on local images needs none of it
    from builder.registry.interface import FetchedManifest, Manifest, RegistryClient

# BuildKit's limit per host (maxRegistryConcurrency).
_PARALLEL_FETCHES = 4
# Those of real images have some kilobytes; the size is the manifest's word.
_MAX_CONFIG = 8 << 20


class _Loaded(NamedTuple):
    """An image whose documents and layers are known, and that is none yet."""

    id: Digest
    config: ImageConfig
    top: str
    manifest: Digest


class RegistryImages:
    """See ImageSource. ``registry`` is called when a registry is really needed: its library loads slowly."""

    def __init__(
        self,
        registry: Callable[[], RegistryClient],
        content: ContentStore,
        images: ImageStore,
        snapshots: Snapshotter,
    ) -> None:
        self._registry = registry
        self._content = content
        self._images = images
        self._snapshots = snapshots

    def resolve(
        self, reference: Reference, platform: Platform, policy: PullPolicy, job: Job
    ) -> ResolvedSource:
        """See ImageSource."""
        if policy != "always":
            local = self._local(reference, platform)
            if local is not None:
                return local
        if policy == "never":
            raise ImageUnavailable(
                f'image "{reference.familiar()}" for {platform} is not in the store',
                hint="leave out --pull=never, or load or pull it first",
            )
        return self._keep(reference, self._load(reference, platform, job))

    def pull(self, reference: Reference, platform: Platform, job: Job) -> ResolvedSource:
        """See ImageSource."""
        loaded = self._load(reference, platform, job)
        self.fetch_layers(self._snapshots.chain(loaded.top), job)
        return self._keep(reference, loaded)

    def fetch_layers(self, chain: Sequence[Snapshot], job: Job) -> None:
        """See ImageSource."""
        # An image may have one layer many times: that of a step that did nothing.
        missing = {
            s.layer.digest: s
            for s in reversed(chain)
            if s.layer is not None and self._content.size(s.layer.digest) is None
        }
        fetches = [partial(self.fetch_layer, snapshot, job) for snapshot in reversed(missing.values())]
        side_by_side(fetches, _PARALLEL_FETCHES, job.cancel)

    def fetch_layer(self, snapshot: Snapshot, job: Job, cancel: Cancel | None = None) -> None:
        """Bring one layer's stored form."""
        layer, origin = snapshot.layer, self._snapshots.origin(snapshot.name)
        assert layer is not None
        if not origin:
            raise BrokenImage(
                f"layer {layer.digest} is gone from the store", hint="load or pull the image again"
            )
        reference = Reference.parse(origin)
        step = f"pull {layer.digest}"

        def progress(current: int, total: int) -> None:
            job.progress.emit(StepProgress(step, str(layer.digest), current, total, "B", time.time()))

        def fetch() -> None:
            is_resumed = False

            def known(writer: ResumedWriter) -> Iterator[bytes]:
                nonlocal is_resumed
                for data in writer.known():
                    is_resumed = True
                    yield data

            while True:
                try:
                    stop = cancel or job.cancel
                    with self._content.resumed(layer.digest, stop) as writer:
                        if writer is None:  # another command has brought it
                            return
                        self._registry().fetch_blob(
                            reference,
                            layer,
                            writer.write,
                            known=known(writer),
                            progress=progress,
                            cancel=stop,
                        )
                        writer.commit(expected=layer.digest)
                        return
                except DigestMismatch:
                    # What an earlier process left may be damaged, as by a loss of power: once from the start.
                    if not is_resumed:
                        raise
                    is_resumed = False

        as_step(step, f"[internal] pull {reference.familiar()} layer {layer.digest.short}", job, fetch)

    def unpack(self, snapshot: Snapshot, directory: Path, lowers: Sequence[str], job: Job) -> None:
        """Make the directory form of a layer, verified against its diff ID; fetches it if need be."""
        from builder.fs.apply import apply_layer
        from builder.fs.compression import open_decompressed
        from builder.fs.limits import BadArchive
        from builder.fs.tree import StackedTree

        layer = snapshot.layer
        assert layer is not None
        if self._content.size(layer.digest) is None:
            self.fetch_layer(snapshot, job)
        parent = StackedTree(lowers) if lowers else None
        try:
            with self._content.open(layer.digest) as blob, open_decompressed(blob) as plain:
                reader = _HashingReader(plain)
                apply_layer(reader, str(directory), parent)
                reader.drain()
            if snapshot.diff_id not in (None, reader.digest()):
                raise DigestMismatch(snapshot.diff_id, reader.digest(), what="unpacked layer")  # noqa: TRY301  # one place explains
        except (BadArchive, DigestMismatch) as error:
            origin = self._snapshots.origin(snapshot.name)
            if not origin:
                raise
            # Another image may have the same layer in a form that is right.
            self._content.delete(layer.digest)
            name = Reference.parse(origin).familiar()
            raise BrokenImage(
                f'layer {layer.digest.short} of "{name}" cannot be unpacked: {error.message}',
                hint="pull the image again, and report it to its publisher if it stays",
            ) from error

    def _local(self, reference: Reference, platform: Platform) -> ResolvedSource | None:
        image = self._images.by_reference(reference)
        if image is None:
            return None
        for each in (image, *self._images.platforms_of(reference)):
            config = self._config(each.id)
            if platform.matches(config.platform):
                return ResolvedSource(reference, each, config)
        return None

    def _config(self, digest: Digest) -> ImageConfig:
        with self._content.open(digest) as blob:
            return ImageConfig.from_json(blob.read())

    def _load(self, reference: Reference, platform: Platform, job: Job) -> _Loaded:
        return as_step(
            f"resolve {reference}",
            f"[internal] load metadata for {reference.with_default_tag()}",
            job,
            lambda: self._fetch(reference, platform, job),
        )

    def _keep(self, reference: Reference, loaded: _Loaded) -> ResolvedSource:
        """The image is one from now on, and has the name."""
        image = self._images.add(loaded.id, loaded.top, created_at=time.time())
        self._name(reference, loaded.manifest, image, loaded.config.platform)
        return ResolvedSource(reference, image, loaded.config, loaded.manifest)

    def _name(self, reference: Reference, manifest: Digest, image: Image, platform: Platform) -> None:
        """Images of one index stay together under its names, and this machine's is the first choice."""
        by_digest = reference.with_digest(manifest)
        before = self._images.by_reference(by_digest)
        known = self._images.platforms_of(by_digest) or ([before] if before is not None else [])
        parts = list(dict.fromkeys([*(each.id for each in known), image.id]))
        is_main = len(parts) == 1 or platform.matches(Platform.host())
        main = image.id if is_main or before is None else before.id
        parts = parts if len(parts) > 1 else []
        self._images.add_manifest(reference, manifest, main, parts)
        if reference.digest is None:
            self._images.tag(reference, main, parts)

    def _fetch(self, reference: Reference, platform: Platform, job: Job) -> _Loaded:
        registry = self._registry()
        top = registry.fetch_manifest(reference, cancel=job.cancel)
        manifest, document = self._manifest(top, reference, platform, job)
        if manifest.config.size > _MAX_CONFIG:
            raise BrokenImage(
                f'the config of "{reference.familiar()}" has {manifest.config.size} bytes',
                hint="it is no ordinary container image",
            )
        config_bytes = bytearray()
        registry.fetch_blob(reference, manifest.config, config_bytes.extend, cancel=job.cancel)
        try:
            config = ImageConfig.from_json(bytes(config_bytes))
        except (ValueError, KeyError, TypeError, PybuildError) as error:
            raise BrokenImage(
                f'the config of "{reference.familiar()}" is no image config: {_shown(error)}'
            ) from error
        for raw in (top.raw, document.raw, bytes(config_bytes)):
            self._content.put(raw)
        return _Loaded(
            Digest.of(bytes(config_bytes)), config, self._register(reference, manifest, config), top.digest
        )

    def _manifest(
        self, top: FetchedManifest, reference: Reference, platform: Platform, job: Job
    ) -> tuple[Manifest, FetchedManifest]:
        from builder.registry.interface import Index, Manifest, choose

        parsed = top.parse()
        if isinstance(parsed, Manifest):
            return parsed, top
        assert isinstance(parsed, Index)
        picked = choose(parsed, platform)
        fetched = self._registry().fetch_manifest(reference, descriptor=picked, cancel=job.cancel)
        manifest = fetched.parse()
        if not isinstance(manifest, Manifest):
            raise BrokenImage(f'the index of "{reference.familiar()}" leads to another index')
        return manifest, fetched

    def _register(self, reference: Reference, manifest: Manifest, config: ImageConfig) -> str:
        top = register_layers(self._snapshots, config, manifest.layers, origin=reference.repository)
        for snapshot, layer in zip(self._snapshots.chain(top), manifest.layers, strict=True):
            # Known from another image, whose registry may be gone or may have lied of it.
            if snapshot.layer is not None and self._content.size(snapshot.layer.digest) is None:
                self._snapshots.set_layer(snapshot.name, layer, reference.repository)
        return top


def register_layers(
    snapshots: Snapshotter, config: ImageConfig, layers: Sequence[Descriptor], *, origin: str
) -> str:
    """Make an image's layers known as snapshots, not unpacked; the name of the topmost."""
    if len(layers) != len(config.diff_ids):
        raise BrokenImage(f"the image has {len(layers)} layers and {len(config.diff_ids)} diff IDs")
    top = ""
    for layer, diff_id, chain_id in zip(layers, config.diff_ids, chain_ids(config.diff_ids), strict=True):
        if layer.media_type not in LAYERS:
            raise BrokenImage(
                f'layers of type "{layer.media_type}" cannot be unpacked',
                hint="it is no ordinary container image (an artifact, or an encrypted or foreign layer)",
            )
        top = snapshots.add_layer(top, diff_id, chain_id, layer, origin, time.time()).name
    return top


class _HashingReader:
    """A stream that knows the digest of everything read through it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def drain(self) -> None:
        """Read what is left: a digest is of all bytes, also those behind the archive's end."""
        while self.read(1 << 20):
            pass

    def digest(self) -> Digest:
        return Digest("sha256", self._hash.hexdigest())


def _shown(error: Exception) -> str:
    """What a document says, fit for a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(error)[:300])
