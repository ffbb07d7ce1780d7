"""A cache that lives as long as the process; for tests, and for builds without a store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from builder.cache.interface import CacheRecord
from builder.core.digest import Digest


class MemoryCache:
    """See CacheBackend."""

    def __init__(self) -> None:
        self._records: dict[Digest, CacheRecord] = {}
        self._contents: dict[tuple[Digest, str], Digest] = {}
        self._listings: dict[Digest, bytes] = {}

    def lookup(self, keys: Collection[Digest]) -> Mapping[Digest, CacheRecord]:
        """See CacheBackend."""
        return {key: self._records[key] for key in keys if key in self._records}

    def save(self, key: Digest, record: CacheRecord, *, replace: bool = False) -> CacheRecord:
        """See CacheBackend."""
        if replace:
            self._records[key] = record
            for memo in [memo for memo in self._contents if memo[0] == key]:
                del self._contents[memo]
        return self._records.setdefault(key, record)

    def forget(self, key: Digest) -> None:
        """See CacheBackend."""
        self._records.pop(key, None)

    def content(self, source: Digest, selector: str) -> Digest | None:
        """See CacheBackend."""
        return self._contents.get((source, selector))

    def save_content(self, source: Digest, selector: str, content: Digest) -> None:
        """See CacheBackend."""
        self._contents[source, selector] = content

    def listing(self, content: Digest) -> bytes | None:
        """See CacheBackend."""
        return self._listings.get(content)

    def save_listing(self, key: Digest, content: Digest, listing: Callable[[], bytes | None]) -> None:
        """See CacheBackend."""
        if content not in self._listings and (data := listing()) is not None:
            self._listings[content] = data
