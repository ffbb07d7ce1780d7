"""What ``RUN --mount`` asks for, made ready for one process and put away after it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, assert_never

from builder.core.canonical import digest_of
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.events import StepLog
from builder.core.job import Job
from builder.core.mount import Mount
from builder.fs.select import Match, select
from builder.fs.tree import Entry, StackedTree, resolve
from builder.llb.ops import CacheMount, ExecOp, InputMount, SecretMount, SshMount, TmpfsMount
from builder.ops.results import Result, snapshot_of
from builder.store.interface import ActiveSnapshot, CacheMountRequest, CacheMounts, Snapshotter

_LARGEST_SECRET = 500 << 10  # BuildKit's
_STRICTNESS = ("shared", "private", "locked")


class SecretMissing(PybuildError):
    """A step requires a secret that the build was not given."""

    kind = Kind.NOT_FOUND
    code = "secret-missing"


class UnusableSecret(PybuildError):
    """A secret that cannot be what a step asks for."""

    kind = Kind.INVALID
    code = "unusable-secret"


class AgentMissing(PybuildError):
    """A step requires an SSH agent that the build was not given."""

    kind = Kind.NOT_FOUND
    code = "agent-missing"


class UnusableMountSource(PybuildError):
    """What a mount names is there, and cannot be mounted like that."""

    kind = Kind.INVALID
    code = "unusable-mount-source"


class MountServices(NamedTuple):
    """What mounts are made with."""

    snapshots: Snapshotter
    caches: CacheMounts


class Prepared(NamedTuple):
    """Mounts but the root, and what ProcessSpec wants to know beside them."""

    mounts: tuple[Mount, ...] = ()
    secrets: tuple[bytes, ...] = ()
    secret_env: tuple[str, ...] = ()


class Step(NamedTuple):
    """The step that mounts are for."""

    digest: str
    name: str
    ignores_cache: bool


def select_mounted(tree: StackedTree, selector: str) -> Match:
    """What a mount shows of its input, links followed inside of that. Raises CopySourceMissing."""
    matches = select(
        tree,
        selector,
        allows_wildcards=False,
        place="the stage or image that it is from",
        what="mount source",
    )
    return matches[0]


def prepare_mounts(
    op: ExecOp,
    step: Step,
    inputs: Sequence[Result],
    services: MountServices,
    job: Job,
    stack: contextlib.ExitStack,
) -> Prepared:
    """``stack`` puts everything away again.

    Raises SecretMissing, UnusableSecret, AgentMissing, UnusableMountSource, CopySourceMissing, Cancelled.
    """
    maker = _Maker(op, step, inputs, services, job, stack)
    mounts = [maker.tree(mount) for mount in op.mounts[1:]]
    caches = [mount for mount in op.other_mounts if isinstance(mount, CacheMount)]
    maker.take_caches(caches)
    for mount in op.other_mounts:
        match mount:
            case CacheMount():
                mounts.append(maker.cache(mount))
            case TmpfsMount():
                size = (f"size={mount.size}",) if mount.size else ()
                read_only = ("ro",) if mount.is_read_only else ()
                mounts.append(Mount("tmpfs", "tmpfs", mount.target, ("nosuid", *read_only, *size)))
            case SecretMount():
                mounts += maker.secret(mount)
            case SshMount():
                mounts += maker.agent(mount)
            case _:
                assert_never(mount)
    return Prepared(tuple(mounts), tuple(maker.secrets), tuple(maker.secret_env))


def cache_identity(mount: CacheMount, base: str = "") -> Digest:
    """What tells a cache mount from all others; ``base`` is what it is filled from."""
    return digest_of(("cache-mount", mount.id, base, mount.mode, mount.uid, mount.gid))


class _Maker:
    def __init__(
        self,
        op: ExecOp,
        step: Step,
        inputs: Sequence[Result],
        services: MountServices,
        job: Job,
        stack: contextlib.ExitStack,
    ) -> None:
        self._op = op
        self._step = step
        self._inputs = inputs
        self._snapshots, self._caches = services
        self._job = job
        self._stack = stack
        self._taken: dict[str, Path] = {}
        self.secrets: list[bytes] = []
        self.secret_env: list[str] = []

    def _scratch(self) -> ActiveSnapshot:
        active = self._snapshots.prepare("")
        self._stack.callback(self._snapshots.discard, active)
        return active

    # -- trees of inputs ------------------------------------------------------------------------------------

    def _input(self, number: int) -> StackedTree:
        lowers = self._snapshots.lowers(snapshot_of(self._inputs[number]))
        return StackedTree(lowers or [str(self._scratch().upper)])

    def tree(self, mount: InputMount) -> Mount:
        tree = self._input(mount.input)
        entry = select_mounted(tree, mount.selector).entry
        if entry.kind != "dir":
            return self._file(mount, entry)
        directories = [f"lowerdir+={path}" for path in tree.directories(entry.path)]
        if not mount.is_read_only:
            # What the process writes goes here, and away with it; the tree itself is only read.
            active = self._scratch()
            _take_attributes(str(active.upper), entry)
            directories += [f"upperdir={active.upper}", f"workdir={active.work}"]
        elif len(directories) == 1:
            return Mount("bind", directories[0].partition("=")[2], mount.target, ("ro",))
        return Mount("overlay", "overlay", mount.target, tuple(directories))

    def _file(self, mount: InputMount, entry: Entry) -> Mount:
        if mount.is_read_only:
            return Mount("bind", entry.real, mount.target, ("ro",))
        if entry.kind != "file":
            raise UnusableMountSource(
                f'"{mount.selector}" is neither a file nor a directory, and cannot be mounted for writing',
                hint="leave rw out",
            )
        from builder.fs.clone import copy_bytes

        path = self._scratch().upper / "file"
        source = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with path.open("xb") as target:
                copy_bytes(source, target.fileno(), os.fstat(source))
        finally:
            os.close(source)
        _take_attributes(str(path), entry)
        return Mount("bind", str(path), mount.target)

    # -- caches ---------------------------------------------------------------------------------------------

    def take_caches(self, mounts: Sequence[CacheMount]) -> None:
        """All of a step in one order, so that no two steps wait for each other."""
        wanted: dict[str, tuple[CacheMountRequest, CacheMount]] = {}
        for mount in mounts:
            request = self._request(mount)
            key = request.identity.hex
            known = wanted.get(key)
            if known is not None:
                sharing = max(known[0].sharing, mount.sharing, key=_STRICTNESS.index)
                request = request._replace(sharing=sharing)
            wanted[key] = (request, mount)
        for key in sorted(wanted):
            self._taken[key] = self._take(*wanted[key])

    def _take(self, request: CacheMountRequest, mount: CacheMount) -> Path:
        return self._stack.enter_context(
            self._caches.use(
                request,
                f"pid {os.getpid()}, {self._step.name}",
                self._job.cancel,
                fill=lambda path: self._fill(path, mount),
                waits=lambda holder: self._waits(mount, holder),
            )
        )

    def cache(self, mount: CacheMount) -> Mount:
        path = self._taken[self._request(mount).identity.hex]
        options = ("ro",) if mount.is_read_only else ()
        if mount.selector and mount.input < 0:
            options = (*options, f"subpath={mount.selector.lstrip('/')}")
        return Mount("bind", str(path), mount.target, options)

    def _request(self, mount: CacheMount) -> CacheMountRequest:
        base = ""
        has_permissions = (mount.mode, mount.uid, mount.gid) != (None, None, None)
        if mount.input >= 0:
            base = f"{snapshot_of(self._inputs[mount.input])}:{mount.selector}"
        identity = cache_identity(mount, base)
        return CacheMountRequest(
            identity,
            mount.id,
            mount.sharing,
            mount.mode,
            mount.uid,
            mount.gid,
            is_new=self._step.ignores_cache and has_permissions,
        )

    def _fill(self, path: Path, mount: CacheMount) -> None:
        if mount.input < 0:
            if (mount.mode, mount.uid, mount.gid) == (None, None, None):
                self._inherit(path, mount)
            return
        from builder.fs.copy import copy
        from builder.fs.editor import TreeEditor

        tree = self._input(mount.input)
        match = select_mounted(tree, mount.selector)
        if match.entry.kind != "dir":
            raise UnusableMountSource(
                f'the source "{mount.selector}" of a cache mount is not a directory',
                hint="name the directory that it is in",
            )
        copy(TreeEditor(str(path)), tree, [match], "/", keeps_owner=True)
        _take_attributes(str(path), match.entry)

    def _inherit(self, path: Path, mount: CacheMount) -> None:
        """A new cache is its user's, or has owner and mode of the directory that it lies over."""
        from builder.ops.owner import user_of

        number = self._op.mounts[0].input
        if number < 0:
            return
        tree = self._input(number)
        below = tree.lookup(resolve(tree, mount.target))
        if below is not None and below.kind == "dir":
            os.chown(path, below.uid, below.gid)
            os.chmod(path, below.mode)
        elif owner := user_of(tree, self._op.user):  # else the step says so when it starts
            os.chown(path, *owner)

    def _waits(self, mount: CacheMount, holder: str) -> None:
        by = f" by {holder}" if holder else ""
        text = f'waiting for the cache mount "{mount.id.lstrip("/")}", which is in use{by}\n'
        self._job.progress.emit(StepLog(self._step.digest, 2, os.fsencode(text), time.time()))

    # -- things of the client -------------------------------------------------------------------------------

    def secret(self, mount: SecretMount) -> list[Mount]:
        data = self._secret(mount)
        if mount.variable:
            if data is not None and b"\0" in data:
                raise UnusableSecret(
                    f'the secret "{mount.id}" holds a NUL character and cannot be a variable',
                    hint="use it as a file: leave env out",
                )
            value = (data or b"").decode("utf-8", "surrogateescape")
            self.secret_env.append(f"{mount.variable}={value}")
        if data is None or not mount.target:
            return []
        self.secrets.append(data)
        flags = ("ro", "nosuid", "nodev", *(() if mount.mode & 0o111 else ("noexec",)))
        owner = (f"mode={mount.mode:o}", f"uid={mount.uid}", f"gid={mount.gid}")
        return [Mount("secret", str(len(self.secrets) - 1), mount.target, (*flags, *owner))]

    def _secret(self, mount: SecretMount) -> bytes | None:
        known = self._job.session.secrets
        data = known[mount.id]() if mount.id in known else None
        if data is None and mount.is_required:
            given = ", ".join(sorted(known))
            raise SecretMissing(
                f'the secret "{mount.id}" is required and was not given',
                hint=f"give it with --secret id={mount.id},src=FILE" + (f"; given: {given}" if given else ""),
            )
        if data is not None and len(data) > _LARGEST_SECRET:
            raise UnusableSecret(
                f'the secret "{mount.id}" is larger than {_LARGEST_SECRET} bytes',
                hint="bring large files in by a bind mount",
            )
        return data

    def agent(self, mount: SshMount) -> list[Mount]:
        agent = self._job.session.ssh.get(mount.id)
        if agent is None:
            if mount.is_required:
                raise AgentMissing(
                    f'the SSH agent "{mount.id}" is required and was not given',
                    hint=f"give it with --ssh {mount.id}, or --ssh {mount.id}=SOCKET_OR_KEY",
                )
            return []
        from builder.ops.ssh import forwarded

        # Now, while somebody is told why it is not; a step only sees its connection end.
        agent.connect().close()
        directory = self._scratch().upper
        serving = forwarded(agent, directory, mode=mount.mode, uid=mount.uid, gid=mount.gid)
        path = self._stack.enter_context(serving)
        return [Mount("bind", str(path), mount.target, ("nosuid", "nodev", "noexec"))]


def _take_attributes(path: str, entry: Entry) -> None:
    os.chown(path, entry.uid, entry.gid)
    os.chmod(path, entry.mode)
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
