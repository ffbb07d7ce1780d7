"""One shared cache during a build: its records as records of the store, as they are hit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from builder.cache.document import CacheDocument, SharedLayer
from builder.cache.interface import CacheRecord, CacheRemote, ContentMemo, Lineage
from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.core.errors import Cancelled, PybuildError
from builder.core.job import Cancel
from builder.store.interface import ContentStore, Snapshotter

# Blobs that a registry is asked for at a time, and from how many on that is worth threads.
_PARALLEL_QUESTIONS = 8
_WORTH_THREADS = 4


class ImportedCache:
    """``lineages(key)`` are those of the build's steps with that key: a record must have one of them.

    Results that were made before ``oldest``, in epoch seconds, are not there.

    ``warns`` is told why a record is not used. ``find`` is called by one thread at a time.
    """

    def __init__(
        self,
        document: CacheDocument,
        remote: CacheRemote,
        snapshots: Snapshotter,
        content: ContentStore,
        lineages: Callable[[Digest], Collection[Lineage]],
        warns: Callable[[str], None],
        cancel: Cancel,
        *,
        oldest: float = 0.0,
    ) -> None:
        self.document = document
        self.remote = remote
        self._snapshots = snapshots
        self._content = content
        self._lineages = lineages
        self._warns = warns
        self._cancel = cancel
        self._oldest = oldest
        self._memos = {(memo.source, memo.selector): memo.content for memo in document.memos}
        self._refused: set[Digest] = set()
        self._known: set[Digest] = set()  # blobs that are there

    def find(self, key: Digest) -> CacheRecord | None:
        """The record of a key, with its result among the store's snapshots, as pulled layers are."""
        shared = self.document.records.get(key)
        if shared is None or key in self._refused or self._is_too_old(shared.result):
            return None
        name = self._place(key, shared.result)
        if name is None:
            self._refused.add(key)
            return None
        return CacheRecord(name, shared.inputs)

    def content(self, source: Digest, selector: str) -> Digest | None:
        """What CacheBackend.content says of it."""
        return self._memos.get((source, selector))

    def memos(self, sources: Collection[Digest]) -> list[ContentMemo]:
        """What CacheBackend.memos says."""
        wanted = set(sources)
        return [memo for memo in self.document.memos if memo.source in wanted]

    def _is_too_old(self, result: Digest | None) -> bool:
        layer = self.document.layers.get(result) if result is not None else None
        return layer is not None and layer.created_at < self._oldest

    def _place(self, key: Digest, result: Digest | None) -> str | None:
        for lineage in self._lineages(key):
            layers = self._above(result, lineage)
            if layers is not None:
                return self._bring(layers, lineage.base)
        self._warns(f"the result of {key.short} does not stand on what its step does")
        return None

    def _above(self, result: Digest | None, lineage: Lineage) -> list[SharedLayer] | None:
        """The layers of a result over the base, base first; None if it stands on anything else."""
        layers: list[SharedLayer] = []
        chain = result
        while len(layers) < lineage.height and chain != lineage.base_chain:
            layer = self.document.layers.get(chain) if chain is not None else None
            if layer is None:
                return None
            layers.append(layer)
            chain = layer.parent
        is_whole = chain == lineage.base_chain and len(layers) == lineage.height
        return layers[::-1] if is_whole else None

    def _bring(self, layers: list[SharedLayer], name: str) -> str | None:
        blobs = [self.document.blobs[layer.diff_id] for layer in layers]
        if not self._have_all(list(dict.fromkeys(blobs))):
            return None
        for layer, blob in zip(layers, blobs, strict=True):
            name = self._snapshots.add_layer(
                name, layer.diff_id, layer.chain_id, blob, self.remote.origin, layer.created_at
            ).name
        return name

    def _have_all(self, blobs: Sequence[Descriptor]) -> bool:
        unknown = [blob for blob in blobs if blob.digest not in self._known]
        if not self.remote.origin or len(unknown) < _WORTH_THREADS:
            is_complete = all(map(self._have, unknown))
        else:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(_PARALLEL_QUESTIONS) as pool:
                is_complete = all(list(pool.map(self._have, unknown)))
        if is_complete:
            self._known.update(blob.digest for blob in unknown)
        return is_complete

    def _have(self, blob: Descriptor) -> bool:
        """A layer that can be fetched later is only asked for; a lost one is a miss, and no failure."""
        if self._content.size(blob.digest) == blob.size:
            return True
        try:
            if self.remote.origin:
                is_there = self.remote.has_blob(blob, self._cancel)
                if not is_there:
                    self._warns(f"the layer {blob.digest.short} is not there any more")
                return is_there
            with self._content.writer() as writer:
                self.remote.read_blob(blob, writer.write, self._cancel)
                writer.commit(expected=blob.digest)
        except Cancelled:
            raise
        except (PybuildError, OSError) as error:
            self._warns(str(error))
            return False
        return True
