"""Records of builds: what events make of them, how the store keeps them, and how they are found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.core.errors import Cancelled
from builder.core.events import (
    NoProgress,
    StepFinished,
    StepQueued,
    StepStarted,
    StepUsage,
)
from builder.core.location import Location
from builder.engine.build import BuildRequest, BuildSource
from builder.engine.history.choice import StepNotFound, find_steps
from builder.engine.history.collect import StepCollector, recorded
from builder.engine.history.record import BuildRecord, StepRecord, Usage
from builder.engine.history.shelf import BuildAmbiguous, BuildNotFound, BuildShelf
from builder.engine.recorder import Recorder, Seen
from builder.store.database import Database
from builder.store.state import StateDir


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    with StateDir.open(tmp_path / "root") as opened:
        yield opened


@pytest.fixture
def shelf(state: StateDir) -> Iterator[BuildShelf]:
    with Database.open(state.database) as database:
        yield BuildShelf(database, state)


def _kept(shelf: BuildShelf, *ids: str) -> None:
    for number, name in enumerate(ids):
        shelf.put(BuildRecord(id=name, started_at=float(number)))


def test_record_survives_the_store(shelf: BuildShelf) -> None:
    """What is put on the shelf is found as it was, bytes that are no UTF-8 included."""
    step = StepRecord(
        digest="sha256:1",
        name="[1/1] RUN \udcff",
        location=Location(2, 1, 3, 4),
        inputs=("sha256:0",),
        text="RUN \udcff\\\n b",
        status="failed",
        key="sha256:k",
        result="snap",
        started_at=2.5,
        seconds=0.5,
        error="no",
        cause="never built",
        usage=Usage(cpu_s=0.25, peak_memory=7),
    )
    record = BuildRecord(
        id="0a",
        started_at=1.5,
        seconds=2.0,
        context="/c",
        file="/c/D",
        target="t",
        arguments=(("--build-arg", "A=1"),),
        outcome="failed",
        error_code="step-failed",
        error="it did",
        image="sha256:i",
        tags=("x:latest",),
        seen=(Seen("file", "/c/D", "1 2"),),
        dockerfile="FROM scratch\nRUN \udcff\\\n b\n",
        steps=(step, StepRecord(digest="sha256:2", name="plain")),
    )
    shelf.put(record)

    assert [record] == shelf.all()


def test_half_a_character_in_a_message(shelf: BuildShelf) -> None:
    """JSON of others can have it, and errors repeat it; the build is on record all the same."""
    shelf.put(BuildRecord(id="a", started_at=1.0, dockerfile="# \ud800 and \udcff"))

    assert shelf.find("a").dockerfile.startswith("# ")


def test_records_of_earlier_versions_are_read() -> None:
    """A record without steps is one of a build that was done."""
    record = BuildRecord.decode("0a", 1.0, b'{"image":"sha256:i","tags":["x"],"seen":[["a","b","c"]]}')

    assert ("done", "sha256:i", ("x",), (Seen("a", "b", "c"),)) == (
        record.outcome,
        record.image,
        record.tags,
        record.seen,
    )


def test_builds_are_found_by_prefix_and_by_age(shelf: BuildShelf) -> None:
    """``latest`` is the newest, ``latest~1`` the one before, and the beginning of an id is enough."""
    _kept(shelf, "aa11", "ab22", "cc33")

    found = [shelf.find(name).id for name in ("latest", "latest~0", "latest~2", "c", "ab", "aa11")]
    assert ["cc33", "cc33", "aa11", "cc33", "ab22", "aa11"] == found


@pytest.mark.parametrize("name", ["latest~3", "d", "aa111", "", "latest~", "latest~-1"])
def test_a_name_that_leads_nowhere(shelf: BuildShelf, name: str) -> None:
    """No build has it."""
    _kept(shelf, "aa11", "ab22", "cc33")

    with pytest.raises(BuildNotFound):
        shelf.find(name)


def test_a_beginning_of_several_ids(shelf: BuildShelf) -> None:
    """It is refused."""
    _kept(shelf, "aa11", "ab22")

    with pytest.raises(BuildAmbiguous):
        shelf.find("a")


def test_oldest_records_go_with_their_logs(shelf: BuildShelf) -> None:
    """The shelf has room for 200 builds; logs live as long as their record."""
    shelf.logs("0000").mkdir()
    shelf.logs("0001").mkdir()
    _kept(shelf, *(f"{number:04}" for number in range(201)))

    assert 200 == len(shelf.all())
    assert [False, True] == [shelf.logs(name).exists() for name in ("0000", "0001")]


def test_large_records_make_room(shelf: BuildShelf) -> None:
    """All together have 32 MiB; the latest stays even if it has more."""
    for number, size in enumerate((1, 20 << 20, 13 << 20, 40 << 20)):
        shelf.put(BuildRecord(id=str(number), started_at=float(number), dockerfile="x" * size))
        if number == 2:
            assert ["2"] == [record.id for record in shelf.all()]

    assert ["3"] == [record.id for record in shelf.all()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", ["make"]),
        ("2/3", ["make", "other"]),
        ("build 2/3", ["make"]),
        ("[build 2/3]", ["make"]),
        ("build/2", ["make"]),
        ("linux/arm64 build 2/3", ["other"]),
        ("linux/arm64/build/2", ["other"]),
        ("run MAKE", ["make", "other"]),
        ("12/31", ["padded"]),
        ("3/31", ["last"]),
    ],
)
def test_steps_are_found(text: str, expected: list[str]) -> None:
    """By line, number, stage and number, or a part of the name."""
    names = {
        "base": "[build 1/3] FROM busybox",
        "make": "[build 2/3] RUN make",
        "other": "[linux/arm64 build 2/3] RUN make",
        "padded": "[12/31] RUN true",
        "last": "[ 3/31] RUN false",
    }
    steps = tuple(
        StepRecord(digest=digest, name=name, location=Location(4, 1, 5, 2) if digest == "make" else None)
        for digest, name in names.items()
    )

    assert expected == [
        step.digest for step in find_steps(BuildRecord(id="a", started_at=0, steps=steps), text)
    ]


@pytest.mark.parametrize("text", ["9", "3/3", "deploy 2/3", "", "RUN nothing"])
def test_a_step_that_is_not_there(text: str) -> None:
    """It is refused by what it was called."""
    steps = (StepRecord(digest="make", name="[build 2/3] RUN make"),)

    with pytest.raises(StepNotFound, match=f'no step "{text}"'):
        find_steps(BuildRecord(id="a", started_at=0, steps=steps), text)


def test_removed_build_is_gone_with_its_logs(shelf: BuildShelf) -> None:
    """And the others stay."""
    _kept(shelf, "aa11", "ab22")
    shelf.logs("aa11").mkdir()
    shelf.remove("aa11")

    assert ["ab22"] == [record.id for record in shelf.all()]
    assert not shelf.logs("aa11").exists()


def test_events_become_steps() -> None:
    """Each step has its last state; one that never started was not reached."""
    collector = StepCollector(NoProgress())
    names = ["ran", "hit", "skipped", "bad", "stopped", "running", "waiting"]
    for name in names:
        collector.emit(StepQueued(name, f"[{name}]", ("ran", "ran"), None))
    for name in ("ran", "bad", "running"):
        collector.emit(StepStarted(name, 1.0))
    collector.emit(StepUsage("ran", 0.5, 10))
    collector.note_result("ran", "snap")
    collector.emit(StepFinished("ran", 3.0, False, None, seconds=2.0, key="k"))
    collector.emit(StepFinished("hit", 3.0, True, None))
    collector.emit(StepFinished("skipped", 3.0, True, None, is_unneeded=True))
    collector.emit(StepFinished("bad", 3.0, False, "broke"))
    collector.emit(StepFinished("stopped", 3.0, False, "broke", True))
    steps = collector.steps()

    statuses = ["done", "cached", "unneeded", "failed", "cancelled", "cancelled", "unreached"]
    assert statuses == [step.status for step in steps]
    assert names == [step.digest for step in steps]
    assert steps[0] == StepRecord(
        digest="ran",
        name="[ran]",
        inputs=("ran",),
        status="done",
        key="k",
        result="snap",
        started_at=1.0,
        seconds=2.0,
        usage=Usage(cpu_s=0.5, peak_memory=10),
    )


def test_values_of_secrets_are_not_recorded(shelf: BuildShelf) -> None:
    """Of an argument or a variable whose name promises a secret the record has the name."""
    recorder = Recorder({"NPM_TOKEN": "hunter2", "MODE": "fast"})
    arguments = {name: str(recorder.environment(name)) for name in ("NPM_TOKEN", "MODE")}
    request = BuildRequest(context=".", build_args=arguments)
    with recorded(shelf, "aa", request, recorder, BuildSource(), NoProgress()):
        pass
    (record,) = shelf.all()

    assert (("--build-arg", "NPM_TOKEN"), ("--build-arg", "MODE=fast")) == record.arguments
    assert b"hunter2" not in record.encode()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Cancelled()])
def test_interrupted_builds_are_recorded(shelf: BuildShelf, error: BaseException) -> None:
    """A build that somebody stopped was cancelled, not failed."""
    with (
        pytest.raises(type(error)),
        recorded(shelf, "aa", BuildRequest(context="."), Recorder({}), BuildSource(), NoProgress()),
    ):
        raise error

    assert ["cancelled"] == [record.outcome for record in shelf.all()]
