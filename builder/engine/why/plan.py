"""What a build would do: solved with operations that do nothing, over a store that is only read.

The solver decides as it does in a build. A step that would run gives a result that nobody has seen; where the
content of such a result counts, the key is not known, and neither is what becomes of the steps above.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from builder.cache.interface import CacheBackend, CacheRecord
from builder.core.digest import Digest
from builder.core.events import Event, StepFinished, StepQueued
from builder.core.job import Job
from builder.core.location import Location
from builder.engine.why.cause import Cause
from builder.engine.why.explain import Explainer
from builder.llb.definition import Definition, Edge, Vertex
from builder.ops.results import Result, SnapshotResult
from builder.solver.interface import CacheMap, Dep, Executed, Miss, Op, Resolver, ResultStore
from builder.solver.solver import Solver

Prediction = Literal["cached", "runs", "unknown"]


class PlannedStep(NamedTuple):
    """One step, in the order of the definition."""

    digest: str
    name: str
    location: Location | None
    prediction: Prediction
    causes: tuple[Cause, ...]


class Unmade(NamedTuple):
    """The result of a step that would run."""

    step: str


_Foreseen = Result | Unmade


def plan_steps(
    definition: Definition,
    targets: Sequence[Edge | None],
    resolver: Resolver[Result],
    cache: CacheBackend,
    results: ResultStore[Result],
    is_here: Callable[[str], bool],
    explainer: Explainer,
    job: Job,
) -> list[PlannedStep]:
    """``is_here(snapshot)``: its files can be read without fetching or unpacking anything.

    Raises what the keys of sources from elsewhere raise, and CopySourceMissing.
    """
    foresight = _Foresight(explainer)
    solver = Solver[_Foreseen](
        _PlanResolver(resolver, foresight, is_here),
        ReadOnlyCache(cache),
        _PlanResults(results),
        parallelism=1,
        on_miss=foresight.missed,
    )
    solver.solve_all(definition, targets, replace(job, progress=foresight))
    return foresight.steps()


class _Foresight:
    """Collects what the solver tells, and gives the contents that nobody knows a digest."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer
        self._queued: dict[str, StepQueued] = {}
        self._cached: set[str] = set()
        self._missed: dict[str, tuple[Prediction, tuple[Cause, ...]]] = {}
        self._unknown: dict[str, str] = {}  # digests of contents and keys → the step whose result decides

    def emit(self, event: Event) -> None:
        """See Progress."""
        if isinstance(event, StepQueued):
            self._queued[event.step] = event
        elif isinstance(event, StepFinished) and event.is_cached:
            self._cached.add(event.step)

    def missed(self, miss: Miss) -> str:
        """See Solver.on_miss."""
        unknown = [part for part in miss.inputs.parts if part.digest in self._unknown]
        causes = self._explainer.causes(miss)
        prediction: Prediction = "runs"
        if unknown and not miss.vertex.ignores_cache:
            step = self._unknown[unknown[0].digest]
            self._unknown[str(miss.key)] = step
            prediction, causes = "unknown", [_depends(step)]
        self._missed[str(miss.vertex.digest())] = prediction, tuple(causes)
        return ""

    def content_of(self, result: Unmade | SnapshotResult, step: str) -> Digest:
        """One that no record can have."""
        digest = Digest.of(f"unknown {len(self._unknown)} {step}".encode())
        self._unknown[str(digest)] = result.step if isinstance(result, Unmade) else step
        return digest

    def steps(self) -> list[PlannedStep]:
        return [
            PlannedStep(
                queued.step, queued.name, queued.location, *self._missed.get(queued.step, ("cached", ()))
            )
            for queued in self._queued.values()
        ]


def _depends(step: str) -> Cause:
    return Cause(kind="follows", text=f"depends on what {step} makes", step=step)


class _PlanResolver:
    def __init__(
        self, inner: Resolver[Result], foresight: _Foresight, is_here: Callable[[str], bool]
    ) -> None:
        self._inner = inner
        self._foresight = foresight
        self._is_here = is_here
        self._names: dict[Digest, str] = {}

    def resolve(self, digest: Digest, vertex: Vertex) -> Op[_Foreseen]:
        """See Resolver."""
        self._names[digest] = vertex.name
        below = [self._names[edge.vertex] for edge in vertex.inputs]
        return _PlanOp(self._inner.resolve(digest, vertex), vertex, below, self._foresight, self._is_here)


class _PlanOp:
    def __init__(
        self,
        inner: Op[Result],
        vertex: Vertex,
        below: Sequence[str],
        foresight: _Foresight,
        is_here: Callable[[str], bool],
    ) -> None:
        self._inner = inner
        self._vertex = vertex
        self._below = below
        self._foresight = foresight
        self._is_here = is_here
        self._is_source = False

    def cache_map(self, job: Job) -> CacheMap[_Foreseen]:
        """See Op."""
        known = self._inner.cache_map(job)
        self._is_source = known.is_source
        return CacheMap(
            digest=known.digest,
            deps=tuple(self._dep(dep, name) for dep, name in zip(known.deps, self._below, strict=True)),
            is_source=known.is_source,
            pin=known.pin,
            plain=known.plain,
        )

    def execute(self, job: Job, inputs: Sequence[_Foreseen]) -> Executed[_Foreseen]:
        """See Op."""
        if self._is_source:
            return Executed(tuple(self._inner.execute(job, ()).outputs))
        return Executed((Unmade(self._vertex.name),))

    def _dep(self, dep: Dep[Result], name: str) -> Dep[_Foreseen]:
        compute = dep.content
        if compute is None:
            return Dep(selector=dep.selector)

        def content(result: _Foreseen) -> Digest:
            if isinstance(result, Unmade):
                return self._foresight.content_of(result, name)
            if isinstance(result, SnapshotResult) and not self._is_here(result.name):
                return self._foresight.content_of(result, name)
            return compute(result)

        return Dep(content, dep.selector, dep.listing)


class _PlanResults:
    def __init__(self, inner: ResultStore[Result]) -> None:
        self._inner = inner

    def save(self, results: Sequence[_Foreseen]) -> str:
        """See ResultStore."""
        return ""

    def load(self, result_id: str) -> Sequence[_Foreseen] | None:
        """See ResultStore."""
        return self._inner.load(result_id)


class ReadOnlyCache:
    """See CacheBackend: what is saved is forgotten, but for what it makes untrue."""

    def __init__(self, inner: CacheBackend) -> None:
        self._inner = inner
        self._stale: set[Digest] = set()

    def lookup(self, keys: Collection[Digest]) -> Mapping[Digest, CacheRecord]:
        """See CacheBackend."""
        return self._inner.lookup(keys)

    def save(self, key: Digest, record: CacheRecord, *, replace: bool = False) -> CacheRecord:
        """See CacheBackend."""
        if replace:
            self._stale.add(key)
        return record

    def forget(self, key: Digest) -> None:
        """See CacheBackend."""

    def content(self, source: Digest, selector: str) -> Digest | None:
        """See CacheBackend."""
        return None if source in self._stale else self._inner.content(source, selector)

    def save_content(self, source: Digest, selector: str, content: Digest) -> None:
        """See CacheBackend."""

    def listing(self, content: Digest) -> bytes | None:
        """See CacheBackend."""
        return self._inner.listing(content)

    def save_listing(self, key: Digest, content: Digest, listing: Callable[[], bytes | None]) -> None:
        """See CacheBackend."""
