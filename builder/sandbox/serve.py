"""The launcher's loop: takes requests from its socket, clones children, tells what becomes of them.

Requests, ``marshal`` on a SOCK_SEQPACKET socket: ``("start", id, spec | None)`` with descriptors (a spec that
is too large for a packet comes in a memfd, the last of them), ``("signal", id, number)``. Replies:
``("started", id, pid, stubs)``, ``("failed", id, Failure)``, ``("exited", id, wait status, CPU seconds, peak
KiB)``, where the last two are of the child and whatever it waited for, memory of the largest; the first one
may be ``("confined", 0, directory)``, the group of devices, to be removed after the launcher.
"""

from __future__ import annotations

import _socket
import gc
import io
import marshal
import os
import select

from builder.sandbox import child, signals, syscalls

TYPE_CHECKING = False  # importing typing takes longer than a step
if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.sandbox.confinement import Confinement
    from builder.sandbox.spec import RawSpec

PACKET_LIMIT = 65536
_DESCRIPTOR_LIMIT = 8
_SPACE = _socket.CMSG_SPACE(_DESCRIPTOR_LIMIT * 4)
_NAMESPACES = (
    ("mnt", syscalls.CLONE_NEWNS),
    ("pid", syscalls.CLONE_NEWPID),
    ("uts", syscalls.CLONE_NEWUTS),
    ("ipc", syscalls.CLONE_NEWIPC),
    ("cgroup", syscalls.CLONE_NEWCGROUP),
)


class _Process:
    __slots__ = ("failure", "id", "pid", "pidfd", "report", "said", "stubs")

    def __init__(self, identifier: int, pid: int, pidfd: int, report: int) -> None:
        self.id = identifier
        self.pid = pid
        self.pidfd = pidfd
        self.report = report  # -1 once the child is the program, or gone
        self.said = b""
        self.failure: child.Failure | None = None
        self.stubs: list[tuple[bytes, int, int]] = []


class Server:
    """All state of the launcher; single-threaded."""

    def __init__(self, connection: int, parent: int, confinement: Confinement | None) -> None:
        self._socket = _socket.socket(fileno=connection)
        self._confinement = confinement
        self._parent = parent
        self._poll = select.poll()
        self._reports: dict[int, _Process] = {}
        self._pidfds: dict[int, _Process] = {}
        self._processes: dict[int, _Process] = {}
        # A kernel may lack some; every one that there is is used.
        self._flags = sum(flag for name, flag in _NAMESPACES if os.path.exists(f"/proc/self/ns/{name}"))

    def run(self) -> None:
        """Until the other end closes its socket or is gone; then every process is killed."""
        gc.freeze()
        gc.disable()
        try:
            if os.getppid() == self._parent:
                if self._confinement is not None:
                    self._send(("confined", 0, self._confinement.directory))
                self._loop()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the other end went while it was told something
        finally:
            for process in self._processes.values():
                signals.send(process.pidfd, signals.SIGKILL)
            for process in self._processes.values():
                os.waitpid(process.pid, 0)

    def _loop(self) -> None:
        # A pidfd, since PDEATHSIG would follow the one thread of the parent that started us; and not the
        # socket alone, since a process that the parent forked may hold its other end.
        parent = os.pidfd_open(self._parent)
        self._poll.register(parent, select.POLLIN)
        self._poll.register(self._socket.fileno(), select.POLLIN)
        while True:
            for fd, _ in self._poll.poll():
                if fd == parent or (fd == self._socket.fileno() and not self._receive()):
                    return
                if process := self._reports.get(fd):
                    self._read_report(process)
                elif process := self._pidfds.get(fd):
                    self._reap(process)

    def _receive(self) -> bool:
        """Handle one request; False at the end of the stream."""
        packet, ancillary, _, _ = self._socket.recvmsg(PACKET_LIMIT + 1024, _SPACE, _socket.MSG_CMSG_CLOEXEC)
        fds = [fd for _, _, data in ancillary for fd in memoryview(data).cast("i")]
        if not packet:
            return False
        kind, identifier, value = marshal.loads(packet)  # noqa: S302 - from the process that started us
        if kind == "signal":
            if process := self._processes.get(identifier):
                signals.send(process.pidfd, value)
            return True
        if value is None:
            value = os.pread(fds[-1], os.fstat(fds[-1]).st_size, 0)
        try:
            self._start(identifier, marshal.loads(value), fds)  # noqa: S302 - as above
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _start(self, identifier: int, spec: RawSpec, fds: Sequence[int]) -> None:
        if self._confinement is not None and spec["is_privileged"]:
            spec["cgroups"] = (os.fsencode(self._confinement.outside), *spec["cgroups"])
        elif self._confinement is not None:
            spec["is_confined"], spec["device_program"] = True, self._confinement.program
        report, write_end = os.pipe2(os.O_CLOEXEC)
        flags = self._flags | (syscalls.CLONE_NEWNET if spec["network"] == "none" else 0)
        try:
            pid, pidfd = syscalls.clone(flags)
        except OSError as error:
            os.close(report)
            os.close(write_end)
            stage, text = "make the namespaces", error.strerror or ""
            failure = ("setup", stage, error.errno or 0, text, "", child.SANDBOX_FAILED)
            self._send(("failed", identifier, failure))
            return
        if pid == 0:
            os.close(report)
            child.become(spec, fds[: 3 if spec["has_stdin"] else 2], write_end)
        os.close(write_end)
        # An event may be stale: its descriptor closed and given out again within one round of poll.
        os.set_blocking(report, False)
        process = _Process(identifier, pid, pidfd, report)
        self._processes[identifier] = self._reports[report] = self._pidfds[pidfd] = process
        self._poll.register(report, select.POLLIN)
        self._poll.register(pidfd, select.POLLIN)

    def _read_report(self, process: _Process) -> None:
        """The pipe ends when the child executes its program, for it is closed by that."""
        while True:
            try:
                data = os.read(process.report, PACKET_LIMIT)
            except BlockingIOError:
                return
            if not data:
                break
            process.said += data
        self._poll.unregister(process.report)
        del self._reports[process.report]
        os.close(process.report)
        process.report = -1
        stream = io.BytesIO(process.said)
        while stream.tell() < len(process.said):
            kind, value = marshal.load(stream)  # noqa: S302 - written by child.become
            if kind == "stubs":
                process.stubs = value
            else:
                process.failure = value
        if process.failure is None:
            self._send(("started", process.id, process.pid, process.stubs))

    def _reap(self, process: _Process) -> None:
        if process.report >= 0:
            self._read_report(process)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if not pid:
            return
        self._poll.unregister(process.pidfd)
        del self._pidfds[process.pidfd], self._processes[process.id]
        os.close(process.pidfd)
        if process.failure is None:
            self._send(("exited", process.id, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss))
        else:
            self._send(("failed", process.id, process.failure))

    def _send(
        self, message: tuple[str | int | float | list[tuple[bytes, int, int]] | child.Failure, ...]
    ) -> None:
        self._socket.send(marshal.dumps(message), _socket.MSG_NOSIGNAL)
