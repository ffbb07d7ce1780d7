"""What a build promises: caching, parallel steps, names, and independence from what happens afterwards."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import Pybuild, finish
from tests.support.images import read_archive
from tests.support.processes import assert_intact, children, descendants, wait_until
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_TWO_STAGES = """\
FROM busybox AS build
COPY a.txt /a.txt
RUN tr a-z A-Z < /a.txt > /b.txt
FROM scratch
COPY --from=build /b.txt /b.txt
LABEL made=here
"""


def test_second_build_is_cached(pybuild: Pybuild, write: Write) -> None:
    """Every step is CACHED and the image has the same id, also from a copy of the context elsewhere."""
    first = pybuild.build(write(_TWO_STAGES, {"a.txt": "hello"}))
    second = pybuild.build(write(_TWO_STAGES, {"a.txt": "hello"}, name="elsewhere"))

    work = {state for name, state in first.steps.items() if "] COPY" in name or "] RUN" in name}
    assert {"DONE"} == work
    assert {"CACHED"} == set(second.steps.values())
    assert first.steps.keys() == second.steps.keys()
    assert first.image == second.image


def test_change_runs_what_depends_on_it(pybuild: Pybuild, write: Write) -> None:
    """An edited file runs its COPY and what follows, and nothing beside them."""
    dockerfile = (
        "FROM busybox AS left\nCOPY left /x\nRUN cp /x /y\n"
        "FROM busybox AS right\nCOPY right /x\nRUN cp /x /z\n"
        "FROM busybox\nCOPY --from=left /y /y\nCOPY --from=right /z /z\n"
    )
    pybuild.build(write(dockerfile, {"left": "1", "right": "1"}))
    second = pybuild.build(write(dockerfile, {"right": "2"}))

    ran = {name for name, state in second.steps.items() if state == "DONE"}
    assert {
        "[right 2/3] COPY right /x",
        "[right 3/3] RUN cp /x /z",
        "[stage-2 3/3] COPY --from=right /z /z",
    } == ran


def test_image_survives_its_context(pybuild: Pybuild, write: Write, tmp_path: Path, known: set[int]) -> None:
    """No process lives after a build; files that are overwritten in place then change nothing in it."""
    context = write("FROM scratch\nCOPY . /all\n", {"one": b"1" * 100_000, "deep/two": "two"})
    pybuild.build(context, "-t", "kept")

    assert set(children()) <= known
    for name in ("one", "deep/two"):
        with open(context / name, "r+b") as file:
            file.write(b"overwritten")
    image = read_archive(pybuild.save("kept", tmp_path / "kept.tar"))
    assert image.text("all/one") == "1" * 100_000
    assert image.text("all/deep/two") == "two"


def test_unused_stage_is_not_built(pybuild: Pybuild, write: Write) -> None:
    """A stage that the target does not need is left out, also if it would fail."""
    done = pybuild.build(write("FROM busybox AS broken\nRUN exit 9\nFROM busybox\nRUN true\n"))

    assert not [name for name in done.steps if "broken" in name]


def test_independent_steps_run_at_once(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Sixteen stages that each wait for one of the others all end: they run at the same time."""
    # Each signals the next one over a pipe on the host's network: an abstract thing that two sandboxes share.
    count = 16
    stages = [f"FROM busybox AS s{n}\nRUN {_meet(n, count)}\n" for n in range(count)]
    last = "FROM busybox\n" + "".join(f"COPY --from=s{n} /met /met{n}\n" for n in range(count))
    pybuild.build(write("".join(stages) + last), "-t", "met")

    assert count * "met\n" == pybuild.run("met", "sh", "-c", "cat /met*")


