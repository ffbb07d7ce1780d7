"""`build`: from a Dockerfile and its context to a tagged image."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder import __version__
from builder.attest.options import Attestations
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.events import Progress
from builder.core.job import Job
from builder.core.limits import StepSettings
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.engine.assemble import Engine
from builder.engine.deadline import deadline
from builder.engine.export import Exported, Exporter
from builder.engine.history.collect import recorded
from builder.engine.history.shelf import BuildShelf
from builder.engine.logs import LoggingProgress
from builder.engine.outputs import Outputs
from builder.engine.platforms import Built, check_executable, convert, main_image
from builder.engine.prepare import prepare
from builder.engine.project import ContextModes
from builder.engine.reasons import Reasons
from builder.engine.recorder import Recorder
from builder.engine.session import SecretSource, SshSource, UsedSecrets, open_session
from builder.engine.sharing.lineage import chain_of
from builder.engine.sharing.options import SharingOptions
from builder.engine.sharing.session import Saved, Sharing, Written
from builder.exporter.image import finish_image
from builder.exporter.layers import Layers
from builder.exporter.prepack import Prepacker
from builder.frontend.interface import FrontendResult
from builder.llb.definition import merged
from builder.ops.results import Result, SnapshotResult, SnapshotResults, snapshot_of
from builder.solver.solver import Solver
from builder.source.interface import PullPolicy

# "Unlimited" as in BuildKit, short of what threads and pipes cost: a step mostly waits for its process.
DEFAULT_PARALLELISM = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What `pybuild build` was asked for."""

    context: str  # a folder, "-", or an address
    file: str | None = None  # "-" is standard input
    named_contexts: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    pull: PullPolicy = "missing"
    network: str | None = None
    platforms: tuple[Platform, ...] = ()  # several make an index; none: the host's
    is_cache_ignored: bool = False
    uncached_stages: frozenset[str] = frozenset()
    context_modes: ContextModes | None = None
    settings: StepSettings = StepSettings()
    secrets: Sequence[SecretSource] = ()
    ssh: Sequence[SshSource] = ()
    parallelism: int = DEFAULT_PARALLELISM
    time_limit: int = 0  # nanoseconds; 0: any time
    is_locked: bool = False  # every name must be in the lock file
    rewrites_timestamps: bool = False  # no file time of a new layer after SOURCE_DATE_EPOCH
    outputs: Outputs = Outputs()
    attestations: Attestations = Attestations()
    described_provenance: str = ""  # min, max: the provenance is part of the outcome
    sharing: SharingOptions = SharingOptions()


class NoEpoch(PybuildError):
    """Timestamps are to be rewritten, and to no time."""

    kind = Kind.INVALID
    code = "no-epoch"

    def __init__(self) -> None:
        super().__init__(
            "timestamps cannot be rewritten without SOURCE_DATE_EPOCH",
            hint="set it in the environment, with --build-arg, or by an ARG above the first FROM",
        )


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """The image that a build made; of several the one that commands use here."""

    image: Digest
    tags: tuple[Reference, ...]
    exported: Exported
    id: str  # of the build
    provenances: Mapping[str, Any]  # for the document of `--metadata-file`
    saved: Saved | None = None
    written: Sequence[Written] = ()  # caches


@dataclass(slots=True)
class BuildSource:
    """The Dockerfile, as far as it was read: errors quote it. Filled in by ``build``."""

    name: str = "Dockerfile"
    data: bytes | None = None
    build: str = ""  # the id under which the build is recorded, once it began


