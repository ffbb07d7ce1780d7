"""A terminal or plain streams between the caller and a container, and the caller's signals."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from types import FrameType

from builder.executor.interface import ProcessIO, RunningProcess

_CHUNK = 1 << 16
# Those that `docker run` forwards (--sig-proxy); SIGCHLD, SIGPIPE and SIGWINCH mean the client itself.
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

Start = Callable[[ProcessIO], RunningProcess]


def run_attached(
    start: Start, *, stdin: int, stdout: int, stderr: int, is_interactive: bool, is_terminal: bool
) -> int:
    """Start a process with the caller's streams, and give back its exit code.

    ``start`` is called once, with descriptors that this function owns. Main thread only: it sets signal
    handlers.
    """
    if is_terminal:
        return _run_with_terminal(start, stdin=stdin, stdout=stdout, is_interactive=is_interactive)
    with _signals() as forward_to:
        process = start(ProcessIO(stdin=stdin if is_interactive else -1, stdout=stdout, stderr=stderr))
        forward_to(process)
        return _wait(process)


def _run_with_terminal(start: Start, *, stdin: int, stdout: int, is_interactive: bool) -> int:
    master, slave = pty.openpty()
    try:
        _copy_size(stdout, master)
        with (
            _signals() as forward_to,
            _raw(stdin, is_wanted=is_interactive),
            _resizing(stdout, master),
        ):
            try:
                process = start(ProcessIO(stdin=slave, stdout=slave, stderr=slave, terminal=True))
            finally:
                os.close(slave)
            forward_to(process)
            waker, woken = os.pipe2(os.O_CLOEXEC)
            pump = threading.Thread(
                target=_pump, args=(master, stdin if is_interactive else -1, stdout, waker), daemon=True
            )
            pump.start()
            code = _wait(process)
            os.close(woken)
            pump.join()
            os.close(waker)
            return code
    finally:
        os.close(master)


def _pump(master: int, stdin: int, stdout: int, stop: int) -> None:
    """Both ways until the terminal hangs up, or ``stop`` is closed and nothing is left to show."""
    watched = [master, stop] + ([stdin] if stdin >= 0 else [])
    while True:
        ready, _, _ = select.select(watched, [], [])
        if master in ready:
            try:
                data = os.read(master, _CHUNK)
            except OSError as error:
                if error.errno != errno.EIO:  # the last holder of the other end is gone
                    raise
                return
            if not data:
                return
            _write_all(stdout, data)
        elif stop in ready:
            return
        if stdin in ready:
            data = os.read(stdin, _CHUNK)
            if data:
                _write_all(master, data)
            else:
                watched.remove(stdin)
                os.write(master, b"\x04")  # end of file, as a terminal says it


def _wait(process: RunningProcess) -> int:
    """Wait in a thread: a blocked main thread would not run signal handlers."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(process.wait()), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.5)
    return codes[0] if codes else 125


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[RunningProcess], None]]:
    """Forward the caller's signals inside the block; to be told whom to, later.

    The handlers must be there before the process is: it may answer at once, and the answer may be a signal.
    """
    target: list[RunningProcess] = []
    early: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if target:
            target[0].signal(number)
        else:
            early.append(number)

    def forward_to(process: RunningProcess) -> None:
        target.append(process)
        for number in early:
            process.signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield forward_to
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _raw(stdin: int, *, is_wanted: bool) -> Iterator[None]:
    if not is_wanted or not os.isatty(stdin):
        yield
        return
    before = termios.tcgetattr(stdin)
    tty.setraw(stdin)
    try:
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resizing(stdout: int, master: int) -> Iterator[None]:
    before = signal.signal(signal.SIGWINCH, lambda number, frame: _copy_size(stdout, master))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _copy_size(source: int, target: int) -> None:
    with contextlib.suppress(OSError):  # the caller's output may be no terminal
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
