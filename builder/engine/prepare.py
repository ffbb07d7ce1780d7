"""What a build and a check begin with: the Dockerfile, its contexts, and who answers questions of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builder.core.job import Job
from builder.core.platform import Platform
from builder.core.steps import as_step
from builder.engine.assemble import Engine
from builder.engine.bridge import SourceBridge
from builder.engine.context import Dockerfile
from builder.engine.contextepoch import with_epoch
from builder.engine.inputs import Asked, Inputs, open_inputs
from builder.engine.lockfile import Lock, LockDrift, lock_path
from builder.engine.parses import StoredParses
from builder.engine.recorder import Recorder
from builder.frontend.interface import FrontendRequest
from builder.llb.definition import Definition
from builder.ops.resolve import OpResolver
from builder.ops.results import Result, SnapshotResults, snapshot_of
from builder.solver.solver import Solver
from builder.source.interface import LocalContext
from builder.store.interface import CacheMounts

if TYPE_CHECKING:  # most builds read no more than images and a folder
    from builder.engine.build import BuildRequest
    from builder.ops.remote import RemoteSources


class Prepared(NamedTuple):
    """All that there is before the Dockerfile is converted."""

    dockerfile: Dockerfile
    question: FrontendRequest
    bridge: SourceBridge
    resolver: OpResolver


@contextlib.contextmanager
def prepare(
    engine: Engine,
    request: BuildRequest,
    recorder: Recorder,
    job: Job,
    lock: Lock | None = None,
    caches: CacheMounts | None = None,
) -> Iterator[Prepared]:
    """A context that is no folder is fetched, for its Dockerfile. Raises what ``open_inputs`` raises."""
    folders: dict[str, LocalContext] = {}
    blobs: dict[str, Path] = {}
    lock = lock or Lock(is_strict=request.is_locked)
    bridge = SourceBridge(engine.sources, request.pull, recorder, job, engine.layout, lock)

    def remote() -> RemoteSources:
        from builder.engine.remote import open_remote

        return open_remote(engine, recorder, blobs, lock)

    caches = caches or engine.caches
    resolver = OpResolver(
        engine.snapshots, engine.executor, folders, bridge.image, caches, remote, engine.config.ca_bundle
    )

    def solve(tree: Definition) -> str:
        results = SnapshotResults(engine.snapshots)
        solver = Solver[Result](resolver, engine.cache, results, parallelism=1, turns=engine.turns)
        result = solver.solve(tree, job)
        assert result is not None, "a context is never scratch"
        return snapshot_of(result)

    asked = Asked(
        request.context, request.file, request.named_contexts, request.build_args, request.context_modes
    )
    with open_inputs(engine, recorder, asked, folders, blobs, solve) as inputs:
        _use_lock(lock, inputs.dockerfile, request, recorder, job)
        yield Prepared(inputs.dockerfile, _question(engine, request, inputs), bridge, resolver)


def _use_lock(
    lock: Lock, dockerfile: Dockerfile, request: BuildRequest, recorder: Recorder, job: Job
) -> None:
    if dockerfile.path is None:
        if request.is_locked:
            raise LockDrift(
                "a Dockerfile that is no file of this machine has no lock file", hint="leave --locked out"
            )
        return
    path = lock_path(dockerfile.path)
    data = recorder.read_file(path)
    if data is None:
        lock.use(path, None)
    else:
        as_step("lock", f"[internal] use {path.name}", job, lambda: lock.use(path, data))


def _question(engine: Engine, request: BuildRequest, inputs: Inputs) -> FrontendRequest:
    host = Platform.host()
    return FrontendRequest(
        source=inputs.dockerfile.data,
        file=inputs.dockerfile.name,
        context=inputs.context,
        named_contexts=inputs.named,
        build_args=with_epoch(request.build_args, inputs.epoch_s),
        target=request.target,
        labels=request.labels,
        platform=request.platforms[0] if request.platforms else host,
        build_platform=host,
        network=request.network,
        ignores_cache=request.is_cache_ignored,
        uncached_stages=request.uncached_stages,
        settings=request.settings,
        parse_cache=StoredParses(engine.database, engine.warm_up),
        excluding=inputs.dockerfile.excluding,
    )
