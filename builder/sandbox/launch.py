"""The caller's side of the launcher: starts it, asks it for sandboxes, hears what becomes of them."""

from __future__ import annotations

import _socket
import contextlib
import marshal
import os
import sys
import threading
from types import TracebackType
from typing import Self

from builder.core.errors import Kind, PybuildError
from builder.sandbox import capabilities, syscalls
from builder.sandbox.spec import SandboxSpec

_PACKET_LIMIT = 60_000  # what surely fits the socket's buffer; a larger spec goes through a memfd
_REPLY_LIMIT = 1 << 17
_FIRST_FREE = 10  # descriptors of ours stay clear of 0-2, which may be closed, and of the launcher's 3
_LAUNCHER_SOCKET = 3


class SandboxUnavailable(PybuildError):
    """Sandboxes cannot be made on this machine, or by this user."""

    kind = Kind.DENIED
    code = "sandbox-unavailable"


class LauncherLost(PybuildError):
    """The launcher ended while it was needed; everything that it had started is gone as well."""

    kind = Kind.UNAVAILABLE
    code = "launcher-lost"

    def __init__(self) -> None:
        super().__init__(
            "the process that starts sandboxes has ended",
            hint="was it killed, by a person or for lack of memory?",
        )


class SandboxFailed(PybuildError):
    """A process was not started.

    ``reason`` is ``setup``, ``user`` (no such user or group) or ``exec`` (the program); ``stage`` is what was
    being done, ``errno`` the kernel's answer or 0, ``exit_code`` what ``docker run`` would answer.
    """

    kind = Kind.FAILED
    code = "sandbox-failed"

    def __init__(
        self, reason: str, stage: str, errno: int, message: str, hint: str | None, exit_code: int
    ) -> None:
        super().__init__(f"cannot {stage}: {message}" if reason == "setup" else message, hint=hint)
        self.reason = reason
        self.stage = stage
        self.errno = errno
        self.exit_code = exit_code


class SandboxProcess:
    """One process that was asked for; thread-safe."""

    def __init__(self, launcher: Launcher, identifier: int) -> None:
        self._launcher = launcher
        self._id = identifier
        self._started = threading.Event()
        self._ended = threading.Event()
        self._error: tuple[str, str, int, str, str, int] | None = None
        self._is_lost = False
        self._status = 0
        self.usage: tuple[float, int] | None = None
        """Once it is over: CPU seconds, and bytes of memory of the largest process in it."""
        self.pid = 0
        """In the caller's pid namespace; 0 until it started."""
        self.stubs: tuple[tuple[bytes, int, int], ...] = ()
        """Mount points made in the root, with the parent's mtime before and after that (ns)."""

    def wait_started(self) -> None:
        """Until the program runs. Raises SandboxFailed, LauncherLost."""
        self._started.wait()
        if self._error is not None:
            reason, stage, errno, message, hint, exit_code = self._error
            raise SandboxFailed(reason, stage, errno, message, hint or None, exit_code)
        if self._is_lost and not self.pid:
            raise LauncherLost

    def wait(self) -> int:
        """The exit code, 128+N for signal N; the whole tree is gone then. Raises LauncherLost."""
        self._ended.wait()
        if self._is_lost:
            raise LauncherLost
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """To the main process. As pid 1 it gets KILL, STOP and what it has a handler for, no other."""
        self._launcher.send(("signal", self._id, int(number)))

    def tell(self, kind: str, value: tuple[object, ...]) -> None:
        """For the launcher's reader: a reply has come."""
        match kind, value:
            case "started", (int(pid), list(stubs)):
                self.pid, self.stubs = pid, tuple(stubs)
            case "failed", (tuple(error),):
                self._error = error
            case "exited", (int(status), float(cpu_s), int(peak)):
                self._status, self.usage = status, (cpu_s, peak * 1024)
            case _:
                self._is_lost = True
        self._started.set()
        if kind != "started":
            self._ended.set()


