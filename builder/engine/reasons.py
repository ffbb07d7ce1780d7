"""Why the steps of a build run: who is asked, without loading him before a step does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from builder.engine.assemble import Engine
from builder.llb.definition import Definition
from builder.solver.interface import Miss

if TYPE_CHECKING:  # a build without a miss does not load them
    from builder.cache.interface import CacheBackend
    from builder.engine.build import BuildRequest
    from builder.engine.sharing.session import Sharing
    from builder.engine.why.explain import Explainer


class Reasons:
    """Makes an Explainer when a step runs for the first time. Thread-safe."""

    def __init__(
        self, engine: Engine, request: BuildRequest, definition: Definition, sharing: Sharing | None = None
    ) -> None:
        """Where nothing was built before, the builds of shared caches are what to compare with."""
        self._sharing = sharing if sharing is not None and sharing.imports else None
        self._engine = engine
        self._request = request
        self._definition = definition
        self._lock = threading.Lock()
        self._explainer: Explainer | None = None

    def why(self, miss: Miss) -> str:
        """See Solver.on_miss."""
        return self.explainer.why(miss)

    @property
    def explainer(self) -> Explainer:
        with self._lock:
            if self._explainer is None:
                self._explainer = self._make()
            return self._explainer

    def _make(self) -> Explainer:
        from builder.engine.history.collect import project_of
        from builder.engine.history.shelf import BuildShelf
        from builder.engine.why.explain import Explainer
        from builder.engine.why.past import Past, earlier_builds

        names = [vertex.name for _, vertex in self._definition if vertex.name]

        def past() -> Past:
            shelf = BuildShelf(self._engine.database, self._engine.state)
            builds = earlier_builds(shelf.latest_first(), project_of(self._request), names)
            if not builds and self._sharing is not None:
                builds = shared_builds(self._sharing)
            return Past(builds, names)

        cache: CacheBackend = self._engine.cache
        if self._sharing is not None:
            from builder.engine.sharing.past import inputs_of, shared_builds

            cache = inputs_of(self._sharing)
        stages = ",".join(sorted(self._request.uncached_stages))
        forced = "--no-cache" if self._request.is_cache_ignored else f"--no-cache-filter {stages}"
        return Explainer(past, cache, forced=forced)
