"""What remembers the results of steps, under keys that agree everywhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

from builder.core.digest import Digest


class CacheRecord(NamedTuple):
    """One answer: the id under which a ResultStore loads it, and the plain inputs of its key."""

    result_id: str
    inputs: bytes


class ContentMemo(NamedTuple):
    """What was read of a result: see ``CacheBackend.content``."""

    source: Digest
    selector: str
    content: Digest


class CacheBackend(Protocol):
    """Records and content memos; thread-safe."""

    def lookup(self, keys: Collection[Digest]) -> Mapping[Digest, CacheRecord]:
        """All hits, in one query."""

    def save(self, key: Digest, record: CacheRecord, *, replace: bool = False) -> CacheRecord:
        """Remember; returns the record that stands: without ``replace`` an earlier one wins.

        With ``replace`` the step has run again, and what ``content`` knew of its result is forgotten.
        """

    def forget(self, key: Digest) -> None:
        """The record's result turned out to be gone."""

    def content(self, source: Digest, selector: str) -> Digest | None:
        """The content digest that (source key, selector) had when its source last ran; a memo."""

    def save_content(self, source: Digest, selector: str, content: Digest) -> None:
        """Overwrites."""

    def memos(self, sources: Collection[Digest]) -> list[ContentMemo]:
        """All that is remembered of the contents of these, sorted."""

    def listing(self, content: Digest) -> bytes | None:
        """What a content digest was computed from, as it was saved."""

    def save_listing(self, key: Digest, content: Digest, listing: Callable[[], bytes | None]) -> None:
        """For as long as ``key`` has a record; kept once per content.

        ``listing`` is asked only if it is not known; None: nor here.
        """