def _meet(number: int, count: int) -> str:
    """Stage 0 listens until all others were there; nobody ends before everybody has come."""
    port = 39_000 + _worker() * 100
    if number == 0:
        # Each connection is held until the last one came, so no stage may wait for another to end.
        waits = " ".join(str(port + n) for n in range(1, count))
        return (
            f"for p in {waits}; do nc -l -p $p -w 60 </dev/null >/dev/null || exit 1; done; echo met > /met"
        )
    return f"until nc -w 1 127.0.0.1 {port + number} </dev/null; do :; done; echo met > /met"


def _worker() -> int:
    import os

    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def test_jobs_limits_what_runs_at_once(pybuild: Pybuild, write: Write) -> None:
    """With -j 1 no two RUN steps overlap."""
    stages = [f"FROM busybox AS s{n}\nRUN echo begin {n}; echo end {n}\n" for n in range(4)]
    dockerfile = (
        "".join(stages) + "FROM scratch\n" + "".join(f"COPY --from=s{n} /etc /{n}\n" for n in range(4))
    )
    done = pybuild.build(write(dockerfile), "-j", "1")

    words = re.findall(r"^#\d+ [\d.]+ (begin|end) (\d)", done.err, re.MULTILINE)
    assert [("begin", n) for n in "0123"] == sorted(words[0::2])
    assert [number for _, number in words[0::2]] == [number for _, number in words[1::2]]


def test_two_builds_of_one_project_at_once(pybuild: Pybuild, write: Write) -> None:
    """Both succeed, and what they name runs."""
    context = write(
        "FROM busybox\nCOPY a /a\n" + "".join(f"RUN echo {n} >> /log\n" for n in range(6)), {"a": "a"}
    )
    started = [pybuild.start("build", "--progress", "plain", "-t", f"both{n}", context) for n in range(2)]
    outcomes = [finish(process) for process in started]

    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    for name in ("both0", "both1"):
        assert pybuild.run(name, "cat", "/log") == "0\n1\n2\n3\n4\n5\n"
    assert_intact(pybuild.root)


def test_failed_step_shows_its_end(pybuild: Pybuild, write: Write) -> None:
    """The last 50 lines come again, the line is marked, the code is named, the log is whole on disk."""
    context = write(
        "FROM busybox\nENV A=1\n"
        "RUN i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done; exit 7\nENV B=2\n"
    )
    failed = pybuild.build(context, code=1)

    report = failed.err.partition("ERROR: process")[2]
    assert [f"line {n}" for n in range(251, 301)] == re.findall(r"line \d+$", report, re.MULTILINE)
    assert "exit code: 7" in report
    assert "Dockerfile:3" in report
    assert re.search(r"^\s*3 \| (>>> )?RUN i=0", report, re.MULTILINE)
    logs = [path.read_text() for path in (pybuild.root / "logs-v1").rglob("*") if path.is_file()]
    assert ["".join(f"line {n}\n" for n in range(1, 301))] == logs


def test_failed_build_keeps_what_succeeded(pybuild: Pybuild, write: Write) -> None:
    """After the last line is corrected the steps before it are cached."""
    pybuild.build(write("FROM busybox\nRUN echo one > /one\nRUN exit 4\n"), code=1)
    second = pybuild.build(write("FROM busybox\nRUN echo one > /one\nRUN exit 0\n"))

    assert second.steps["[2/3] RUN echo one > /one"] == "CACHED"


def test_killed_build_takes_its_steps_along(pybuild: Pybuild, write: Write, known: set[int]) -> None:
    """SIGKILL of the build ends every process of its RUN; the next build works."""
    context = write("FROM busybox\nRUN sleep 600 & sleep 601 & echo up; sleep 602\n")
    process = pybuild.start("build", "--progress", "plain", context, stderr=subprocess.DEVNULL)
    wait_until(lambda: _sleepers(process.pid) == 3, watched=process.pid)
    process.kill()
    finish(process)
    pybuild.build(write("FROM busybox\nRUN echo again\n"))
    assert_intact(pybuild.root)


def _sleepers(pid: int) -> int:
    found = 0
    for child in descendants(pid):
        try:
            found += b"sleep\x0060" in Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
    return found
