"""What remembers the results of steps, under keys that agree everywhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import BinaryIO, NamedTuple, Protocol

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.core.job import Cancel


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

    def listing(self, content: Digest) -> bytes | None:
        """What a content digest was computed from, as it was saved."""

    def save_listing(self, key: Digest, content: Digest, listing: Callable[[], bytes | None]) -> None:
        """For as long as ``key`` has a record; kept once per content.

        ``listing`` is asked only if it is not known; None: nor here.
        """


class Lineage(NamedTuple):
    """What the tree of a step stands on: so many layers over the top of an image, "" and None for none."""

    base: str  # the image's snapshot
    base_chain: Digest | None
    height: int


class RemoteManifest(NamedTuple):
    """A manifest or an index of a CacheRemote, as its bytes are there; ``digest`` is of them, and checked."""

    raw: bytes
    media_type: str
    digest: Digest


class CacheRemote(Protocol):
    """A place where caches are shared: blobs by digest, manifests by name. Thread-safe.

    A name is a tag, or a digest as text. What is read is checked against its digest on the way. A failure is
    a PybuildError, or an OSError where the place is a folder.
    """

    @property
    def place(self) -> str:
        """For people: "folder /mnt/cache", "registry.example/app:cache"."""

    @property
    def origin(self) -> str:
        """The repository that the store can fetch blobs from later; "": they are to be fetched now."""

    def manifest(self, name: str, cancel: Cancel) -> RemoteManifest | None:
        """What stands under a name; None: nothing."""

    def put_manifest(self, name: str, raw: bytes, media_type: str, cancel: Cancel) -> None:
        """Let a name stand for these bytes; what they name must be there."""

    def has_blob(self, blob: Descriptor, cancel: Cancel) -> bool:
        """Whether it is there, as far as that can be told without reading it."""

    def read_blob(self, blob: Descriptor, sink: Callable[[bytes], object], cancel: Cancel) -> None:
        """Into ``sink``, in order; the bytes are good only if this returns. Raises if it is not there."""

    def put_blob(
        self, blob: Descriptor, open_at: Callable[[int], BinaryIO], cancel: Cancel, *, mount_from: str = ""
    ) -> bool:
        """Have it there; whether bytes were sent. ``open_at`` opens it at an offset.

        ``mount_from`` is the path of another repository of that registry that may have it.
        """
