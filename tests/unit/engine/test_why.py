"""Causes of misses, as far as they need no build: what is compared with what, and how it is said."""

from __future__ import annotations

import re
from typing import Any

import pytest

from builder.core.canonical import Plain, plain
from builder.core.digest import Digest
from builder.engine.history.record import BuildRecord, StepRecord
from builder.engine.why.cause import Cause, summary
from builder.engine.why.operation import operation_causes
from builder.engine.why.past import Past, earlier_builds, paired
from builder.llb.ops import ExecOp, FileOp, MakeDirectoryAction, MakeFileAction, SecretMount
from builder.solver.inputs import KeyInputs, KeyPart

RUN: dict[str, Plain] = {"is": "ExecOp", "args": ["/bin/sh", "-c", "make"], "env": [["A", "1"]]}


def inputs(fields: Plain, name: str = "[2/2] RUN make") -> KeyInputs:
    return KeyInputs(name=name, op=Digest.of(repr((fields, name)).encode()), plain=fields)


def causes(old: Plain, new: Plain, *names: str) -> list[str]:
    before, after = names or ("[2/2] RUN make", "[2/2] RUN make")
    return [cause.text for cause in operation_causes(inputs(old, before), inputs(new, after))]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"platform": "linux/arm64"}, ["the platform changed: any → linux/arm64"]),
        ({"security": "insecure"}, ["--security changed: sandbox → insecure"]),
        ({"cwd": "/app", "user": "app"}, ["WORKDIR changed: / → /app", "USER changed: root → app"]),
        ({"env": [["A", "1"], ["B", "2"]]}, ['ENV B is new: "2"']),
        ({"env": [["A", "1"], ["B", "2"]], "arguments": ["B"]}, ['ARG B is new: "2"']),
        ({"env": []}, ['ENV A is gone: it was "1"']),
        ({"env": [["A", {"hidden": "ab"}]]}, ["ENV A changed (its value is not shown)"]),
        ({"env": [["A", "x" * 100]]}, [f'ENV A changed: "1" → "{"x" * 79}…"']),
        ({"args": ["make"]}, ["the instruction changed"]),
        ({"args": ["/bin/sh", "-c", "make\nall"]}, ['line 2 of the command changed: "" → "all"']),
        ({"shm_size": 64}, ["--shm-size changed: as usual → 64"]),
        ({"other_mounts": [{"target": "/c", "mode": 7}]}, ['--mount of "/c" is new']),
        ({"unheard-of": [1]}, ['"unheard-of" of the step changed: none → [1]']),
        ({"args": 7}, ["the instruction changed"]),
        ({"env": 7}, ['ENV A is gone: it was "1"']),
    ],
)
def test_operation(changes: dict[str, Plain], expected: list[str]) -> None:
    """A cause for each field that differs; descriptions from elsewhere may hold anything."""
    assert expected == causes(RUN, {**RUN, **changes})


def test_order_of_variables() -> None:
    """It counts, and is said if nothing else is another."""
    old: list[Plain] = [["A", "1"], ["B", "2"]]

    assert causes({**RUN, "env": old}, {**RUN, "env": old[::-1]}) == ["the order of the variables changed"]


def test_mount_that_changed() -> None:
    """Its fields are named."""
    old: dict[str, Plain] = {**RUN, "other_mounts": [{"target": "/c", "is_read_only": True}]}
    new: dict[str, Plain] = {**RUN, "other_mounts": [{"target": "/c", "uid": 7}]}

    assert causes(old, new) == ['--mount of "/c" changed: is read only, uid']


def test_files_of_an_instruction() -> None:
    """A here-document, and a destination that moved although the text is the same."""
    here = [FileOp(actions=(MakeFileAction(destination="/x", data=data),), base=-1) for data in (b"1", b"2")]
    moved = [FileOp(actions=(MakeDirectoryAction(path=path),)) for path in ("/a", "/b")]

    assert causes(plain(here[0]), plain(here[1])) == ["the here-document changed"]
    assert causes(plain(moved[0]), plain(moved[1])) == ["the path of what it writes changed: /a → /b"]


def test_another_kind_of_step() -> None:
    """COPY where RUN was."""
    copy: dict[str, Plain] = {"is": "FileOp", "actions": []}

    assert causes(RUN, copy, "[2/2] RUN make", "[2/2] COPY a b") == [
        'the instruction changed: "RUN make" → "COPY a b"'
    ]


def test_plain_has_what_counts_and_no_more() -> None:
    """Defaults and what is no identity are left out; data is a digest."""
    op = ExecOp(args=("a",), unkeyed_env=("HTTP_PROXY=x",), other_mounts=(SecretMount(id="key"),))

    assert plain(op) == {
        "is": "ExecOp",
        "args": ["a"],
        "other_mounts": [{"is": "SecretMount", "id": "key"}],
    }
    assert plain(b"text") == {"digest": str(Digest.of(b"text")), "size": 4}


