"""What runs a process over prepared mounts, and the values that describe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from builder.core.errors import Kind, PybuildError
from builder.core.job import Job
from builder.core.limits import Limits, Ulimit
from builder.core.mount import Mount
from builder.core.security import Security


class ProcessNotStarted(PybuildError):
    """The sandbox or the program could not be started.

    ``exit_code`` is what ``docker run`` answers: 125 the sandbox failed, 126 the program cannot be executed,
    127 there is no such program.
    """

    kind = Kind.FAILED
    code = "process-not-started"

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class UnknownUser(PybuildError):
    """A user or group name that the image's passwd or group file does not have."""

    kind = Kind.NOT_FOUND
    code = "unknown-user"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """What runs in the sandbox; every path is inside the new root."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()  # "NAME=value"; HOME is added from the image's passwd when absent
    cwd: str = "/"  # made (0755, owned by root) when missing
    user: str = ""  # "user[:group]" as in USER, names looked up in the new root; "" is root
    hostname: str = "buildkitsandbox"
    network: str = "host"  # "host", or "none": a namespace of its own with only lo
    is_privileged: bool = False  # RUN --security=insecure
    is_read_only: bool = False
    extra_hosts: tuple[str, ...] = ()  # "address<TAB>name" lines for /etc/hosts
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = 0  # of /dev/shm in bytes; 0: as usual
    limits: Limits = Limits()
    cgroup_parent: str = ""  # where its control group is made; "": beside the caller's own
    confinement: Security = Security()
    # What mounts of type "secret" show, by the number that is their source; and "NAME=value" for the
    # environment. Neither is printed, recorded or kept.
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    secret_env: tuple[str, ...] = field(default=(), repr=False)
    are_files_writable: bool = False  # resolv.conf, hosts, hostname: bound read-write, as for `docker run`


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIO:
    """Descriptors for the process, owned by the caller; -1 for stdin means /dev/null.

    With ``terminal`` all three are the same pty slave, which becomes the controlling terminal.
    """

    stdin: int = -1
    stdout: int
    stderr: int
    terminal: bool = False


class ProcessUsage(NamedTuple):
    """What a process took, and those that it waited for."""

    cpu_s: float
    peak_memory: int  # bytes of the largest of them; never less than what a sandbox itself needs to start


class RunningProcess(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Its pid in the caller's pid namespace."""

    @property
    def stubs(self) -> Sequence[tuple[bytes, int, int]]:
        """Mount points that were made in the root, with the parent's mtime before and after that (ns)."""

    def signal(self, number: int) -> None:
        """Send a signal to the main process; nothing happens when it is gone."""

    @property
    def memory_shortage(self) -> str | None:
        """Once ``wait`` returned: the memory limit for which the kernel killed something of it, in words."""

    @property
    def usage(self) -> ProcessUsage | None:
        """Once ``wait`` returned; None is not known."""

    def wait(self) -> int:
        """Exit code, 128+N if killed by signal N; the whole tree is gone when this returns."""


class Executor(Protocol):
    """Starts processes over a root file system."""

    def start(self, process: ProcessSpec, mounts: Sequence[Mount], io: ProcessIO, job: Job) -> RunningProcess:
        """The first mount has target "/" and is the root; raises ProcessNotStarted, UnknownUser.

        Cancelling the job kills the whole tree.
        """

    def run(self, process: ProcessSpec, mounts: Sequence[Mount], io: ProcessIO, job: Job) -> int:
        """``start`` and ``wait``; a non-zero exit code is a value, not an exception."""
