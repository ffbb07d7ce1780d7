"""Causes that take more than one build to come about: bases, stages, sources from elsewhere, lost records."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import write_project
from tests.support.projects_in_process import Builder, open_builder
from tests.support.stores import base_store, copy_store
from tests.support.web import Reply, WebServer

__all__ = ["base_store"]

pytestmark = pytest.mark.sandbox

STAGES = """\
FROM busybox AS build
COPY src /src
RUN cat /src/* > /all && date +%s%N > /other
FROM busybox
COPY --from=build /all /all
RUN cat /all
"""
COPIED, MADE, TAKEN, USED = "build 2/3 COPY", "build 3/3 RUN", "stage-1 2/3 COPY", "stage-1 3/3 RUN"


@pytest.fixture(scope="module")
def builder(base_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    root = copy_store(base_store, tmp_path_factory.mktemp("chains") / "store")
    with open_builder(root) as builder:
        yield builder
    shutil.rmtree(root)


def lose_record(builder: Builder, folder: Path, step: str) -> None:
    """As pruning does."""
    record = next(builder.shelf.latest_first())
    assert record.context == str(folder)
    key = next(each.key for each in record.steps if step in each.name)
    assert key is not None
    assert builder.engine.database.run("DELETE FROM records WHERE key = ?", (key.removeprefix("sha256:"),))


# -- bases ----------------------------------------------------------------------------------------------


def use_base(builder: Builder, tmp_path: Path, base: str, tag: str) -> Path:
    builder.build(write_project(tmp_path / "base", base), tags=[tag])
    return write_project(tmp_path / "project", f"FROM {tag}\nCOPY a /a\nRUN cat /a\n", {"a": tag})


def test_base_with_other_layers(builder: Builder, tmp_path: Path) -> None:
    """A tag that leads to other layers runs everything above it, and is named with both digests."""
    project = use_base(builder, tmp_path, "FROM busybox\nCOPY <<E /x\n1\nE\n", "moved:1")
    builder.build(project)
    builder.build(write_project(tmp_path / "base", "FROM busybox\nCOPY <<E /x\n2\nE\n"), tags=["moved:1"])

    ran = builder.build(project).ran

    digest = "sha256:[0-9a-f]{12}"
    expected = f"the base image docker.io/library/moved:1 changed: {digest} → {digest}"
    assert re.fullmatch(expected, ran["2/3 COPY"])
    assert ran["3/3 RUN"] == "follows from [2/3] COPY a /a"


def test_base_with_the_same_layers_and_another_digest(builder: Builder, tmp_path: Path) -> None:
    """An image of the same layers hits: its labels are no part of what steps do."""
    project = use_base(builder, tmp_path, "FROM busybox\nCOPY <<E /x\n3\nE\n", "again:1")
    first = builder.build(project)
    base = "FROM busybox\nCOPY <<E /x\n3\nE\nLABEL built=again\n"
    builder.build(write_project(tmp_path / "base", base), tags=["again:1"])

    second = builder.build(project)

    assert second.ran == {}
    assert first.outcome.image != second.outcome.image, "the label is inherited"


def test_base_with_another_environment(builder: Builder, tmp_path: Path) -> None:
    """What a base image says of the environment counts where it is seen: in RUN."""
    project = use_base(builder, tmp_path, "FROM busybox\nENV BASE=1\nCOPY <<E /x\n4\nE\n", "env:1")
    builder.build(project)
    base = "FROM busybox\nENV BASE=2\nCOPY <<E /x\n4\nE\n"
    builder.build(write_project(tmp_path / "base", base), tags=["env:1"])

    assert builder.build(project).ran == {"3/3 RUN": 'ENV BASE changed: "1" → "2"'}


def test_another_base(builder: Builder, tmp_path: Path) -> None:
    """FROM of another image is said by both names."""
    project = use_base(builder, tmp_path, "FROM busybox\nCOPY <<E /x\n5\nE\n", "other:1")
    builder.build(project)
    write_project(project, "FROM busybox\nCOPY a /a\nRUN cat /a\n")

    assert builder.build(project).ran == {
        "2/3 COPY": "the base image changed: docker.io/library/other:1 → docker.io/library/busybox:latest",
        "3/3 RUN": "follows from [2/3] COPY a /a",
    }


def test_scratch(builder: Builder, tmp_path: Path) -> None:
    """Nothing in the place of a base is a base, too."""
    project = write_project(tmp_path / "scratch", "FROM busybox\nCOPY a /a\nCOPY a /b\n", {"a": "scratch"})
    builder.build(project)
    write_project(project, "FROM scratch\nCOPY a /a\nCOPY a /b\n")

    assert builder.build(project).ran == {
        "1/2 COPY": "the base image changed: docker.io/library/busybox:latest → scratch",
        "2/2 COPY": "follows from [1/2] COPY a /a",
    }


# -- stages ---------------------------------------------------------------------------------------------


def test_stage_that_runs_again_and_makes_the_same(builder: Builder, tmp_path: Path) -> None:
    """COPY --from of a file that is the same hits, and so does what is above it."""
    project = write_project(tmp_path / "same", STAGES, {"src/a": "same"})
    builder.build(project)

    ran = builder.build(project, no_cache_filter=["build"]).ran

    assert ran == {COPIED: "--no-cache-filter build", MADE: "--no-cache-filter build"}


def test_stage_whose_record_is_gone_is_not_needed(builder: Builder, tmp_path: Path) -> None:
    """What a stage made once is remembered: with its records pruned, nothing above it runs, nor it."""
    project = write_project(tmp_path / "gone", STAGES, {"src/a": "gone"})
    builder.build(project)
    lose_record(builder, project, "[build 2/3]")
    lose_record(builder, project, "[build 3/3]")

    assert builder.build(project).ran == {}


def test_stage_that_makes_something_else(builder: Builder, tmp_path: Path) -> None:
    """The root is the step of the other stage that read the edit."""
    project = write_project(tmp_path / "else", STAGES, {"src/a": "else"})
    builder.build(project)
    write_project(project, STAGES, {"src/a": "edited"})

    foreseen = builder.plan(project)
    ran = builder.build(project).ran

    assert ran == {
        COPIED: 'file "src/a" changed',
        MADE: "follows from [build 2/3] COPY src /src",
        TAKEN: 'file "all" changed, which follows from [build 2/3] COPY src /src',
        USED: "follows from [stage-1 2/3] COPY --from=build /all /all",
    }
    depends = "depends on what [build 3/3] RUN cat /src/* > /all && date +%s%N > /other makes"
    assert [(step.prediction, step.causes[0].text) for step in foreseen[-2:]] == [("unknown", depends)] * 2


def test_linked_copy(builder: Builder, tmp_path: Path) -> None:
    """A step over a COPY --link follows from it, although a step without a name is between them."""
    text = "FROM busybox\nRUN echo linked\nCOPY --link a b /to/\nRUN cat /to/a\n"
    project = write_project(tmp_path / "linked", text, {"a": "l1", "b": "b"})
    builder.build(project)
    write_project(project, text, {"a": "l2"})

    assert builder.build(project).ran == {
        "3/4 COPY": 'file "a" changed',
        "4/4 RUN": "follows from [3/4] COPY --link a b /to/",
    }


# -- records --------------------------------------------------------------------------------------------


def test_record_that_was_pruned(builder: Builder, tmp_path: Path) -> None:
    """A step whose record is gone runs, and says so; what is above it is still cached."""
    text = "FROM busybox\nRUN echo pruned\nRUN echo above\n"
    project = write_project(tmp_path / "pruned", text)
    builder.build(project)
    lose_record(builder, project, "echo above")

    assert builder.build(project).ran == {"3/3 RUN": "its record was pruned"}


def test_result_that_was_pruned(builder: Builder, tmp_path: Path) -> None:
    """A record whose snapshot is gone is as good as none."""
    project = write_project(tmp_path / "lost", "FROM busybox\nRUN echo lost\n")
    result = builder.build(project).record.steps[-1].result
    assert result
    shutil.rmtree(builder.engine.state.snapshots / result)

    assert builder.build(project).ran == {"2/2 RUN": "its result was pruned"}


def test_edit_that_is_taken_back(builder: Builder, tmp_path: Path) -> None:
    """What was built before hits; an edit after that is compared with the nearest, not with the latest."""
    text = "FROM busybox\nCOPY a /a\nRUN cat /a && echo back\n"
    project = write_project(tmp_path / "back", text, {"a": "b1"})
    builder.build(project)
    builder.build(write_project(project, text, {"a": "b2"}))

    taken_back = builder.build(write_project(project, text, {"a": "b1"}))
    edited = builder.build(write_project(project, text.replace("echo back", "echo again")))

    assert taken_back.ran == {}
    command = '"RUN cat /a && echo back" → "RUN cat /a && echo again"'
    assert edited.ran == {"3/3 RUN": f"the instruction changed: {command}"}


def test_first_build_of_a_copy_elsewhere(builder: Builder, tmp_path: Path) -> None:
    """A checkout in another folder is compared with the build that it has most in common with."""
    text = "FROM busybox\nCOPY a /a\nRUN cat /a && echo elsewhere\n"
    builder.build(write_project(tmp_path / "here", text, {"a": "e1"}))

    ran = builder.build(write_project(tmp_path / "there", text, {"a": "e2"})).ran

    assert ran == {"2/3 COPY": 'file "a" changed', "3/3 RUN": "follows from [2/3] COPY a /a"}


# -- sources --------------------------------------------------------------------------------------------


def test_file_of_the_web(builder: Builder, tmp_path: Path) -> None:
    """An address that leads to another file is the cause, named with both digests."""

    def build_anew(folder: Path) -> dict[str, str]:
        with open_builder(builder.engine.config.root) as another:  # one fetches an address once
            return another.build(folder).ran

    with WebServer.open() as server:
        server.answers["/x"] = Reply(body=b"1")
        project = write_project(tmp_path / "web", f"FROM busybox\nADD {server.url('/x')} /x\nRUN cat /x\n")
        build_anew(project)
        unchanged = build_anew(project)
        server.answers["/x"] = Reply(body=b"2")
        ran = build_anew(project)

    assert unchanged == {}
    assert "leads to changed: sha256:" in ran["internal fetch"]
    assert ran["2/3 ADD"].startswith('file "x" changed')
    assert ran["3/3 RUN"].startswith("follows from [2/3] ADD")


def test_link(builder: Builder, tmp_path: Path) -> None:
    """What a link leads to is content."""
    text = "FROM busybox\nCOPY links /links\n"
    project = write_project(tmp_path / "link", text, {"links/file": "x"})
    (project / "links/l").symlink_to("a")
    builder.build(project)
    (project / "links/l").unlink()
    (project / "links/l").symlink_to("b")

    assert builder.build(project).ran == {"2/2 COPY": 'what the link "links/l" leads to changed: a → b'}


@pytest.mark.parametrize(
    ("name", "copy", "edited", "cause"),
    [
        ("wildcard", "COPY w/*.txt /w/", "w/a.txt", 'file "w/a.txt" changed'),
        ("wildcard that misses", "COPY w/*.txt /w/", "w/b.md", None),
        ("excluded", "COPY --exclude=*.md w /w/", "w/b.md", None),
        ("not excluded", "COPY --exclude=*.md w /w/", "w/a.txt", 'file "w/a.txt" changed'),
        ("parents", "COPY --parents w/a.txt /p/", "w/a.txt", 'file "w/a.txt" changed'),
        ("nothing that a wildcard finds", "COPY w/*.none w/a.txt /w/", "w/a.txt", 'file "w/a.txt" changed'),
        ("several", "COPY w/a.txt w/b.md /s/", "w/b.md", 'file "w/b.md" changed'),
        ("chmod", "COPY --chmod=600 w/a.txt /c/", "w/a.txt", 'file "w/a.txt" changed'),
    ],
)
def test_sources(
    builder: Builder, tmp_path: Path, name: str, copy: str, edited: str, cause: str | None
) -> None:
    """Only what a COPY reads counts, and it is called as in the context."""
    text = f"FROM busybox\n{copy}\n"
    project = write_project(tmp_path / "sources", text, {"w/a.txt": f"{name} a", "w/b.md": f"{name} b"})
    builder.build(project)
    write_project(project, text, {edited: f"{name} edited"})

    assert builder.build(project).ran == ({} if cause is None else {"2/2 COPY": cause})


def test_owners_count_between_stages(builder: Builder, tmp_path: Path) -> None:
    """COPY --from keeps owners, so that another owner is another content."""
    text = "FROM busybox AS a\nRUN echo o > /o && chown 7:7 /o\nFROM busybox\nCOPY --from=a /o /o\n"
    project = write_project(tmp_path / "owners", text)
    builder.build(project)
    write_project(project, text.replace("7:7", "8:8"))

    ran = builder.build(project).ran

    assert ran["stage-1 2/2 COPY"] == 'the owner of "o" changed: 7:7 → 8:8'


def test_platform_of_files(builder: Builder, tmp_path: Path) -> None:
    """What is copied onto nothing is the same on every platform."""
    project = write_project(tmp_path / "platform", "FROM scratch\nCOPY a /a\n", {"a": "any"})
    builder.build(project, platform=["linux/amd64"])

    assert builder.build(project, platform=["linux/arm64"]).ran == {}


def test_what_was_replaced_by_an_older_format(builder: Builder, tmp_path: Path) -> None:
    """Records without inputs that can be read still say which step is the first that is another."""
    text = "FROM busybox\nCOPY a /a\nRUN cat /a && echo older\n"
    project = write_project(tmp_path / "older", text, {"a": "o1"})
    builder.build(project)
    builder.engine.database.run("UPDATE records SET inputs = ?", (b"op sha256:00",))
    write_project(project, text, {"a": "o2"})

    assert builder.build(project).ran == {
        "2/3 COPY": "changed, and what it was has been pruned",
        "3/3 RUN": "follows from [2/3] COPY a /a",
    }


def test_values_with_a_secrets_name_are_not_kept(builder: Builder, tmp_path: Path) -> None:
    """The plain inputs of a key hold a digest in their place, and names of steps do not show them."""
    text = (
        "FROM busybox\nARG API_TOKEN\nENV OPEN=shown\nRUN echo $API_TOKEN $OPEN >/dev/null\n"
        "COPY <<E /x\n$API_TOKEN\nE\nRUN cat /x >/dev/null\n"
    )
    builder.build(write_project(tmp_path / "secrets", text), build_args=["API_TOKEN=hunter2"])

    kept = b"".join(
        bytes(str(row[0]), "utf-8") for row in builder.engine.database.rows("SELECT inputs FROM records")
    )

    assert b"echo **** shown" in kept
    assert b"hunter2" not in kept


def test_file_times_and_inodes_count_nowhere(builder: Builder, tmp_path: Path) -> None:
    """A hard link of a file is that file."""
    text = "FROM busybox\nCOPY h /h/\n"
    project = write_project(tmp_path / "hard", text, {"h/a": "x", "h/b": "x"})
    builder.build(project)
    (project / "h/b").unlink()
    os.link(project / "h/a", project / "h/b")

    assert builder.build(project).ran == {}