def build(
    engine: Engine, request: BuildRequest, recorder: Recorder, source: BuildSource, progress: Progress
) -> BuildOutcome:
    """Build, tag, record. ``engine.job`` must send its events to ``progress``."""
    tags = tuple(Reference.parse(tag).with_default_tag() for tag in request.tags)
    wanted = request.attestations
    request.outputs.check(tags, index_of=_index_of(request), is_attested=bool(wanted))
    request.sharing.check(request.outputs)
    started_at = time.time()
    build_id, shelf = os.urandom(8).hex(), BuildShelf(engine.database, engine.state)
    recorder.note("version", "pybuild", __version__)
    with contextlib.ExitStack() as stack:
        logged = stack.enter_context(LoggingProgress(progress, shelf.logs(build_id)))
        source.build = build_id
        record = stack.enter_context(recorded(shelf, build_id, request, recorder, source, logged))
        stack.enter_context(deadline(request.time_limit, engine.job.cancel))
        used = UsedSecrets()
        session = stack.enter_context(open_session(request.secrets, request.ssh, used))
        job = Job(build_id, session, record, engine.job.cancel)
        sharing = Sharing(engine, request.sharing, job)
        sharing.read(request.platforms)
        prepared = stack.enter_context(prepare(engine, request, recorder, job, caches=sharing.caches))
        source.name, source.data = prepared.dockerfile.name, prepared.dockerfile.data
        conversions = convert(prepared, request.platforms, job.progress)
        definition = merged(each.definition for each in conversions)
        check_executable(definition)
        clamps = [_clamping(engine, request, each) for each in conversions]
        layers = Layers(engine.snapshots, engine.content)
        final = [chain_of(each.definition) for each in conversions]
        sharing.begin(definition, conversions, prepared.bridge.image)

        def on_result(digest: Digest, results: Sequence[Result]) -> None:
            if not isinstance(results[0], SnapshotResult):
                return
            record.note_result(str(digest), results[0].name)
            # The layers of the images are hashed beside the steps that come after them.
            for chain, clamped in zip(final, clamps, strict=True):
                if digest in chain:
                    layers.prefetch(clamped(results[0].name))
                    ahead.add(clamped(results[0].name))

        ahead = Prepacker(lambda: engine.packer(layers), engine.snapshots, request.outputs.packed_ahead())
        with layers, ahead:
            solver = Solver[Result](
                prepared.resolver,
                sharing.cache,
                SnapshotResults(engine.snapshots),
                parallelism=request.parallelism,
                on_result=on_result,
                turns=engine.turns,
                on_miss=Reasons(engine, request, definition, sharing).why,
                on_key=sharing.note_key,
            )
            results = solver.solve_all(definition, [each.definition.target for each in conversions], job)
            if used.values:
                from builder.engine.leaks import refuse_leaks

                refuse_leaks(engine, used, record.steps(), shelf.logs(build_id))
            built = []
            for converted, result, clamped in zip(conversions, results, clamps, strict=True):
                top = snapshot_of(result) if result is not None else ""
                if not request.outputs.leaves_layers:
                    engine.bring_layers(top)
                built.append(_finished(sharing, layers, converted, clamped(top)))
            main = main_image(built)
            _publish(engine, built, request.outputs, tags)
            record.note_image(str(main.image), tags)
            made = dict(zip(built, conversions, strict=True))
            attester: Attester | None = None
            if wanted or request.described_provenance:
                from builder.engine.attestations import Attester

                attester = Attester(engine, job, request, prepared, recorder, made, started_at=started_at)
            ahead.finish()
            exporter = Exporter(engine, job, layers, tags, attester if wanted else None)
            exported = exporter.export(built, request.outputs)
            provenances = attester.described(request.described_provenance) if attester else {}
            saved, pushed = sharing.saved(), request.outputs.pushed(tags)
            sharing.hand_over([each.top for each in built], pushed)
            written = sharing.export(layers, main.platform, pushed, record.steps())
    return BuildOutcome(main.image, tags, exported, build_id, provenances, saved, written)


def _index_of(request: BuildRequest) -> str:
    """What cannot leave as one image."""
    if len(request.platforms) > 1:
        return "several platforms"
    return "attestations" if request.attestations.needs_index else ""


def _clamping(engine: Engine, request: BuildRequest, converted: FrontendResult) -> Callable[[str], str]:
    """What a snapshot of the build becomes in its image. Raises NoEpoch."""
    if not request.rewrites_timestamps:
        return lambda name: name
    if converted.epoch_s is None:
        raise NoEpoch
    from builder.exporter.clamped import ClampedChain

    return ClampedChain(engine.snapshots, len(converted.image.diff_ids), converted.epoch_s).name


def _finished(sharing: Sharing, layers: Layers, converted: FrontendResult, top: str) -> Built:
    engine = sharing.engine
    chain = engine.snapshots.chain(top)
    data = finish_image(converted.image, chain, layers, epoch_s=converted.epoch_s)
    data = sharing.inlined(data, converted, chain)
    return Built(engine.content.put(data), top, converted.image.platform)


def _publish(engine: Engine, built: Sequence[Built], outputs: Outputs, tags: Sequence[Reference]) -> None:
    if not outputs.keeps_image:
        return
    named = (*tags, *(name for item in outputs.items if item.keeps_image for name in item.names))
    parts = [each.image for each in built] if len(built) > 1 else []
    with engine.database.transaction():
        for each in built:
            engine.images.add(each.image, each.top, created_at=time.time())
            engine.images.attest(each.image, None)
        for tag in named:
            engine.images.tag(tag, main_image(built).image, parts)
