"""Sources as operations: images are snapshots that may still be packed, contexts are handles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builder.core.canonical import Plain, digest_of
from builder.core.image import ImageConfig, chain_ids
from builder.core.job import Job
from builder.ops.results import Result, SnapshotResult
from builder.solver.interface import CacheMap, Executed
from builder.source.interface import LocalContext


class ImageOperation:
    """An image that the frontend resolved; its key is the identity of its layers, not of its name."""

    def __init__(self, identifier: str, config: ImageConfig, snapshot: str) -> None:
        """``identifier`` is what people know it by."""
        self._identifier = identifier
        self._config = config
        self._snapshot = snapshot

    def cache_map(self, job: Job) -> CacheMap[Result]:
        """See Op."""
        chain = chain_ids(self._config.diff_ids)
        identity = ("image", str(chain[-1]) if chain else "", str(self._config.platform))
        name, _, digest = self._identifier.partition("://")[2].rpartition("@")
        shown: Plain = {"image": name, "digest": digest, "platform": identity[2]}
        return CacheMap(digest_of(identity), is_source=True, plain=lambda: shown)

    def execute(self, job: Job, inputs: Sequence[Result]) -> Executed[Result]:
        """See Op."""
        return Executed((SnapshotResult(self._snapshot),))


class LocalOperation:
    """A directory of the user: no key of its own, only what is read of it counts."""

    def __init__(self, name: str, contexts: Mapping[str, LocalContext]) -> None:
        self._name = name
        self._contexts = contexts

    def cache_map(self, job: Job) -> CacheMap[Result]:
        """See Op."""
        return CacheMap(None, is_source=True)

    def execute(self, job: Job, inputs: Sequence[Result]) -> Executed[Result]:
        """See Op."""
        return Executed((self._contexts[self._name],))
