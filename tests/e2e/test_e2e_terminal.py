"""-t: a terminal of its own for the container, as large as the caller's."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator

import pytest

from tests.support.cli import Pybuild, finish
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_PATIENCE_MS = 20_000


class _Terminal:
    """The caller's side of a pseudo-terminal."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, words: bytes) -> None:
        """Read until ``words`` come; what came before is gone then."""
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        while words not in self.seen:
            assert poll.poll(_PATIENCE_MS), f"{words!r} did not come: {self.seen!r}"
            self.seen += os.read(self.master, 4096)
        self.seen = self.seen.partition(words)[2]

    def type(self, data: bytes) -> None:
        os.write(self.master, data)


@pytest.fixture
def terminal() -> Iterator[_Terminal]:
    terminal = _Terminal()
    yield terminal
    os.close(terminal.master)
    os.close(terminal.slave)


def _start(pybuild: Pybuild, terminal: _Terminal, *words: str) -> subprocess.Popen[bytes]:
    slave = os.fdopen(os.dup(terminal.slave), "r+b", buffering=0)
    with slave:
        return pybuild.start("run", "--rm", "-it", "busybox", *words, stdin=slave, stdout=slave, stderr=slave)


def test_terminal_has_the_callers_size_and_follows_it(pybuild: Pybuild, terminal: _Terminal) -> None:
    """`stty size` inside says what the window is, before and after a change."""
    terminal.resize(31, 97)
    script = "tty; trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.05; done"
    process = _start(pybuild, terminal, "sh", "-c", script)
    terminal.expect(b"/dev/")
    terminal.expect(b"31 97\r\n")
    terminal.expect(b"ready")
    terminal.resize(12, 34)
    process.send_signal(signal.SIGWINCH)
    terminal.expect(b"12 34\r\n")
    terminal.type(b"\x03")

    assert finish(process).code == 130


def test_typing_reaches_the_shell(pybuild: Pybuild, terminal: _Terminal) -> None:
    """A shell can be talked to; it echoes, edits, hears Ctrl-D, and its exit code is ours."""
    process = _start(pybuild, terminal, "sh")
    terminal.expect(b"# ")
    terminal.type(b"echo a$((20+3))\n")
    terminal.expect(b"a23\r\n")
    terminal.type(b"(exit 9)\n")
    terminal.expect(b"# ")
    terminal.type(b"\x04")

    assert finish(process).code == 9


def test_a_shell_in_a_step_has_a_terminal(pybuild: Pybuild, terminal: _Terminal, write: Write) -> None:
    """`pybuild shell` on a terminal is a shell to talk to."""
    pybuild.build(write("FROM busybox\nRUN echo of the step > /x\n"))
    slave = os.fdopen(os.dup(terminal.slave), "r+b", buffering=0)
    with slave:
        process = pybuild.start("shell", "2", stdin=slave, stdout=slave, stderr=slave)
    terminal.expect(b"# ")
    terminal.type(b"cat /x; tty\n")
    terminal.expect(b"of the step\r\n/dev/")
    terminal.type(b"exit 6\n")

    assert finish(process).code == 6


def test_callers_terminal_is_as_before(pybuild: Pybuild, terminal: _Terminal) -> None:
    """Raw mode ends with the container."""
    before = termios.tcgetattr(terminal.slave)
    process = _start(pybuild, terminal, "sh", "-c", "stty -echo; echo raw; exit 4")
    terminal.expect(b"raw")

    assert finish(process).code == 4
    assert before == termios.tcgetattr(terminal.slave)


def test_terminal_without_one(pybuild: Pybuild) -> None:
    """-it needs a terminal as its input; -t alone gives one to the container."""
    refused = pybuild("run", "--rm", "-it", "busybox", "true", code=1)
    given = pybuild("run", "--rm", "-t", "busybox", "sh", "-c", "tty >/dev/null && echo yes")

    assert "terminal" in refused.err
    assert given.out == "yes\r\n"
