"""Builds as records: what stays of a build once it is over."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Pybuild, finish
from tests.support.processes import wait_until
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_PROJECT = """\
FROM busybox AS build
RUN echo one-said > /x; echo one said
FROM busybox
COPY --from=build /x /x
RUN echo two said; cat /x
"""


def _shown(pybuild: Pybuild, build: str = "latest") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(pybuild("builds", "show", build, "--format", "json").out)
    return document


def _statuses(document: dict[str, Any]) -> dict[str, str]:
    return {step["name"].partition("] ")[2]: step["status"] for step in document["steps"]}


def test_builds_of_every_end_are_listed(pybuild: Pybuild, write: Write) -> None:
    """A build that ran, one that was cached, and one that failed; the latest first."""
    context = write(_PROJECT)
    made = pybuild.build(context, "-t", "app")
    pybuild.build(context)
    pybuild.build(write("FROM busybox\nRUN echo before; exit 3\nRUN true\n"), code=1)
    pybuild.build(write("FROM busybox\nRUM true\n"), code=1)
    listed = pybuild("builds", "ls", "--format", "{{.Status}} {{.Error}} {{.Name}} {{.Cached}}")

    assert [
        "failed unknown-instruction project 0/0",
        "failed step-failed project 1/3",
        "done  project 4/4",
        "done  app:latest 1/4",
    ] == listed.out.splitlines()
    first = _shown(pybuild, "latest~3")
    assert made.image == first["image"]
    assert ["docker.io/library/app:latest"] == first["tags"]
    assert {"done", "cached"} == set(_statuses(first).values())
    assert {"cached", "unneeded"} == set(_statuses(_shown(pybuild, "latest~2")).values())
    failed = _statuses(_shown(pybuild, "latest~1"))
    assert {"RUN echo before; exit 3": "failed", "RUN true": "unreached"}.items() <= failed.items()


def test_record_of_a_step(pybuild: Pybuild, write: Write) -> None:
    """It says which lines it is of, what it reads, and what it took."""
    pybuild.build(
        write("FROM busybox\nRUN i=0; \\\n  while [ $i -lt 50000 ]; do i=$((i+1)); done\nRUN true\n")
    )
    base, spun, last = _shown(pybuild)["steps"]

    assert [2, 3] == spun["lines"]
    assert spun["text"] == "RUN i=0; \\\n  while [ $i -lt 50000 ]; do i=$((i+1)); done"
    assert [base["digest"]] == spun["inputs"]
    assert [spun["digest"]] == last["inputs"]
    assert 0.0 < spun["cpuSeconds"] <= spun["seconds"]
    assert spun["peakMemory"] > 100_000
    assert spun["result"] != last["result"]


def test_interrupted_build_was_cancelled(pybuild: Pybuild, write: Write) -> None:
    """Its running step, too, and the step after it was not reached."""
    context = write("FROM busybox\nRUN echo begun; sleep 60\nRUN true\n")
    process = pybuild.start("build", "--progress", "plain", context)
    wait_until(lambda: any((pybuild.root / "logs-v1").glob("*/*.log")), watched=process.pid)
    process.send_signal(signal.SIGINT)

    assert finish(process).code == 130
    document = _shown(pybuild)
    assert document["status"] == "cancelled"
    assert ["cancelled", "unreached"] == [step["status"] for step in document["steps"][1:]]
    assert "begun" in pybuild("builds", "logs", "latest").out


def test_logs_of_steps(pybuild: Pybuild, write: Write) -> None:
    """All of a build in order; one by line, number or name; of a cached step what it printed when it ran."""
    context = write(_PROJECT)
    pybuild.build(context)
    everything = pybuild("builds", "logs").out
    pybuild.build(context)

    assert "[build 2/2] RUN echo one-said > /x; echo one said\none said\n" in everything
    assert everything.index("one said") < everything.index("two said\none-said\n")
    assert pybuild("builds", "logs").out == ""
    for name in ("2", "build 2/2", "[build 2/2]", "build/2", "echo ONE"):
        assert pybuild("builds", "logs", "latest~1", name).out == "one said\n"
        assert pybuild("builds", "logs", "latest", name).out.endswith("\none said\n")
    assert "step-not-found" in pybuild("builds", "logs", "latest", "7/9", code=1).err


def test_removed_builds_are_forgotten(pybuild: Pybuild, write: Write) -> None:
    """By the beginning of an id; a wrong name does not keep the others; the cache stays."""
    context = write(_PROJECT)
    for _ in range(3):
        pybuild.build(context)
    latest, _, first = pybuild("builds", "ls", "-q").out.split()
    removed = pybuild("builds", "rm", first[:8], "nope", code=1)

    assert removed.out == f"{first}\n"
    assert "build-not-found" in removed.err
    assert "RUN" not in pybuild("builds", "logs", "latest", "2").out
    assert pybuild("builds", "rm", "--all").out.split()[0] == latest
    assert pybuild("builds", "-q").out == ""
    assert {"CACHED"} == set(pybuild.build(context).steps.values())


def test_secret_arguments_are_not_kept(pybuild: Pybuild, write: Write) -> None:
    """An argument that looks like a secret has no value in the record."""
    context = write("FROM busybox\nARG NPM_TOKEN\nARG MODE\nRUN true\n")
    pybuild.build(context, "--build-arg", "NPM_TOKEN=hunter2", "--build-arg", "MODE=fast")

    shown = pybuild("builds", "show")
    assert "--build-arg NPM_TOKEN --build-arg MODE=fast" in shown.out
    assert "hunter2" not in json.dumps(_shown(pybuild))


def test_profile_shows_what_the_cache_saved(pybuild: Pybuild, write: Write) -> None:
    """Of a step that ran what it took, of a cached one what it had taken; the critical path in between."""
    dockerfile = "FROM busybox\nRUN sleep 0.2; dd if=/dev/zero of=/f bs=1000 count=5\nRUN true"
    pybuild.build(write(dockerfile))
    first = json.loads(pybuild("profile", "--json").out)["steps"]
    pybuild.build(write(f"{dockerfile} again"))
    second = json.loads(pybuild("profile", "--json").out)
    base, slept, last = second["steps"]

    assert [False, True, True] == [step["isCritical"] for step in first]
    assert first[1]["written"] == 5000
    assert slept["savedSeconds"] == first[1]["seconds"] > 0.2 > first[1]["cpuSeconds"]
    assert second["savedSeconds"] >= slept["savedSeconds"]
    assert [last["name"]] == [step["name"] for step in second["steps"] if step["isCritical"]]
    table = pybuild("profile").out
    assert f"* {last['name']}" in table
    assert f"  {base['name']}" in table


def test_trace_of_a_build(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """`build --trace` writes it also when the build fails, and `profile --trace` what is recorded."""
    pybuild.build(write("FROM busybox\nRUN true\nRUN exit 4\n"), "--trace", tmp_path / "one.json", code=1)
    pybuild("profile", "--trace", tmp_path / "two.json")
    trace = json.loads((tmp_path / "one.json").read_text())
    spans = {event["name"]: event["cat"] for event in trace["traceEvents"] if event["ph"] == "X"}

    assert {"[2/3] RUN true": "done", "[3/3] RUN exit 4": "failed"} == spans
    assert trace == json.loads((tmp_path / "two.json").read_text())
