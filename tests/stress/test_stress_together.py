"""Many processes on one store."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.support.cli import Pybuild, finish
from tests.support.faults import scale, seed
from tests.support.processes import assert_intact, assert_nothing_left
from tests.support.stores import Write

pytestmark = [pytest.mark.stress, pytest.mark.timeout(0)]

_DOCKERFILE = "FROM busybox\nCOPY x /x\n" + "".join(
    f"RUN cat /x >> /log; echo {n} >> /log\n" for n in range(4)
)


def test_builds_of_one_project_at_once(pybuild: Pybuild, write: Write) -> None:
    """Rounds of four builds started together, each round of a new content: all succeed and agree."""
    for number in range(max(2, round(20 * scale()))):
        context = write(_DOCKERFILE, {"x": f"{number}\n"})
        started = [pybuild.start("build", "-q", "-t", f"t{n}", context) for n in range(4)]
        outcomes = [finish(process) for process in started]

        assert [outcome.code for outcome in outcomes] == [0] * 4, outcomes
        expected = "".join(f"{number}\n{n}\n" for n in range(4))
        assert {expected} == {pybuild.run(f"t{n}", "cat", "/log") for n in range(4)}
    assert_intact(pybuild.root)


def test_all_commands_at_once(pybuild: Pybuild, write: Write) -> None:
    """Builds, runs, removals, saves and listings side by side: each ends well or with one error."""
    chooser = random.Random(number := seed())
    print(f"PYBUILD_SEED={number}")
    contexts = [write(_DOCKERFILE, {"x": f"{n}\n"}, name=f"p{n}") for n in range(3)]
    for _ in range(max(2, round(20 * scale()))):
        started = []
        for _ in range(5):
            n = chooser.randrange(3)
            choices: list[list[str | Path]] = [
                ["build", "-q", "-t", f"p{n}", contexts[n]],
                ["build", "-q", "--no-cache", "-t", f"p{n}", contexts[n]],
                ["run", "--rm", "busybox", "true"],
                ["rmi", "-f", f"p{n}"],
                ["save", "-o", contexts[n].parent / f"saved-{chooser.random()}.tar", f"p{n}"],
                ["images"],
                ["prune", "-f", *chooser.choice([[], ["--all"]])],
                ["du", "-v"],
            ]
            words = chooser.choice(choices)
            started.append(pybuild.start(*words))
        for process in started:
            outcome = finish(process)

            assert outcome.code in (0, 1)
            assert outcome.code == 0 or outcome.err.count("error[") == 1, outcome.err
            assert "Traceback" not in outcome.err
    assert_intact(pybuild.root)
    for n, context in enumerate(contexts):
        pybuild.build(context, "-t", "last")

        assert f"{n}\n0\n" == pybuild.run("last", "head", "-n", "2", "/log")


def test_signals_at_random_moments(pybuild: Pybuild, write: Write, known: set[int]) -> None:
    """Builds that are ended by signals while they print: nothing is left, the next one works."""
    chooser = random.Random(number := seed())
    print(f"PYBUILD_SEED={number}")
    dockerfile = "FROM busybox\nCOPY x /x\n" + "".join(f"RUN echo {n}; cat /x > /y{n}\n" for n in range(6))
    for count in range(max(3, round(50 * scale()))):
        context = write(dockerfile, {"x": str(count)})
        process = pybuild.start("build", "--progress", "plain", context)
        assert process.stderr is not None
        # As many lines as chance says: that is the moment.
        for _ in range(chooser.randrange(1, 18)):
            process.stderr.readline()
        process.send_signal(chooser.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]))
        outcome = finish(process)

        assert outcome.code in (0, 130, -9, -2, -15)
        assert "Traceback" not in outcome.err
        pybuild.build(context)
        assert_nothing_left(pybuild.root, known)
    assert_intact(pybuild.root)
