"""`build`: from a Dockerfile and its context to a tagged image."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builder import __version__
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.events import Progress
from builder.core.job import Job
from builder.core.limits import StepSettings
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.engine.assemble import Engine
from builder.engine.bridge import SourceBridge
from builder.engine.context import Dockerfile, open_context, read_dockerfile
from builder.engine.logs import LoggingProgress
from builder.engine.parses import StoredParses
from builder.engine.recorder import Recorder
from builder.engine.session import SecretSource, SshSource, open_session
from builder.exporter.image import finish_image
from builder.exporter.layers import Layers
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.dockerfile.lint import LintViolation
from builder.frontend.interface import FrontendRequest, FrontendResult
from builder.llb.definition import Definition
from builder.llb.ops import ExecOp, FileOp, MergeOp
from builder.ops.resolve import OpResolver
from builder.ops.results import Result, SnapshotResult, SnapshotResults, snapshot_of
from builder.solver.solver import Solver
from builder.source.interface import PullPolicy

# "Unlimited" as in BuildKit, short of what threads and pipes cost: a step mostly waits for its process.
DEFAULT_PARALLELISM = 256

_KEPT_RECORDS = 200


class ContextNotFound(PybuildError):
    """The build context is no directory."""

    kind = Kind.NOT_FOUND
    code = "context-not-found"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What `pybuild build` was asked for."""

    context: Path
    file: Path | None = None
    tags: Sequence[str] = ()
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    pull: PullPolicy = "missing"
    network: str | None = None
    platform: Platform | None = None
    is_cache_ignored: bool = False
    uncached_stages: frozenset[str] = frozenset()
    settings: StepSettings = StepSettings()
    secrets: Sequence[SecretSource] = ()
    ssh: Sequence[SshSource] = ()
    parallelism: int = DEFAULT_PARALLELISM


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """The image that a build made."""

    image: Digest
    tags: tuple[Reference, ...]


@dataclass(slots=True)
class BuildSource:
    """The Dockerfile, as far as it was read: errors quote it. Filled in by ``build``."""

    name: str = "Dockerfile"
    data: bytes | None = None


def build(
    engine: Engine, request: BuildRequest, recorder: Recorder, source: BuildSource, progress: Progress
) -> BuildOutcome:
    """Build, tag, record. ``engine.job`` must send its events to ``progress``."""
    tags = tuple(Reference.parse(tag).with_default_tag() for tag in request.tags)
    started_at, build_id = time.time(), os.urandom(8).hex()
    recorder.note("version", "pybuild", __version__)
    check_context(request.context)
    dockerfile = read_dockerfile(request.context, request.file, recorder)
    source.name, source.data = dockerfile.name, dockerfile.data
    with (
        open_context(
            "context", request.context, dockerfile.ignore, engine.state.stat_cache, recorder
        ) as context,
        LoggingProgress(progress, engine.state.logs / build_id) as logged,
        open_session(request.secrets, request.ssh) as session,
    ):
        job = Job(build_id, session, logged, engine.job.cancel)
        bridge = SourceBridge(engine.sources, request.pull, recorder, job)
        converted = DockerfileFrontend().convert(frontend_request(engine, request, dockerfile), bridge)
        for warning in converted.warnings:
            job.progress.emit(warning)
        if converted.violated:
            raise LintViolation(converted.violated)
        _check_platforms(converted.definition)
        layers = Layers(engine.snapshots, engine.content)
        resolver = OpResolver(
            engine.snapshots, engine.executor, {"context": context}, bridge.image, engine.caches
        )
        final = _chain_of(converted.definition)

        def on_result(digest: Digest, results: Sequence[Result]) -> None:
            # The layers of the image are hashed beside the steps that come after them.
            if digest in final and isinstance(results[0], SnapshotResult):
                layers.prefetch(results[0].name)

        with layers:
            solver = Solver[Result](
                resolver,
                engine.cache,
                SnapshotResults(engine.snapshots),
                parallelism=request.parallelism,
                on_result=on_result,
            )
            result = solver.solve(converted.definition, job)
            top = snapshot_of(result) if result is not None else ""
            engine.bring_layers(top)
            image = _publish(engine, layers, converted, top, tags)
            _record(engine, job, started_at, recorder, image, tags)
    return BuildOutcome(image, tags)


def check_context(path: Path) -> None:
    """Raises ContextNotFound."""
    if not path.is_dir():
        raise ContextNotFound(
            f'the build context "{path}" is not a directory',
            hint="the last argument of `pybuild build` is the folder with the files to copy, often just .",
        )


def _publish(
    engine: Engine, layers: Layers, converted: FrontendResult, top: str, tags: Sequence[Reference]
) -> Digest:
    finished = finish_image(converted.image, engine.snapshots.chain(top), layers)
    image = engine.content.put(finished)
    with engine.database.transaction():
        engine.images.add(image, top, created_at=time.time())
        for tag in tags:
            engine.images.tag(tag, image)
    return image


def _record(
    engine: Engine, job: Job, started_at: float, recorder: Recorder, image: Digest, tags: Sequence[Reference]
) -> None:
    """What this build read and made; the oldest records go."""
    document = {"image": str(image), "tags": [str(tag) for tag in tags], "seen": recorder.seen()}
    with engine.database.transaction():
        engine.database.run(
            "INSERT INTO builds (id, started_at, record) VALUES (?, ?, ?)",
            (job.id, started_at, json.dumps(document).encode("utf-8", "surrogateescape")),
        )
        engine.database.run(
            "DELETE FROM builds WHERE id NOT IN (SELECT id FROM builds ORDER BY started_at DESC LIMIT ?)",
            (_KEPT_RECORDS,),
        )


def frontend_request(engine: Engine, request: BuildRequest, dockerfile: Dockerfile) -> FrontendRequest:
    """What the frontend is asked, for a build or a check."""
    host = Platform.host()
    return FrontendRequest(
        source=dockerfile.data,
        file=dockerfile.name,
        build_args=request.build_args,
        target=request.target,
        labels=request.labels,
        platform=request.platform or host,
        build_platform=host,
        network=request.network,
        ignores_cache=request.is_cache_ignored,
        uncached_stages=request.uncached_stages,
        settings=request.settings,
        parse_cache=StoredParses(engine.database, engine.warm_up),
        excluding=dockerfile.excluding,
    )


def _check_platforms(definition: Definition) -> None:
    """Every RUN must be executable here, before the first of them runs. Raises CannotEmulate."""
    host = Platform.host()
    for _, vertex in definition:
        platform = vertex.platform
        if isinstance(vertex.op, ExecOp) and platform is not None and not platform.matches(host):
            from builder.sandbox.emulation import CannotEmulate, can_execute

            if not can_execute(platform):
                raise CannotEmulate(platform).at(vertex.location)


def _chain_of(definition: Definition) -> set[Digest]:
    """The vertices whose results are layers of the target."""
    chain: set[Digest] = set()
    edge = definition.target
    while edge is not None:
        chain.add(edge.vertex)
        vertex = definition.vertices[edge.vertex]
        match vertex.op:
            case ExecOp():
                root = vertex.op.mounts[0].input
            case FileOp():
                root = vertex.op.base
            case MergeOp():
                root = 0
            case _:
                break
        edge = vertex.inputs[root] if root >= 0 else None
    return chain