def test_inputs_come_back() -> None:
    """As they were; and anything else is None."""
    digest = str(Digest.of(b""))
    part = KeyPart(by="content", digest=digest, step="[1/2] FROM x", part="/\udcff", source={"image": "x"})
    found = KeyInputs(name='[2/2] RUN echo "é"', op=Digest.of(b"op"), plain=RUN, parts=(part,))
    strange: list[bytes] = [
        b"", b"op sha256:00", b"[]", b"{}", b"\xff", b"[" * 100_000,
        found.encode().replace(digest.encode(), b"../etc"),
        found.encode().replace(b'"[1/2] FROM x"', b"[]"),
        found.encode().replace(b"[1/2] FROM x", b"\\ud800"),
    ]  # fmt: skip

    assert KeyInputs.decode(found.encode()) == found
    assert [KeyInputs.decode(data) for data in strange] == [None] * len(strange)


# -- which step was which ---------------------------------------------------------------------------------


def steps(*names: str) -> list[StepRecord]:
    return [StepRecord(digest=name, name=name, key=f"key of {name}") for name in names]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1/2 A, 2/2 B", "1/2 A, 2/2 B", "1/2 A = 1/2 A, 2/2 B = 2/2 B"),
        ("1/2 A, 2/2 B", "1/3 A, 2/3 N, 3/3 B", "1/3 A = 1/2 A, 3/3 B = 2/2 B"),
        ("1/3 A, 2/3 X, 3/3 B", "1/2 A, 2/2 B", "1/2 A = 1/3 A, 2/2 B = 3/3 B"),
        ("1/2 RUN a, 2/2 B", "1/2 RUN b, 2/2 B", "1/2 RUN b = 1/2 RUN a, 2/2 B = 2/2 B"),
        ("1/1 RUN a", "1/1 COPY a b", ""),
        ("one 1/1 A, two 1/1 A", "1/1 A", "1/1 A = one 1/1 A"),
        ("", "1/1 A", ""),
    ],
    ids=["the same", "inserted", "taken out", "edited", "another instruction", "of two stages", "none"],
)
def test_pairs(old: str, new: str, expected: str) -> None:
    """Steps keep their counterpart when others come, go or change."""
    found = paired(steps(*named(old)), named(new))

    assert ", ".join(f"{bare(name)} = {bare(step.name)}" for name, step in found.items()) == expected


def named(text: str) -> list[str]:
    """``[1/2] A`` for ``1/2 A``."""
    return [re.sub(r"^((?:[a-z]+ )?\d/\d)", r"[\1]", name) for name in text.split(", ") if name]


def bare(name: str) -> str:
    return name.replace("[", "").replace("]", "")


def record(id: str, context: str = "/here", *names: str, **more: Any) -> BuildRecord:
    return BuildRecord(id=id, started_at=0.0, context=context, steps=tuple(steps(*names)), **more)


def test_counterparts_look_past_a_build_that_did_not_come_so_far() -> None:
    """A step that the last build did not reach is compared with what it was before that."""
    earlier = record("1", "/here", "[1/1] A")
    unreached = StepRecord(digest="a", name="[1/1] A", status="unreached")
    past = Past([BuildRecord(id="2", started_at=2.0, steps=(unreached,)), earlier], ["[1/1] A"])

    found = past.counterpart("[1/1] A")

    assert found is not None
    assert found.key == "key of [1/1] A"


def test_earlier_builds_are_of_the_project() -> None:
    """The latest of the same folder, Dockerfile and target."""
    records = [record("3", "/other", "A"), record("2", "/here", "B"), record("1", "/here", "A")]

    found = earlier_builds(records, ("/here", None, None), ["A"])

    assert [build.id for build in found] == ["2", "1"]


def test_without_one_the_most_similar_build() -> None:
    """If it has half of the steps; what a project has nothing in common with explains nothing."""
    records = [record("3", "/x", "A"), record("2", "/y", "A", "B"), record("1", "/z", "C")]

    assert [build.id for build in earlier_builds(records, ("/here", None, None), ["A", "B"])] == ["2"]
    assert earlier_builds(records, ("/here", None, None), ["D", "E"]) == []


def test_a_base_in_common_is_no_earlier_build() -> None:
    """Another Dockerfile on the same base has nothing to say of what this one adds."""
    base = "[1/2] FROM docker.io/library/busybox:latest"
    records = [record("1", "/there", base, "[2/2] RUN make")]

    assert earlier_builds(records, ("/here", None, None), [base, "[2/2] RUN test"]) == []


def test_summary() -> None:
    """One line: the first, and how many more."""
    first, second = Cause(kind="new", text="one"), Cause(kind="new", text="two")

    assert [summary([first]), summary([first, second])] == ["one", "one (and 1 more)"]
