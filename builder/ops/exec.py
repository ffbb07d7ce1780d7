"""RUN: a process over the input's tree; what it leaves in the upper directory is the result."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.core.canonical import Plain, digest_of, plain
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.events import StepUsage, Warned
from builder.core.job import Job
from builder.core.mount import Mount
from builder.executor.interface import Executor, ProcessIO, ProcessSpec, RunningProcess
from builder.fs.tree import StackedTree
from builder.llb.definition import Vertex
from builder.llb.ops import CacheMount, ExecOp, InputMount
from builder.ops.certificates import bundle_environment, bundle_mounts
from builder.ops.mounts import MountServices, Prepared, Step, prepare_mounts, select_mounted
from builder.ops.pump import pump
from builder.ops.results import Result, SnapshotResult, snapshot_of
from builder.ops.selectors import mount_selector
from builder.ops.stubs import remove_stubs
from builder.ops.watchdog import Watchdog
from builder.solver.interface import CacheMap, Dep, Executed
from builder.store.interface import ActiveSnapshot, CacheMounts, Snapshotter

if TYPE_CHECKING:  # a step that is cached reads nothing
    from builder.fs.contenthash import ContentReader

# Docker makes these in the layer when the image lacks them; runc needs them to mount over.
_NEEDED_DIRECTORIES = ("dev", "proc", "sys")

_DEFAULT_HOSTNAME = "buildkitsandbox"


class StepFailed(PybuildError):
    """A step's process ended with a non-zero exit code."""

    kind = Kind.FAILED
    code = "step-failed"

    def __init__(
        self, args: Sequence[str], exit_code: int, step: str, memory_shortage: str | None = None
    ) -> None:
        super().__init__(
            f'process "{" ".join(args)}" did not complete successfully:'
            f" {'out of memory: ' if memory_shortage else ''}exit code: {exit_code}",
            hint=f"{memory_shortage}; allow more with --memory" if memory_shortage else _exit_hint(exit_code),
        )
        self.exit_code = exit_code
        self.step = step


def _exit_hint(exit_code: int) -> str | None:
    match exit_code:
        case 126:
            return "126: the command was found and cannot be executed; look at its mode and its first line"
        case 127:
            return "127: a command was not found; look at PATH and at what the image has installed"
        case 137:
            return "137: killed (SIGKILL); the machine may have run out of memory"
        case code if code > 128:
            return f"{code}: ended by signal {code - 128}"
    return None


