"""LocalExecutor: ProcessSpec and mounts → SandboxSpec, run on this machine."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from builder.core.digest import Digest
from builder.core.events import Warned
from builder.core.job import Job
from builder.core.limits import SHM_SIZE, Limits
from builder.core.mount import Mount
from builder.executor.interface import (
    ProcessIO,
    ProcessNotStarted,
    ProcessSpec,
    ProcessUsage,
    RunningProcess,
    UnknownUser,
)
from builder.sandbox import files
from builder.sandbox.launch import Launcher, SandboxFailed, SandboxProcess
from builder.sandbox.spec import SandboxSpec

if TYPE_CHECKING:  # loaded where something is limited
    from builder.sandbox.cgroup import Cgroups, Group

_FILE_OPTIONS = ("nosuid", "nodev", "noexec")
_RESOLV_CONF = "/etc/resolv.conf"
_SIGKILL = 9  # the signal module would be imported for this number alone


class LocalProcess:
    """A RunningProcess."""

    def __init__(
        self,
        process: SandboxProcess,
        forget: Callable[[], None],
        own_files: Sequence[str],
        group: Group | None = None,
    ) -> None:
        self._process = process
        self._forget = forget
        self._own_files = own_files
        self._group = group
        self._shortage: str | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def memory_shortage(self) -> str | None:
        return self._shortage

    @property
    def usage(self) -> ProcessUsage | None:
        found = self._process.usage
        return None if found is None else ProcessUsage(*found)

    @property
    def stubs(self) -> Sequence[tuple[bytes, int, int]]:
        return self._process.stubs

    def signal(self, number: int) -> None:
        self._process.signal(number)

    def wait(self) -> int:
        try:
            return self._process.wait()
        finally:
            self._forget()
            _remove(self._own_files)
            if self._group is not None:
                self._shortage = self._group.memory_shortage()
                self._group.remove()
                self._group = None


class LocalExecutor:
    """An Executor over a Launcher.

    ``files_directory`` takes the generated hosts, hostname and resolv.conf files: one for all processes that
    need the same text and cannot write it, one of its own, removed by ``wait``, for one that can.
    ``record_directory`` gets what the launcher is told about each process (``docs/hacking/replay.md``).
    ``cgroups`` makes control groups, the first time that a process is limited.
    """

    def __init__(
        self,
        launcher: Launcher,
        files_directory: str,
        *,
        record_directory: str | None = None,
        cgroups: Callable[[], Cgroups] | None = None,
    ) -> None:
        self._launcher = launcher
        self._cgroups = cgroups
        self._warned: set[str] = set()
        self._warning = threading.Lock()
        self._directory = os.path.abspath(files_directory)
        self._records = record_directory
        self._count = itertools.count(1)

    def run(self, process: ProcessSpec, mounts: Sequence[Mount], io: ProcessIO, job: Job) -> int:
        return self.start(process, mounts, io, job).wait()

    def start(self, process: ProcessSpec, mounts: Sequence[Mount], io: ProcessIO, job: Job) -> RunningProcess:
        job.cancel.check()
        own_files: list[str] = []
        group: Group | None = None
        is_started = False
        try:
            injected = self._files(process, {mount.target for mount in mounts}, own_files)
            group = self._group(process, job)
            spec = _sandbox(
                process, mounts, injected, group.directories if group else (), is_terminal=io.terminal
            )
            self._record(spec, job)
            sandbox = self._launcher.spawn(
                spec,
                stdin=io.stdin,
                stdout=io.stdout,
                stderr=io.stderr,
                secrets=process.secrets,
                secret_env=process.secret_env,
            )
            forget = job.cancel.on_cancel(lambda: sandbox.signal(_SIGKILL))
            try:
                sandbox.wait_started()
                is_started = True
            finally:
                if not is_started:
                    forget()
                    sandbox.signal(_SIGKILL)  # it is there only if the wait was interrupted
        except SandboxFailed as error:
            if error.reason == "user":
                raise UnknownUser(error.message, hint="add the user in an earlier step") from error
            hint = error.hint or _hint(error)
            raise ProcessNotStarted(error.message, exit_code=error.exit_code, hint=hint) from error
        finally:
            if not is_started:
                _remove(own_files)
                if group is not None:
                    group.remove()
        return LocalProcess(sandbox, forget, own_files, group)

    def _group(self, process: ProcessSpec, job: Job) -> Group | None:
        if self._cgroups is None or (process.limits == Limits() and not process.cgroup_parent):
            return None
        group = self._cgroups().make(process.limits, process.cgroup_parent)
        for option, reason in group.unenforced:
            with self._warning:
                is_new = option not in self._warned
                self._warned.add(option)
            if is_new:
                job.progress.emit(Warned(f"{option} is not enforced", reason, None))
        return group

    def _files(self, process: ProcessSpec, taken: set[str], own_files: list[str]) -> list[Mount]:
        texts = {
            _RESOLV_CONF: _host_resolv_conf(is_host_network=process.network == "host"),
            "/etc/hosts": files.hosts(process.hostname, process.extra_hosts),
        }
        if process.are_files_writable:
            texts["/etc/hostname"] = f"{process.hostname}\n"
        mounts = []
        for target, text in texts.items():
            if target in taken:
                continue
            if process.are_files_writable:
                path = os.path.join(self._directory, f"own-{os.getpid()}-{next(self._count)}")
                _write(path, text)
                own_files.append(path)
                mounts.append(Mount("bind", path, target, _FILE_OPTIONS))
            else:
                mounts.append(Mount("bind", self._shared(text), target, (*_FILE_OPTIONS, "ro")))
        return mounts

    def _shared(self, text: str) -> str:
        path = os.path.join(self._directory, Digest.of(_bytes(text)).hex)
        if not os.path.exists(path):
            # Never replaced once it is there: a step may be about to mount the very inode.
            scratch = f"{path}-{os.getpid()}-{next(self._count)}"
            _write(scratch, text)
            with contextlib.suppress(FileExistsError):
                os.link(scratch, path)
            os.unlink(scratch)
        return path

    def _record(self, spec: SandboxSpec, job: Job) -> None:
        if self._records is not None:
            os.makedirs(self._records, exist_ok=True)
            with open(os.path.join(self._records, f"{job.id}-{next(self._count)}.spec"), "wb") as file:
                file.write(spec.encode())


def _sandbox(
    process: ProcessSpec,
    mounts: Sequence[Mount],
    injected: list[Mount],
    cgroups: Sequence[str],
    *,
    is_terminal: bool,
) -> SandboxSpec:
    # A mount on /a would hide an earlier one on /a/b; among equals the given order stays.
    others = sorted((*injected, *mounts[1:]), key=lambda mount: len(_parts(mount.target)))
    return SandboxSpec(
        args=process.args,
        env=process.env,
        cwd=process.cwd,
        user=process.user,
        hostname=process.hostname,
        network=process.network,
        mounts=(*mounts[:1], *others),
        is_privileged=process.is_privileged,
        is_read_only=process.is_read_only,
        is_terminal=is_terminal,
        ulimits=process.ulimits,
        shm_size=process.shm_size or SHM_SIZE,
        cgroups=tuple(cgroups),
        security=process.confinement,
    )


def _hint(error: SandboxFailed) -> str | None:
    if error.errno == errno.EINVAL and "root file system" in error.stage:
        return (
            "the state directory must lie where overlayfs can write: not on another overlayfs, as in a"
            " container without a volume; name such a place with --root"
        )
    return None


def _parts(target: str) -> list[str]:
    return os.path.normpath(target).strip("/").split("/")


def _host_resolv_conf(*, is_host_network: bool) -> str:
    text = _read(_RESOLV_CONF)
    if not is_host_network and files.is_systemd_stub(text):
        text = _read(files.SYSTEMD_RESOLV_CONF)
    return files.resolv_conf(text, is_host_network=is_host_network)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        os.fchmod(file.fileno(), 0o644)  # whatever umask the caller has
        file.write(_bytes(text))


def _remove(paths: Sequence[str]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
