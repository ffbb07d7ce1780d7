"""Processes that are killed at chosen points; nothing sleeps, pipes say who has come how far."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from builder.store.database import Database

# What changes a directory. Audit events come before the system call.
_CHANGES = frozenset(
    {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.chmod", "os.utime", "os.truncate"}
)


class Killed(NamedTuple):
    """A process that did not come to its end."""

    step: int
    before: str  # what it was about to do


def kills(root: Path, work: Callable[[], None]) -> Iterator[Killed]:
    """Run ``work`` in a process that is killed before its first change below ``root``, its second, and so on.

    Ends with the run that comes to its end. Statements that change the database count twice: before, after.
    """
    for step in itertools.count():
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _run_to(step, str(root), work, writer)
        os.close(writer)
        with open(reader, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            yield Killed(step, told.decode())
            continue
        assert os.waitstatus_to_exitcode(status) == 0, "the work failed by itself"
        return


def _run_to(step: int, root: str, work: Callable[[], None], writer: int) -> NoReturn:
    """In the child."""
    count = 0

    def point(what: str) -> None:
        nonlocal count
        if count == step:
            os.write(writer, what.encode())
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        is_change = event in _CHANGES or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        )
        if is_change and str(arguments[0]).startswith(root):
            point(f"{event} {arguments[0]}")

    run = Database.run

    def counted(self: Database, statement: str, values: tuple[str, ...] = ()) -> int:
        point(f"before {statement}")
        changed = run(self, statement, values)
        point(f"after {statement}")
        return changed

    code = 70
    try:
        Database.run = counted  # type: ignore[method-assign,assignment]  # this process ends here
        sys.addaudithook(hook)
        work()
        code = 0
    except BaseException:  # noqa: BLE001 (told below, this process ends here)
        traceback.print_exc()
    finally:
        os._exit(code)


class Other:
    """Another process, inside a block of its own until it is killed or let go."""

    def __init__(self, pid: int, answers: int, orders: int) -> None:
        self._pid = pid
        self._answers = answers
        self._orders = orders
        self._is_over = False

    def wait(self) -> bytes:
        """What it says next; empty when it is gone."""
        return os.read(self._answers, 100)

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""
        if not self._is_over:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._is_over = True

    def order(self) -> None:
        """Let it leave its block."""
        os.write(self._orders, b"go")

    def let_go(self) -> int:
        """Let it leave its block; its exit code."""
        self.order()
        return self.join()

    def join(self) -> int:
        """Its exit code."""
        _, status = os.waitpid(self._pid, 0)
        self._is_over = True
        return os.waitstatus_to_exitcode(status)


@contextlib.contextmanager
def other_process(work: Callable[[Callable[[bytes], None], Callable[[], None]], None]) -> Iterator[Other]:
    """``work(say, wait)`` in a forked process; ``say`` reaches ``Other.wait``, ``let_go`` ends ``wait``."""
    answers, say_to = os.pipe()
    order_from, orders = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.close(answers)
            os.close(orders)

            def say(data: bytes) -> None:
                os.write(say_to, data)

            def wait() -> None:
                os.read(order_from, 2)

            work(say, wait)
            code = 0
        except BaseException:  # noqa: BLE001 (told below, this process ends here)
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(say_to)
    os.close(order_from)
    other = Other(pid, answers, orders)
    try:
        yield other
    finally:
        other.kill()
        os.close(answers)
        os.close(orders)
