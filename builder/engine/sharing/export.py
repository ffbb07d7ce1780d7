"""Writes the cache of a build: what is new of it, side by side, and last its manifest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from builder.cache.document import (
    MEMBER,
    MOST_RECORDS,
    CacheDocument,
    SharedLayer,
    SharedMount,
    SharedRecord,
    decode,
)
from builder.cache.interface import CacheRemote
from builder.cache.reading import read_caches
from builder.core.descriptor import DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest
from builder.core.errors import Cancelled, PybuildError
from builder.core.events import StepLog, Warned
from builder.core.job import Cancel
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.core.steps import as_step
from builder.engine.history.record import StepRecord
from builder.engine.history.shelf import BuildShelf
from builder.engine.sharing.blobs import Blob
from builder.engine.sharing.options import CacheTarget
from builder.engine.sharing.session import Sharing, Written, remote_of
from builder.exporter.documents import manifest_document
from builder.exporter.layers import Layers
from builder.exporter.pack import needed_blobs
from builder.exporter.packed import PackedLayer
from builder.store.interface import Snapshot
from builder.store.state import remove_tree

_PARALLEL_PUSHES = 5
# Plain inputs of all records together: what they explain is not worth a config that takes seconds to fetch.
_MOST_INPUTS = 6 << 20


@dataclass(slots=True)
class Contents:
    """What a cache is going to hold."""

    layers: dict[Digest, SharedLayer] = field(default_factory=dict)
    records: dict[Digest, SharedRecord] = field(default_factory=dict)
    mounts: list[SharedMount] = field(default_factory=list)
    blobs: dict[Digest, Blob] = field(default_factory=dict)  # by digest


def export_caches(
    sharing: Sharing,
    layers: Layers,
    platform: Platform,
    pushed: Sequence[Reference],
    steps: Sequence[StepRecord],
) -> list[Written]:
    """After the image. One that fails is a warning, unless it was said to end the build.

    ``pushed`` are where the image went: a registry need not be sent its layers again.
    """
    written = []
    for number, target in enumerate(sharing.options.targets):
        if target.place is None:
            continue
        kind = "folder" if target.place.reference is None else "registry"
        step = f"export cache {number}"
        export = _Export(sharing, layers, target, remote_of(sharing.engine, target.place), pushed, steps)
        try:
            run = partial(export.run, step, platform)
            written.append(as_step(step, f"exporting cache to {kind}", sharing.job, run))
        except Cancelled:
            raise
        except (PybuildError, OSError) as error:
            if target.fails_build:
                raise
            sharing.warn(f'the cache was not exported to "{target.place.label}"', error)
    return written


def _seconds_by_key(sharing: Sharing, steps: Sequence[StepRecord]) -> dict[Digest, float]:
    """How long steps took when they ran last: now, before, or where a shared cache is from."""
    known = {
        key: record.seconds
        for imported in reversed(sharing.imports)
        for key, record in imported.document.records.items()
    }
    engine = sharing.engine
    builds = [build.steps for build in reversed(BuildShelf(engine.database, engine.state).all())]
    for build in (*builds, steps):
        known.update({Digest.parse(s.key): s.seconds for s in build if s.key and s.status == "done"})
    return known


class _Export:
    def __init__(
        self,
        sharing: Sharing,
        layers: Layers,
        target: CacheTarget,
        remote: CacheRemote,
        pushed: Sequence[Reference],
        steps: Sequence[StepRecord],
    ) -> None:
        self._sharing = sharing
        self._engine = sharing.engine
        self._layers = layers
        self._target = target
        self._remote = remote
        self._pushed = pushed
        self._steps = steps
        self._packer = sharing.engine.packer(layers)
        self._contents = Contents()

    def run(self, step: str, platform: Platform) -> Written:
        began = time.monotonic()
        self._collect()
        scratch = self._engine.state.scratch / self._engine.state.new_name()
        scratch.mkdir(mode=0o700)
        try:
            if self._target.mounts or self._target.has_all_mounts:
                self._collect_mounts(scratch, platform)
            sent = self._push()
        finally:
            remove_tree(scratch)
        self._write_manifest(platform)
        size = sum(blob.descriptor.size for blob in sent)
        written = Written(
            self._remote.place, len(self._contents.records), len(sent), size, time.monotonic() - began
        )
        line = (
            f"{written.records} records, {len(self._contents.blobs)} layers; sent {len(sent)}, {size} bytes\n"
        )
        self._sharing.job.progress.emit(StepLog(step, 1, line.encode(), time.time()))
        return written

    # -- what goes in ---------------------------------------------------------------------------------------

    def _collect(self) -> None:
        sharing = self._sharing
        wanted = {
            key: sharing.lineages[vertex]
            for vertex, key in sharing.steps.items()
            if self._target.mode == "max" or vertex in sharing.final
        }
        found = sharing.cache.lookup(list(wanted)[:MOST_RECORDS])
        chains = {}
        for key, record in found.items():
            if record.result_id and self._engine.snapshots.is_intact(record.result_id):
                chains[key] = self._above(record.result_id, wanted[key].base)
        for chain in chains.values():
            for snapshot in chain:
                self._layers.prefetch(snapshot.name)
        seconds, room = _seconds_by_key(sharing, self._steps), _MOST_INPUTS
        for key, chain in sorted(chains.items()):
            top = wanted[key].base_chain
            for snapshot in chain:
                top = self._add(top, snapshot)
            inputs = found[key].inputs if len(found[key].inputs) <= room else b""
            room -= len(inputs)
            self._contents.records[key] = SharedRecord(top, seconds.get(key, 0.0), inputs)

    def _collect_mounts(self, scratch: Path, platform: Platform) -> None:
        from builder.engine.sharing.mounts import MountExport, mounts_of, wanted_mounts

        sharing, place = self._sharing, self._target.place
        assert place is not None, "an inline cache has no mounts"
        try:
            documents = read_caches(self._remote, place.name, [platform], sharing.job.cancel)
        except Cancelled:
            raise
        except (PybuildError, OSError):
            documents = []  # the first export, or what is not worth keeping
        here = [(document, self._remote) for document in documents]
        imported = [(each.document, each.remote) for each in sharing.imports]
        export = MountExport(self._engine, self._target, mounts_of([*here, *imported]), sharing.job, scratch)
        wanted = wanted_mounts(sharing.definition, self._target)
        for identity, name in sorted(wanted.items()):
            why = export.add(identity, name)
            if why is not None:
                message = f'the cache mount "{name}" is not exported: {why}'
                sharing.job.progress.emit(
                    Warned(message, "export it again when the other build is over", None)
                )
        self._warn_of_unknown(wanted)
        self._contents.mounts += export.mounts
        for blob in export.blobs:
            self._contents.blobs.setdefault(blob.descriptor.digest, blob)

    def _warn_of_unknown(self, wanted: Mapping[Digest, str]) -> None:
        known = {part for name in wanted.values() for part in (name, name.rpartition("/")[2])}
        for name in self._target.mounts:
            if name not in known:
                message = f'--cache-to: no step of this build has a cache mount "{name}" that can be exported'
                hint = "mounts are named by their id, which is their target unless it is given"
                self._sharing.job.progress.emit(Warned(message, hint, None))

    def _above(self, name: str, base: str) -> list[Snapshot]:
        """The layers of a result, without those of the image that it stands on."""
        snapshots = self._engine.snapshots
        return snapshots.chain(name)[len(snapshots.chain(base)) :]

    def _add(self, parent: Digest | None, snapshot: Snapshot) -> Digest:
        options = self._target.pack
        missing = [
            s for s in needed_blobs(options, [snapshot])
            if s.layer is not None and self._engine.content.size(s.layer.digest) is None
        ]  # fmt: skip
        if missing:
            self._engine.sources.fetch_layers(missing, self._sharing.job)
        packed = self._packer.layer(snapshot, options)
        layer = SharedLayer(parent, packed.plain, snapshot.created_at)
        self._contents.layers.setdefault(layer.chain_id, layer)
        self._contents.blobs.setdefault(
            packed.descriptor.digest,
            Blob(packed.descriptor, packed.plain, self._opener(packed), self._mount_from(snapshot)),
        )
        return layer.chain_id

    def _opener(self, packed: PackedLayer) -> Callable[[int], BinaryIO]:
        def open_at(offset: int) -> BinaryIO:
            engine, digest = self._engine, packed.descriptor.digest
            if engine.content.size(digest) is None:
                snapshot = engine.snapshots.stat(packed.snapshot)
                assert snapshot is not None, "a packed layer is one of the store"
                engine.sources.fetch_layers([snapshot], self._sharing.job)
            file = engine.content.open(digest)
            file.seek(offset)
            return file

        return open_at

    def _mount_from(self, snapshot: Snapshot) -> str:
        """The path of another repository of the same registry that has it."""
        if not self._remote.origin:
            return ""
        here = Reference.parse(self._remote.origin)
        origin = self._engine.snapshots.origin(snapshot.name)
        known = [Reference.parse(origin)] if origin else []
        for reference in (*known, *self._pushed):
            if reference.domain == here.domain and reference.path != here.path:
                return reference.path
        return ""

    # -- where it goes --------------------------------------------------------------------------------------

    def _push(self) -> list[Blob]:
        """Those that were sent."""
        from concurrent.futures import ThreadPoolExecutor

        blobs = list(self._contents.blobs.values())
        if not blobs:
            return []
        cancel = Cancel()
        forget = self._sharing.job.cancel.on_cancel(cancel.cancel)

        def put(blob: Blob) -> bool:
            try:
                return self._remote.put_blob(
                    blob.descriptor, blob.open_at, cancel, mount_from=blob.mount_from
                )
            except BaseException:
                cancel.cancel()  # the first error ends them all
                raise

        try:
            with ThreadPoolExecutor(min(_PARALLEL_PUSHES, len(blobs))) as pool:
                done = [(blob, pool.submit(put, blob)) for blob in blobs]
            failures = [error for _, future in done if (error := future.exception()) is not None]
            for failure in sorted(failures, key=lambda error: isinstance(error, Cancelled)):
                raise failure
            return [blob for blob, future in done if future.result()]
        finally:
            forget()

    def _write_manifest(self, platform: Platform) -> None:
        contents, is_oci = self._contents, self._target.pack.is_oci
        blobs = list(contents.blobs.values())
        document = CacheDocument(
            layers=contents.layers,
            records=contents.records,
            memos=tuple(self._sharing.overlay.memos()),
            mounts=tuple(contents.mounts),
        )
        config = _config(document, platform, [blob.diff_id for blob in blobs])
        described = Descriptor(
            media_type=OCI_CONFIG if is_oci else DOCKER_CONFIG, digest=Digest.of(config), size=len(config)
        )
        # Nobody would read it otherwise: better to hear of that now.
        decode(config, described.media_type, [blob.descriptor for blob in blobs])
        manifest = manifest_document(described, [blob.descriptor for blob in blobs], (), is_oci=is_oci)
        cancel, place = self._sharing.job.cancel, self._target.place
        assert place is not None, "an inline cache is written with its image"
        self._remote.put_blob(described, lambda offset: _reader(config, offset), cancel)
        self._remote.put_manifest(place.name, manifest, OCI_MANIFEST if is_oci else DOCKER_MANIFEST, cancel)


def _config(document: CacheDocument, platform: Platform, diff_ids: Sequence[Digest]) -> bytes:
    """An image config that nobody runs; ASCII, so that names that are no UTF-8 come back as they were."""
    config = {
        "architecture": platform.architecture,
        "os": platform.os,
        **({"variant": platform.variant} if platform.variant else {}),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for diff_id in diff_ids]},
        MEMBER: document.member(),
    }
    return json.dumps(config, separators=(",", ":")).encode()


def _reader(data: bytes, offset: int) -> BinaryIO:
    import io

    file = io.BytesIO(data)
    file.seek(offset)
    return file
