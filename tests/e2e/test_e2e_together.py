"""Builds of one project at one time, on one store."""

from __future__ import annotations

import signal

import pytest

from tests.support.cli import Pybuild, finish
from tests.support.processes import wait_until
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_STEPS = 8


def test_eight_builds_run_each_step_once(pybuild: Pybuild, write: Write) -> None:
    """A cache mount that every step appends to tells how often each one ran."""
    lines = "".join(f"RUN --mount=type=cache,target=/c echo {n} >> /c/log\n" for n in range(_STEPS))
    context = write(f"FROM busybox\n{lines}RUN --mount=type=cache,target=/c cp /c/log /log\n")
    started = [pybuild.start("build", "--progress", "plain", "-t", f"t{n}", context) for n in range(8)]
    outcomes = [finish(process) for process in started]

    assert [outcome.code for outcome in outcomes] == [0] * 8, outcomes
    assert len({outcome.image for outcome in outcomes}) == 1
    assert [str(n) for n in range(_STEPS)] == pybuild.run("t3", "cat", "/log").split()
    ran = [name for outcome in outcomes for name, state in outcome.steps.items() if state == "DONE"]
    assert len(ran) == len(set(ran)) == _STEPS + 1


def test_a_killed_build_blocks_nobody(pybuild: Pybuild, write: Write) -> None:
    """Who waits for the step of a build that is killed runs it itself."""
    context = write(
        "FROM busybox\nRUN --mount=type=cache,target=/c"
        " if [ -e /c/second ]; then echo mine > /x; else touch /c/second; cat /dev/zero > /dev/null; fi\n"
    )
    first = pybuild.start("build", context)
    caches = pybuild.root / "caches-v1"
    wait_until(lambda: bool(list(caches.glob("*/*/data/second"))), watched=first.pid)
    second = pybuild.start("build", "--progress", "plain", "-t", "second", context)
    assert second.stderr is not None
    assert any(b"waiting for another build's RUN" in line for line in second.stderr)
    first.send_signal(signal.SIGKILL)
    finish(first)

    assert finish(second).code == 0
    assert pybuild.run("second", "cat", "/x") == "mine\n"