class Launcher:
    """Starts the launcher program when it is first needed; close it, or the end of this process does.

    Thread-safe. Everything started through it is killed when it closes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: _socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._processes: dict[int, SandboxProcess] = {}
        self._last_id = 0
        self._device_group = ""
        self.pid = 0
        """Of the launcher program; 0 while it does not run."""

    def start(self) -> None:
        """Start the program if it does not run, without waiting for it. Raises SandboxUnavailable."""
        with self._lock:
            if self._socket is not None:
                return
            _check_privileges()
            ours, theirs = _socket_pair()
            try:
                self.pid = _spawn_program(theirs.fileno())
            except OSError as error:
                ours.close()
                raise SandboxUnavailable(
                    f"cannot start the launcher of sandboxes: {error.strerror}",
                    hint=f"pybuild needs Linux 5.12 or newer with /proc; this is {os.uname().release}",
                ) from error
            finally:
                theirs.close()
            self._socket = ours
            self._reader = threading.Thread(target=self._read, args=(ours,), name="sandboxes", daemon=True)
            self._reader.start()

    def spawn(
        self,
        spec: SandboxSpec,
        *,
        stdout: int,
        stderr: int,
        stdin: int = -1,
        secrets: tuple[bytes, ...] = (),
        secret_env: tuple[str, ...] = (),
    ) -> SandboxProcess:
        """Ask for a process; returns at once, see ``SandboxProcess.wait_started``.

        The descriptors stay the caller's and may be closed on return. Raises InvalidSandbox,
        SandboxUnavailable, LauncherLost.
        """
        fds = [fd for fd in (stdin, stdout, stderr) if fd >= 0]
        payload = spec.encode(has_stdin=stdin >= 0, secrets=secrets, secret_env=secret_env)
        self.start()
        with self._lock:
            self._last_id += 1
            identifier = self._last_id
            process = self._processes[identifier] = SandboxProcess(self, identifier)
        try:
            if len(payload) <= _PACKET_LIMIT:
                self.send(("start", identifier, payload), fds)
            else:
                with open(os.memfd_create("spec"), "wb", buffering=0) as file:
                    file.write(payload)
                    self.send(("start", identifier, None), [*fds, file.fileno()])
        except LauncherLost:
            self._processes.pop(identifier, None)
            raise
        return process

    def send(self, request: tuple[str, int, bytes | int | None], fds: list[int] | None = None) -> None:
        """One request to the program; signals to a launcher that is gone are dropped. Raises LauncherLost."""
        sock = self._socket
        try:
            if sock is None:
                raise BrokenPipeError
            rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds or ())
            ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if rights else []
            sock.sendmsg([marshal.dumps(request)], ancillary)
        except OSError as error:
            if request[0] != "signal":
                raise LauncherLost from error

    def close(self) -> None:
        """Kill everything and wait until it is gone; may be called again, and ``start`` after it."""
        with self._lock:
            sock, self._socket = self._socket, None
            pid, self.pid = self.pid, 0
            reader = self._reader
        if sock is None or reader is None:
            return
        # The launcher reads the end, kills, waits and goes; its end of the stream is the reader's sign.
        sock.shutdown(_socket.SHUT_WR)
        reader.join()
        sock.close()
        with contextlib.suppress(ChildProcessError):  # the caller ignores SIGCHLD
            os.waitpid(pid, 0)
        group, self._device_group = self._device_group, ""
        if group:
            with contextlib.suppress(OSError):
                os.rmdir(group)  # the next launcher does it, if it cannot be done now

    @property
    def has_device_group(self) -> bool:
        """Whether a control group decides about devices; known once a process was started."""
        return bool(self._device_group)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, sock: _socket.socket) -> None:
        while packet := _receive(sock):
            kind, identifier, *value = marshal.loads(packet)  # noqa: S302 - from the program we started
            if kind == "confined":
                self._device_group = value[0]
            process = self._processes.get(identifier)
            if process is not None:
                if kind != "started":
                    self._processes.pop(identifier)
                process.tell(kind, tuple(value))
        while self._processes:
            _, process = self._processes.popitem()
            process.tell("lost", ())


def _receive(sock: _socket.socket) -> bytes:
    try:
        return sock.recv(_REPLY_LIMIT)
    except OSError:
        return b""


def _check_privileges() -> None:
    lacking = capabilities.missing(syscalls.capget())
    if lacking:
        from builder.sandbox.usernamespace import NotMapped, maps_of

        message = f"making sandboxes needs {', '.join(lacking)}"
        try:
            maps_of(os.geteuid(), os.getegid())
        except NotMapped as error:
            hint = f"as root of a user namespace you would have them: {error.hint}"
            raise SandboxUnavailable(f"{message}, and {error}", hint=hint) from error
        hint = "user namespaces are not allowed here; in a container, one that is --privileged has them"
        raise SandboxUnavailable(message, hint=hint)


def _socket_pair() -> tuple[_socket.socket, _socket.socket]:
    """Both ends on descriptors that no standard stream can be mistaken for."""
    import fcntl

    pair = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    moved = [fcntl.fcntl(end.fileno(), fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for end in pair]
    for end in pair:
        end.close()
    ours, theirs = (_socket.socket(fileno=fd) for fd in moved)
    return ours, theirs


def _spawn_program(connection: int) -> int:
    """Raises OSError. posix_spawn and not fork, since this process has threads.

    The interpreter is executed from a read-only clone of the mounts: a step can name it (#!/proc/self/exe)
    and could as root write to it if the mount that it came from were writable (CVE-2019-5736 of runc).
    """
    import fcntl

    clone = syscalls.open_tree(b"/", is_recursive=True)
    tree = fcntl.fcntl(clone, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(clone)
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher.py")
    arguments = (sys.executable, "-I", "-S", program, str(_LAUNCHER_SOCKET), str(os.getpid()))
    null = os.devnull
    try:
        syscalls.mount_setattr(tree, syscalls.MOUNT_ATTR_RDONLY, is_recursive=True)
        return os.posix_spawn(
            f"/proc/self/fd/{tree}{os.path.realpath(sys.executable)}",
            arguments,
            {},
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, null, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, null, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, null, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, connection, _LAUNCHER_SOCKET),
            ),
            setsigmask=(),
            setsid=True,
        )
    finally:
        os.close(tree)