class ExecOperation:
    """One ExecOp vertex."""

    def __init__(
        self,
        digest: Digest,
        vertex: Vertex,
        op: ExecOp,
        snapshots: Snapshotter,
        executor: Callable[[], Executor],
        caches: CacheMounts,
        *,
        ca_bundle: str = "",
    ) -> None:
        self._step = str(digest)
        self._vertex = vertex
        self._op = op
        self._snapshots = snapshots
        self._executor = executor
        self._services = MountServices(snapshots, caches)
        self._ca_bundle = ca_bundle
        self._readers: dict[int, ContentReader] = {}  # by input: what hashed it

    def cache_map(self, job: Job) -> CacheMap[Result]:
        """See Op."""
        keyed, platform = _keyed(self._op), str(self._vertex.platform or "")
        deps = tuple(self._dep(index) for index in range(len(self._vertex.inputs)))
        return CacheMap(
            digest_of(("exec", keyed, platform)), deps, plain=lambda: _plain(keyed, self._op, platform)
        )

    def execute(self, job: Job, inputs: Sequence[Result]) -> Executed[Result]:
        """See Op."""
        root = self._op.mounts[0]
        parent = snapshot_of(inputs[root.input]) if root.input >= 0 else ""
        active = self._snapshots.prepare(parent)
        try:
            self._make_needed_directories(active)
            self._run_step(active, inputs, job)
            return Executed((SnapshotResult(self._snapshots.commit(active, created_at=time.time()).name),))
        except BaseException:
            self._snapshots.discard(active)
            raise

    def _run_step(self, active: ActiveSnapshot, inputs: Sequence[Result], job: Job) -> None:
        step = Step(self._step, self._vertex.name, self._vertex.ignores_cache)
        with contextlib.ExitStack() as stack:
            prepared = prepare_mounts(self._op, step, inputs, self._services, job, stack)
            exit_code, running = self._run(self._snapshots.mounts(active), prepared, job)
        if running.usage is not None:
            job.progress.emit(StepUsage(self._step, *running.usage))
        self._check(exit_code, running.memory_shortage, active, job)
        remove_stubs(active.upper, running.stubs)

    def _check(self, exit_code: int, shortage: str | None, active: ActiveSnapshot, job: Job) -> None:
        if exit_code != 0:
            self._snapshots.keep_failed(active, failure_name(job.id, self._step))
            job.cancel.check()  # a killed step did not fail by itself
            raise StepFailed(self._op.args, exit_code, self._step, shortage)
        if shortage is not None:
            message = "a process of this step was killed for lack of memory, and the step went on"
            job.progress.emit(Warned(message, shortage, self._vertex.location))

    def _run(self, root: Sequence[Mount], prepared: Prepared, job: Job) -> tuple[int, RunningProcess]:
        """The exit code, and the process that is over."""
        process = process_of_step(self._op, prepared)
        process = replace(process, env=(*process.env, *bundle_environment(self._ca_bundle, process.env)))
        out, out_writer = os.pipe2(os.O_CLOEXEC)
        err, err_writer = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                running = self._executor().start(
                    process,
                    [*root, *prepared.mounts, *bundle_mounts(self._ca_bundle)],
                    ProcessIO(stdout=out_writer, stderr=err_writer),
                    job,
                )
            finally:
                os.close(out_writer)
                os.close(err_writer)
            with Watchdog(self._op.times, lambda: running.signal(signal.SIGKILL)) as watchdog:
                # A pipe may outlive its process, in one that has left it.
                pump(
                    self._step,
                    out,
                    err,
                    job.progress,
                    lambda: job.cancel.is_cancelled or watchdog.error is not None,
                    watchdog.heard,
                )
                exit_code = running.wait()
            if watchdog.error is not None:
                job.cancel.check()
                raise watchdog.error
            return exit_code, running
        finally:
            os.close(out)
            os.close(err)

    def _dep(self, index: int) -> Dep[Result]:
        mounts = (*self._op.mounts, *self._op.other_mounts)
        for mount in mounts:
            if isinstance(mount, InputMount) and mount.input == index and not mount.is_content_keyed:
                return Dep()
        for mount in mounts:
            if isinstance(mount, InputMount | CacheMount) and mount.input == index:
                content = self._content_function(index, mount)
                return Dep(content, mount_selector(mount), lambda: self._listing(index))
        return Dep()

    def _listing(self, index: int) -> bytes | None:
        reader = self._readers.get(index)
        return reader.listing(0) if reader is not None else None

    def _content_function(self, index: int, mount: InputMount | CacheMount) -> Callable[[Result], Digest]:
        def content(result: Result) -> Digest:
            from builder.fs.contenthash import ContentReader

            tree = StackedTree(self._snapshots.lowers(snapshot_of(result)))
            match = select_mounted(tree, mount.selector)
            reader = self._readers[index] = ContentReader(tree, keeps_owner=True)
            return reader.digest([match])

        return content

    def _make_needed_directories(self, active: ActiveSnapshot) -> None:
        lowers = self._snapshots.lowers(active.parent)
        # Images have them in their base: look there first, it is one stat each for any depth.
        missing = [n for n in _NEEDED_DIRECTORIES if not (lowers and os.path.lexists(f"{lowers[-1]}/{n}"))]
        tree = StackedTree(lowers)
        for name in missing:
            if tree.lookup(name) is None:
                os.mkdir(active.upper / name, 0o755)
                os.chmod(active.upper / name, 0o755)


def _plain(keyed: ExecOp, op: ExecOp, platform: str) -> Plain:
    """Values of variables with a secret's name are digests; ``arguments`` are those that are no ENV."""
    from builder.core.secretnames import looks_secret

    shown = plain(replace(keyed, env=()))
    assert isinstance(shown, dict), "an operation has fields"
    variables: list[Plain] = []
    for entry in op.env:
        name, _, value = entry.partition("=")
        is_secret = looks_secret(name)
        variables.append(
            [
                name,
                {"hidden": Digest.of(value.encode("utf-8", "surrogateescape")).short} if is_secret else value,
            ]
        )
    return {**shown, "env": variables, "arguments": list(op.argument_names), "platform": platform}


def process_of_step(op: ExecOp, prepared: Prepared) -> ProcessSpec:
    """What an operation runs, with its mounts made ready."""
    return ProcessSpec(
        args=op.args,
        env=(*op.env, *op.unkeyed_env),
        cwd=op.cwd,
        user=op.user,
        hostname=op.hostname or _DEFAULT_HOSTNAME,
        # The default network is the host's until bridges come (docs/differences.md).
        network="none" if op.network == "none" else "host",
        is_privileged=op.security == "insecure",
        extra_hosts=tuple(
            f"{address}\t{name}" for name, address in zip(op.host_names, op.host_addresses, strict=True)
        ),
        ulimits=op.ulimits,
        shm_size=op.shm_size,
        limits=op.limits,
        cgroup_parent=op.cgroup_parent,
        confinement=op.confinement,
        secrets=prepared.secrets,
        secret_env=prepared.secret_env,
    )


def failure_name(build: str, step: str) -> str:
    """Under which name the files of a failed step are kept."""
    return f"{build}-{step.rpartition(':')[2][:16]}"


def _keyed(op: ExecOp) -> ExecOp:
    """The operation as it counts in the key: where a mount's content lies in its input is not part of it."""
    if len(op.mounts) == 1 and not op.other_mounts:
        return op
    return replace(
        op,
        mounts=tuple(replace(m, selector="") if m.is_content_keyed else m for m in op.mounts),
        other_mounts=tuple(
            replace(m, selector="") if isinstance(m, CacheMount) else m for m in op.other_mounts
        ),
    )
