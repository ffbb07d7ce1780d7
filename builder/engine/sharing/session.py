"""The shared caches of one build: read before it, asked during it, written after it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from builder.cache.interface import CacheBackend, CacheRemote, Lineage
from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.core.errors import Cancelled, PybuildError
from builder.core.events import Warned
from builder.core.job import Job
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.core.steps import as_step
from builder.engine.assemble import Engine
from builder.engine.sharing.lineage import Images, chain_of, lineages
from builder.engine.sharing.options import CachePlace, SharingOptions
from builder.exporter.layers import Layers
from builder.frontend.interface import FrontendResult
from builder.llb.definition import Definition
from builder.ops.results import SnapshotResults
from builder.store.interface import CacheMounts, Snapshot

if TYPE_CHECKING:  # most builds share nothing
    from builder.cache.document import CacheDocument, SharedRecord
    from builder.cache.imported import ImportedCache
    from builder.cache.overlay import CacheWithImports
    from builder.engine.history.record import StepRecord


class Saved(NamedTuple):
    """What shared caches saved a build."""

    steps: int  # that did not run
    of: int
    seconds: float  # that they took where they ran
    size: int  # bytes of the layers that stand for them
    fetched: int  # bytes of those that had to come
    places: tuple[str, ...]


class Written(NamedTuple):
    """What an export sent."""

    place: str
    records: int
    blobs: int  # that were sent
    size: int  # bytes of these
    seconds: float


class Sharing:
    """``cache`` is for the solver, which tells ``note_key`` every key, after ``begin``."""

    def __init__(self, engine: Engine, options: SharingOptions, job: Job) -> None:
        self.engine = engine
        self.options = options
        self.job = job
        self.keys: dict[Digest, Digest] = {}
        self.definition = Definition({}, None)
        self.lineages: Mapping[Digest, Lineage] = {}
        self.final: set[Digest] = set()
        self._by_key: dict[Digest, set[Lineage]] = {}
        self._imports: list[ImportedCache] = []
        self._overlay: CacheWithImports | None = None
        self._before: set[Digest] = set()

    @property
    def cache(self) -> CacheBackend:
        """The store's, with what was imported behind it."""
        return self._overlay or self.engine.cache

    @property
    def overlay(self) -> CacheWithImports:
        """The same; only where something is shared."""
        assert self._overlay is not None, "this build shares no cache"
        return self._overlay

    @property
    def caches(self) -> CacheMounts:
        """The store's cache mounts, filled from what was imported."""
        documents = [(each.document, each.remote) for each in self._imports if each.document.mounts]
        if not documents:
            return self.engine.caches
        from builder.engine.sharing.mounts import RestoringCacheMounts, mounts_of

        return RestoringCacheMounts(self.engine, mounts_of(documents), self.job, self.warn)

    @property
    def imports(self) -> Sequence[ImportedCache]:
        """What was read."""
        return self._imports

    def read(self, platforms: Sequence[Platform]) -> None:
        """Have the caches to import; one that cannot be had is a warning."""
        options = self.options
        if not options.sources and not options.targets:
            return
        from builder.cache.overlay import CacheWithImports

        for place in options.sources:
            self._read(place, platforms or [Platform.host()])
        results = SnapshotResults(self.engine.snapshots)
        self._overlay = CacheWithImports(
            self.engine.cache, self._imports, lambda result: results.load(result) is not None
        )
        self._before = {blob.digest for blob in self._layers() if self._has(blob.digest)}

    def begin(self, definition: Definition, conversions: Sequence[FrontendResult], image: Images) -> None:
        """Before the first key is told."""
        if self._overlay is not None:
            self.definition = definition
            self.lineages = lineages(definition, image)
            self.final = {vertex for each in conversions for vertex in chain_of(each.definition)}

    def note_key(self, vertex: Digest, key: Digest) -> None:
        """See Solver."""
        self.keys[vertex] = key
        lineage = self.lineages.get(vertex)
        if lineage is not None:
            self._by_key.setdefault(key, set()).add(lineage)

    @property
    def steps(self) -> Mapping[Digest, Digest]:
        """The keys, by vertex, of all that records can answer."""
        return {
            vertex: key
            for vertex, key in self.keys.items()
            if vertex in self.lineages and self.lineages[vertex].height
        }

    def saved(self) -> Saved | None:
        """Once all is built; None where nothing was imported."""
        if not self._imports:
            return None
        keys = set(self.steps.values()) - self.overlay.ran
        own = self.engine.cache.lookup(keys - self.overlay.taken.keys())
        used: dict[Digest, tuple[ImportedCache, SharedRecord]] = {}
        for key in keys - own.keys():
            for imported in self._imports:
                if key in imported.document.records:
                    used[key] = imported, imported.document.records[key]
                    break
        blobs = {}
        for imported, record in used.values():
            blobs.update(_blobs_of(imported.document, record))
        new = [blob for blob in blobs.values() if blob.digest not in self._before]
        return Saved(
            len(used),
            len(set(self.steps.values())),
            sum(record.seconds for _, record in used.values()),
            sum(blob.size for blob in blobs.values()),
            sum(blob.size for blob in new if self._has(blob.digest)),
            tuple(dict.fromkeys(imported.remote.place for imported, _ in used.values())),
        )

    def inlined(self, config: bytes, converted: FrontendResult, chain: Sequence[Snapshot]) -> bytes:
        """The config of an image, with its cache if that is asked for."""
        if not self.options.is_inline:
            return config
        from builder.engine.sharing.inline import with_cache

        return with_cache(config, self, converted.definition, chain, epoch_s=converted.epoch_s)

    def hand_over(self, tops: Sequence[str], pushed: Sequence[Reference]) -> None:
        """Layers that stayed at a cache are fetched from where the image is: caches go sooner than images."""
        origins = {imported.remote.origin for imported in self._imports}
        snapshots = self.engine.snapshots
        for snapshot in (each for top in tops for each in snapshots.chain(top)) if pushed and origins else ():
            is_here = snapshot.layer is None or self._has(snapshot.layer.digest)
            if not is_here and snapshots.origin(snapshot.name) in origins:
                snapshots.set_origin(snapshot.name, pushed[0].repository)

    def export(
        self,
        layers: Layers,
        platform: Platform,
        pushed: Sequence[Reference],
        steps: Sequence[StepRecord],
    ) -> Sequence[Written]:
        """After the image. Raises what goes wrong where that is to end the build."""
        if not any(target.place is not None for target in self.options.targets):
            return ()
        from builder.engine.sharing.export import export_caches

        return export_caches(self, layers, platform, pushed, steps)

    def warn(self, what: str, error: BaseException) -> None:
        """Tell people of what went wrong without stopping the build."""
        hint = error.hint if isinstance(error, PybuildError) else None
        self.job.progress.emit(Warned(f"{what}: {error}", hint, None))

    def _read(self, place: CachePlace, platforms: Sequence[Platform]) -> None:
        from builder.cache.reading import read_caches

        remote = remote_of(self.engine, place)

        def read() -> None:
            for document in read_caches(remote, place.name, platforms, self.job.cancel):
                self._imports.append(self._imported(document, remote))

        try:
            as_step(f"import {place}", f"importing cache manifest from {place.label}", self.job, read)
        except Cancelled:
            raise
        except (PybuildError, OSError) as error:
            self.warn(f'no cache from "{place.label}"', error)

    def _imported(self, document: CacheDocument, remote: CacheRemote) -> ImportedCache:
        from builder.cache.imported import ImportedCache

        def warns(text: str) -> None:
            message = f'a record of the cache "{remote.place}" is not used: {text}'
            self.job.progress.emit(Warned(message, None, None))

        max_age_s = self.engine.cache.max_age_s
        return ImportedCache(
            document,
            remote,
            self.engine.snapshots,
            self.engine.content,
            self._lineages_of,
            warns,
            self.job.cancel,
            oldest=0.0 if max_age_s is None else time.time() - max_age_s,
        )

    def _lineages_of(self, key: Digest) -> Collection[Lineage]:
        return self._by_key.get(key, ())

    def _has(self, digest: Digest) -> bool:
        return self.engine.content.size(digest) is not None

    def _layers(self) -> list[Descriptor]:
        return [blob for imported in self._imports for blob in imported.document.blobs.values()]


def remote_of(engine: Engine, place: CachePlace) -> CacheRemote:
    """Whoever keeps caches at a place."""
    if place.reference is None:
        from builder.cache.folder import FolderRemote

        assert place.folder is not None, "a place is a folder or a repository"
        return FolderRemote(place.folder)
    from builder.cache.repository import RegistryRemote

    return RegistryRemote(place.reference, engine.registry, engine.pusher)


def _blobs_of(document: CacheDocument, record: SharedRecord) -> dict[Digest, Descriptor]:
    """The layers of a record's result, by digest; those of the base image are not among them."""
    found = {}
    chain = record.result
    while chain is not None and (layer := document.layers.get(chain)) is not None:
        blob = document.blobs[layer.diff_id]
        found[blob.digest] = blob
        chain = layer.parent
    return found
