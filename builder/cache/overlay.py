"""The store's cache with shared ones behind it, for one build."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence, Set

from builder.cache.imported import ImportedCache
from builder.cache.interface import CacheBackend, CacheRecord, ContentMemo
from builder.core.digest import Digest


class CacheWithImports:
    """See CacheBackend. What is taken from a shared cache is the store's own from then on.

    ``is_there`` says whether the result of a record is still in the store.
    """

    def __init__(
        self, inner: CacheBackend, imports: Sequence[ImportedCache], is_there: Callable[[str], bool]
    ) -> None:
        self._inner = inner
        self._imports = imports
        self._is_there = is_there
        self._own: set[Digest] = set()  # what ran here: no other machine knows what it read
        self._memos: dict[tuple[Digest, str], Digest] = {}
        self._taking = threading.Lock()
        self.taken: dict[Digest, ImportedCache] = {}

    @property
    def ran(self) -> Set[Digest]:
        """The keys of the steps that ran in this build."""
        return self._own

    def memos(self) -> list[ContentMemo]:
        """What this build knew of contents, and so what the next one wants to know; sorted."""
        return sorted(ContentMemo(*key, content) for key, content in self._memos.items())

    def lookup(self, keys: Collection[Digest]) -> Mapping[Digest, CacheRecord]:
        """See CacheBackend."""
        found = dict(self._inner.lookup(keys))
        for key in keys:
            if key in found and self._is_there(found[key].result_id):
                continue
            taken = self._take(key)
            if taken is not None:
                found[key] = taken
        return found

    def save(self, key: Digest, record: CacheRecord, *, replace: bool = False) -> CacheRecord:
        """See CacheBackend."""
        if replace:
            self._own.add(key)
            self.taken.pop(key, None)
        return self._inner.save(key, record, replace=replace)

    def forget(self, key: Digest) -> None:
        """See CacheBackend."""
        self._inner.forget(key)

    def content(self, source: Digest, selector: str) -> Digest | None:
        """See CacheBackend."""
        found = self._inner.content(source, selector)
        # A memo is of one result: that of another machine says nothing of what was made here.
        if found is None and source not in self._own and not self._inner.lookup([source]):
            found = next((c for i in self._imports if (c := i.content(source, selector)) is not None), None)
            if found is not None:
                self._inner.save_content(source, selector, found)
        if found is not None:
            self._memos[source, selector] = found
        return found

    def save_content(self, source: Digest, selector: str, content: Digest) -> None:
        """See CacheBackend."""
        self._memos[source, selector] = content
        self._inner.save_content(source, selector, content)

    def listing(self, content: Digest) -> bytes | None:
        """See CacheBackend. Listings do not travel."""
        return self._inner.listing(content)

    def save_listing(self, key: Digest, content: Digest, listing: Callable[[], bytes | None]) -> None:
        """See CacheBackend."""
        self._inner.save_listing(key, content, listing)

    def _take(self, key: Digest) -> CacheRecord | None:
        with self._taking:
            for imported in self._imports:
                record = imported.find(key)
                if record is not None:
                    self._inner.save(key, record, replace=True)
                    for memo in imported.memos([key]):
                        self._inner.save_content(*memo)
                    self.taken[key] = imported
                    return record
        return None


class InputsWithImports(CacheWithImports):
    """The same for questions: records of shared caches are seen, without their results, and none is taken."""

    def _take(self, key: Digest) -> CacheRecord | None:
        found = (imported.document.records.get(key) for imported in self._imports)
        return next((CacheRecord("", record.inputs) for record in found if record is not None), None)
