"""Layers as tars: their diff IDs, and their bytes when somebody asks for them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from builder.core.descriptor import OCI_LAYER, Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.store.interface import ContentStore, Snapshot, Snapshotter

if TYPE_CHECKING:  # a cached build computes no layer
    from concurrent.futures import Future, ThreadPoolExecutor

# Hashing releases the interpreter lock, walking does not: more threads than this gain nothing.
_THREADS = 2


class PlainLayer(NamedTuple):
    """What a layer's uncompressed tar is."""

    diff_id: Digest
    size: int


class Layers:
    """Gives layers their tar form. A context manager: it owns the threads of ``prefetch``."""

    def __init__(self, snapshots: Snapshotter, content: ContentStore) -> None:
        self._snapshots = snapshots
        self._content = content
        self._lock = threading.Lock()
        self._running: dict[str, Future[PlainLayer]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Layers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def prefetch(self, name: str) -> None:
        """Start computing a diff ID in the background, unless it is known."""
        snapshot = self._snapshots.stat(name)
        if snapshot is not None and snapshot.diff_id is None:
            origin = self._origin(snapshot)
            if origin.diff_id is None:
                self._start(origin)

    def diff_id(self, snapshot: Snapshot) -> Digest:
        """The digest of the uncompressed tar; computed once, then remembered by the store.

        Ask for parents first: the store derives chain ids on the way.
        """
        if snapshot.diff_id is not None:
            return snapshot.diff_id
        origin = self._origin(snapshot)
        if origin.diff_id is not None:
            plain = PlainLayer(origin.diff_id, self._snapshots.tar_size(origin.name))
        else:
            plain = self._start(origin).result()
            self._snapshots.set_diff_id(origin.name, plain.diff_id, plain.size)
        if origin is not snapshot:
            self._snapshots.set_diff_id(snapshot.name, plain.diff_id, plain.size)
        return plain.diff_id

    def descriptor(self, snapshot: Snapshot) -> Descriptor:
        """The form in which the layer leaves: as it was pulled, else uncompressed."""
        if snapshot.layer is not None:
            return snapshot.layer
        diff_id = self.diff_id(snapshot)
        return Descriptor(media_type=OCI_LAYER, digest=diff_id, size=self._snapshots.tar_size(snapshot.name))

    def write(self, snapshot: Snapshot, sink: Callable[[bytes], object]) -> None:
        """The bytes that ``descriptor`` describes.

        Raises DigestMismatch if a tar made again came out otherwise, and BlobNotFound.
        """
        layer = self.descriptor(snapshot)
        if snapshot.layer is not None and layer.digest == snapshot.layer.digest:
            with self._content.open(layer.digest) as blob:
                while data := blob.read(1 << 20):
                    sink(data)
            return
        digest = hashlib.sha256()

        def both(data: bytes) -> None:
            digest.update(data)
            sink(data)

        self._write_tar(self._origin(snapshot), both)
        if digest.hexdigest() != layer.digest.hex:
            raise DigestMismatch(layer.digest, f"sha256:{digest.hexdigest()}", what="layer made again")

    def unpack(self, snapshot: Snapshot, directory: Path, lowers: Sequence[str]) -> None:
        """The directory that whoever pulls this layer would have; ``directory`` is one in scratch."""
        from builder.fs.apply import apply_layer
        from builder.fs.tree import StackedTree

        tar = directory.with_name(f"{directory.name}.tar")
        try:
            with open(tar, "xb") as file:
                self.write(snapshot, file.write)
            with open(tar, "rb") as file:
                apply_layer(file, str(directory), StackedTree(lowers) if lowers else None)
        finally:
            tar.unlink(missing_ok=True)

    def _origin(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot that the tar is made of: a tree that is shared is the same layer everywhere."""
        shared = self._snapshots.stat(snapshot.same_as) if snapshot.same_as else None
        return shared or snapshot

    def _start(self, snapshot: Snapshot) -> Future[PlainLayer]:
        with self._lock:
            running = self._running.get(snapshot.name)
            if running is None:
                if self._pool is None:
                    from concurrent.futures import ThreadPoolExecutor

                    self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="layers")
                running = self._running[snapshot.name] = self._pool.submit(self._compute, snapshot)
            return running

    def _compute(self, snapshot: Snapshot) -> PlainLayer:
        digest = hashlib.sha256()
        size = self._write_tar(snapshot, digest.update)
        return PlainLayer(Digest("sha256", digest.hexdigest()), size)

    def _write_tar(self, snapshot: Snapshot, sink: Callable[[bytes], object]) -> int:
        from builder.fs.diff import write_layer
        from builder.fs.tree import StackedTree

        # What a layer holds is decided by the times that the step gave, whatever it is written with.
        source = self._snapshots.stat(snapshot.clamp_of) if snapshot.clamp_of else snapshot
        assert source is not None, "a clamped tree lives as long as its clamp"
        if source.layer is not None:
            self._snapshots.lowers(source.name)  # it may not be unpacked
        lowers = self._snapshots.lowers(source.parent)
        return write_layer(
            self._snapshots.directory(source.name),
            sink,
            parent=StackedTree(lowers) if lowers else None,
            clamp_mtime_s=snapshot.clamp_s,
        ).size
