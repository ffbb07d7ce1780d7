"""`shell`: a process in the files of a step, before or after it, with its environment and its mounts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.job import Job
from builder.core.mount import Mount
from builder.engine.assemble import Engine
from builder.engine.build import BuildRequest
from builder.engine.history.record import BuildRecord, StepRecord
from builder.engine.history.results import with_results
from builder.engine.platforms import convert
from builder.engine.prepare import Prepared, prepare
from builder.engine.recorder import Recorder
from builder.engine.session import UsedSecrets, open_session
from builder.executor.interface import ProcessIO, ProcessSpec, RunningProcess
from builder.llb.definition import Definition, Vertex, merged
from builder.llb.ops import ExecOp, FileOp, MergeOp, SourceOp
from builder.ops.exec import failure_name, process_of_step
from builder.ops.mounts import MountServices, Step, prepare_mounts
from builder.ops.mounts import Prepared as StepMounts
from builder.ops.results import Result, SnapshotResult, snapshot_of
from builder.runtime.attach import run_attached

_HERE = ("docker-image://", "oci-layout://", "local://")


class StepChanged(PybuildError):
    """A build, asked for again, has not the step that it had."""

    kind = Kind.NOT_FOUND
    code = "step-changed"


class StepGone(PybuildError):
    """The files of a step are not in the store."""

    kind = Kind.NOT_FOUND
    code = "step-gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellOptions:
    """``command`` is for `sh -c`; "" is a shell for whoever is there."""

    is_before: bool = False
    command: str = ""
    is_terminal: bool = False


def open_shell(
    engine: Engine,
    record: BuildRecord,
    step: StepRecord,
    request: BuildRequest,
    options: ShellOptions,
    environ: Mapping[str, str],
) -> int:
    """The exit code. What it changes is thrown away, but for cache mounts.

    Raises StepChanged, StepGone, and what a step raises that cannot be started.
    """
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(open_session(request.secrets, request.ssh, UsedSecrets()))
        job = Job(os.urandom(8).hex(), session, engine.job.progress, engine.job.cancel)
        recorder = Recorder(environ)
        prepared = stack.enter_context(prepare(engine, request, recorder, job))
        if record.dockerfile:  # as it was then
            source = record.dockerfile.encode("utf-8", "surrogateescape")
            prepared = prepared._replace(question=replace(prepared.question, source=source))
        conversions = convert(prepared, request.platforms, job.progress)
        inside = _Inside(engine, with_results(engine, record), prepared, job)
        definition = merged(each.definition for each in conversions)
        digest, vertex = inside.find(definition, step)
        root, extra = inside.files(definition, digest, vertex, is_before=options.is_before)
        op = _process_of(definition, digest, vertex)
        mounts = StepMounts()
        if isinstance(vertex.op, ExecOp):
            read = [inside.result(definition, edge.vertex) for edge in vertex.inputs]
            named = Step(str(digest), vertex.name, False)
            services = MountServices(engine.snapshots, engine.caches)
            mounts = prepare_mounts(vertex.op, named, read, services, job, stack)
        engine.bring_layers(root)
        active = engine.snapshots.prepare(root)
        stack.callback(engine.snapshots.discard, active)
        (top,) = engine.snapshots.mounts(active)
        top = top._replace(options=(*(f"lowerdir+={path}" for path in extra), *top.options))
        return _attached(engine, process_of_step(op, mounts), [top, *mounts.mounts], job, options)


def _attached(
    engine: Engine, process: ProcessSpec, mounts: list[Mount], job: Job, options: ShellOptions
) -> int:
    terminal = ("TERM=xterm",) if options.is_terminal else ()
    command = ("-c", options.command) if options.command else ()
    process = replace(process, args=("/bin/sh", *command), env=(*terminal, *process.env))

    def start(io: ProcessIO) -> RunningProcess:
        return engine.executor().start(process, mounts, io, job)

    return run_attached(
        start, stdin=0, stdout=1, stderr=2, is_interactive=True, is_terminal=options.is_terminal
    )


def _process_of(definition: Definition, digest: Digest, vertex: Vertex) -> ExecOp:
    """The step itself; of one that runs nothing, the next RUN on top of it, or the last one below it."""
    if isinstance(vertex.op, ExecOp):
        return vertex.op
    on_top = {digest}
    for other, above in definition:  # inputs come first
        if _base(above) in on_top:
            if isinstance(above.op, ExecOp):
                return above.op
            on_top.add(other)
    below = _base(vertex)
    while below is not None:
        vertex = definition.vertices[below]
        if isinstance(vertex.op, ExecOp):
            return vertex.op
        below = _base(vertex)
    return ExecOp(args=())


def _base(vertex: Vertex) -> Digest | None:
    """The step whose files a step is put on."""
    match vertex.op:
        case ExecOp():
            number = vertex.op.mounts[0].input
        case FileOp():
            number = vertex.op.base
        case MergeOp():
            number = 0
        case SourceOp():
            number = -1
        case _:
            assert_never(vertex.op)
    return vertex.inputs[number].vertex if number >= 0 else None


class _Inside:
    """The steps of one build that was, and what they left."""

    def __init__(self, engine: Engine, record: BuildRecord, prepared: Prepared, job: Job) -> None:
        self._engine = engine
        self._record = record
        self._prepared = prepared
        self._job = job

    def find(self, definition: Definition, step: StepRecord) -> tuple[Digest, Vertex]:
        """By its digest; an option that is not recorded may have changed that, so also by its name."""
        for digest, vertex in definition:
            if str(digest) == step.digest:
                return digest, vertex
        for digest, vertex in definition:
            if vertex.name == step.name and vertex.location == step.location:
                return digest, vertex
        raise StepChanged(
            f'the build "{self._record.id}" would not have the step "{step.name}" now', hint="build again"
        )

    def files(
        self, definition: Definition, digest: Digest, vertex: Vertex, *, is_before: bool
    ) -> tuple[str, list[str]]:
        """A snapshot, and the directories that lie over it."""
        step = self._step(digest, vertex)
        if not is_before and step is not None and step.result:
            return self._here(step.result, vertex), []
        base = _base(vertex)
        below = snapshot_of(self.result(definition, base)) if base is not None else ""
        if is_before:
            return below, []
        failed = self._engine.state.failed / failure_name(
            self._record.id, step.digest if step else str(digest)
        )
        if not failed.is_dir():
            raise StepGone(
                f'of the step "{vertex.name}" nothing is left in the store',
                hint="build again, or give --before",
            )
        return below, [str(failed)]

    def result(self, definition: Definition, digest: Digest) -> Result:
        """What a step gave, or where a source is. Raises StepGone."""
        vertex = definition.vertices[digest]
        step = self._step(digest, vertex)
        if step is not None and step.result:
            return SnapshotResult(self._here(step.result, vertex))
        if isinstance(vertex.op, SourceOp) and vertex.op.identifier.startswith(_HERE):
            return self._prepared.resolver.resolve(digest, vertex).execute(self._job, ()).outputs[0]
        raise StepGone(f'the result of "{vertex.name}" is not in the store', hint="build again")

    def _here(self, snapshot: str, vertex: Vertex) -> str:
        if not self._engine.snapshots.is_intact(snapshot):
            raise StepGone(f'the result of "{vertex.name}" was pruned', hint="build again")
        return snapshot

    def _step(self, digest: Digest, vertex: Vertex) -> StepRecord | None:
        named = None
        for step in self._record.steps:
            if step.digest == str(digest):
                return step
            if vertex.name and step.name == vertex.name and step.location == vertex.location:
                named = step
        return named
