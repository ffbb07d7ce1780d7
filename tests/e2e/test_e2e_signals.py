"""Ctrl-C and its relatives during a RUN."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.cli import Pybuild, finish
from tests.support.processes import assert_intact, assert_nothing_left, descendants, wait_until
from tests.support.stores import Write

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_build_and_steps(
    number: signal.Signals, pybuild: Pybuild, write: Write, known: set[int]
) -> None:
    """The step's processes die, those that ignore signals too; nothing is left when the command ends."""
    context = write("FROM busybox\nRUN trap '' INT TERM HUP; sleep 700 & sleep 701\n")
    process = pybuild.start("build", "--progress", "plain", context)
    wait_until(lambda: _runs(process.pid, b"sleep\x00701"), watched=process.pid)
    process.send_signal(number)
    outcome = finish(process)

    assert outcome.code == 130
    assert "Traceback" not in outcome.err
    assert_nothing_left(pybuild.root, known)
    assert_intact(pybuild.root)


def test_interrupted_step_is_not_cached(pybuild: Pybuild, write: Write) -> None:
    """What was interrupted runs again; what was done before is cached."""
    context = write("FROM busybox\nRUN echo first > /first\nRUN [ -e /go ] || sleep 702\n")
    process = pybuild.start("build", "--progress", "plain", context)
    wait_until(lambda: _runs(process.pid, b"sleep\x00702"), watched=process.pid)
    process.send_signal(signal.SIGINT)
    finish(process)
    again = pybuild.start("build", "--progress", "plain", context)
    wait_until(lambda: _runs(again.pid, b"sleep\x00702"), watched=again.pid)
    again.send_signal(signal.SIGINT)
    outcome = finish(again)

    assert outcome.steps["[2/3] RUN echo first > /first"] == "CACHED"


def _runs(pid: int, words: bytes) -> bool:
    for child in descendants(pid):
        try:
            if words in Path(f"/proc/{child}/cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False
