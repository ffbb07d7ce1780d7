"""What people are told of misses: in the progress of a build, before it, and after it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Pybuild
from tests.support.stores import Write, copy_store

pytestmark = pytest.mark.e2e

DOCKERFILE = """\
FROM busybox
ARG V=1
COPY src /src
RUN echo $V > /made
RUN cat /made
"""
_CLONE = (
    "umask 0022 && cd {project} && git init -q && git add . &&"
    " git -c user.name=x -c user.email=x@example commit -qm x && git clone -q {project} {clone}"
)
FILES = {"src/a.txt": "a", "src/b.txt": "b"}


def whys(err: str) -> list[str]:
    return [line.partition(" why: ")[2] for line in err.splitlines() if " why: " in line]


def test_progress_says_why(pybuild: Pybuild, write: Write) -> None:
    """Each step that runs has a line with its cause; a cached build has none."""
    project = write(DOCKERFILE, FILES)

    first = pybuild.build(project)
    again = pybuild.build(project)
    write(DOCKERFILE, {"src/a.txt": "changed"})
    edited = pybuild.build(project)

    assert whys(first.err) == ["never built"] * 3
    assert whys(again.err) == []
    assert whys(edited.err) == ['file "src/a.txt" changed', *["follows from [2/4] COPY src /src"] * 2]


def test_rawjson_says_why(pybuild: Pybuild, write: Write) -> None:
    """A vertex that runs carries its cause."""
    project = write(DOCKERFILE, FILES)
    pybuild.build(project)

    done = pybuild("build", "--progress", "rawjson", "--build-arg", "V=2", project)

    vertexes = [v for line in done.err.splitlines() for v in json.loads(line).get("vertexes", ())]
    causes = {v["name"]: v["cause"] for v in vertexes if "cause" in v}
    assert causes == {
        "[3/4] RUN echo 2 > /made": 'ARG V changed: "1" → "2"',
        "[4/4] RUN cat /made": "follows from [3/4] RUN echo 2 > /made",
    }


def test_failed_step_says_that_it_failed(pybuild: Pybuild, write: Write) -> None:
    """A step that runs again because it failed before says so, and those above that were never reached."""
    dockerfile = "FROM busybox\nRUN --mount=type=secret,id=ok,required=true true\nRUN echo above\n"
    project = write(dockerfile, {"key": "1"})
    pybuild.build(project, code=1)

    done = pybuild.build(project, "--secret", f"id=ok,src={project / 'key'}")

    assert whys(done.err) == [
        "it failed in the last build",
        "never built: no earlier build came to it",
    ]


def test_secret_with_another_value_is_no_cause(pybuild: Pybuild, write: Write) -> None:
    """What a secret holds is in no key, and nothing runs again for it."""
    project = write("FROM busybox\nRUN --mount=type=secret,id=key cat /run/secrets/key >/dev/null\n")
    (project.parent / "key").write_text("1")
    option = ("--secret", f"id=key,src={project.parent / 'key'}")
    pybuild.build(project, *option)
    (project.parent / "key").write_text("2")

    assert whys(pybuild.build(project, *option).err) == []


def test_plan_says_what_would_run_and_writes_nothing(pybuild: Pybuild, write: Write) -> None:
    """The plan of an edit is what the build then does; records, snapshots and images stay as they are."""
    project = write(DOCKERFILE, FILES)
    pybuild.build(project)
    before = (pybuild("images", "-q").out, pybuild("builds", "ls", "-q").out, snapshots(pybuild))

    plan = pybuild("plan", "--build-arg", "V=2", project)

    assert plan.out.splitlines() == [
        "cached  [1/4] FROM docker.io/library/busybox:latest",
        "cached  [internal] load build context",
        "cached  [2/4] COPY src /src",
        "runs    [3/4] RUN echo 2 > /made",
        '        ARG V changed: "1" → "2"',
        "runs    [4/4] RUN cat /made",
        "        follows from [3/4] RUN echo 2 > /made",
        '        ARG V changed: "1" → "2"',
    ]
    assert before == (pybuild("images", "-q").out, pybuild("builds", "ls", "-q").out, snapshots(pybuild))


def snapshots(pybuild: Pybuild) -> list[str]:
    return sorted(os.listdir(pybuild.root / "snapshots-v1"))


def test_explain_lists_all_causes_and_their_roots(pybuild: Pybuild, write: Write) -> None:
    """By line and by number; the root of a chain with each of its causes."""
    project = write(DOCKERFILE, FILES)
    pybuild.build(project)
    write(DOCKERFILE, {"src/a.txt": "aa", "src/b.txt": "bb"})
    pybuild.build(project, "--build-arg", "V=2")

    report: dict[str, Any] = json.loads(pybuild("explain", "--json", "5").out)

    (step,) = report["steps"]
    assert [cause["text"] for cause in step["causes"]] == [
        "follows from [2/4] COPY src /src",
        'ARG V changed: "1" → "2"',
    ]
    (root,) = step["roots"]
    assert root["name"] == "[2/4] COPY src /src"
    assert [cause["text"] for cause in root["causes"]] == [
        'file "src/a.txt" changed',
        'file "src/b.txt" changed',
    ]
    assert 'file "src/b.txt" changed' in pybuild("explain", "2/4").out
    assert "nothing changed" in pybuild("explain", "--against", "latest", "2/4").out
    assert "step-not-found" in pybuild("explain", "99", code=1).err


def test_context_modes_of_git(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Checkouts under any umask give the same keys and layers, by the option or by the project's settings."""
    project = write(DOCKERFILE, FILES)
    option = pybuild.build(project, "--context-modes", "git", "-t", "modes")
    (project / "pybuild.toml").write_text('context-modes = "git"\n')
    checkouts = [checkout(project, tmp_path / f"u{umask}", umask) for umask in ("0002", "0022", "0077")]

    built = [pybuild.build(folder) for folder in checkouts]

    assert {outcome.image for outcome in built} == {option.image}
    assert [whys(outcome.err) for outcome in built] == [[], [], []]
    assert pybuild.run("modes", "stat", "-c", "%a", "/src", "/src/a.txt").split() == ["755", "644"]


def checkout(project: Path, folder: Path, umask: str) -> Path:
    command = f"umask {umask} && mkdir {folder} && cd {project} && cp -r --no-preserve=mode . {folder}"
    subprocess.run(["sh", "-c", command], check=True)
    return folder


def test_two_stores_agree(base_store: Path, pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """With SOURCE_DATE_EPOCH, a clone under another umask gives the same image on a store of its own."""
    project = write(DOCKERFILE, FILES)
    clone = checkout(project, tmp_path / "clone", "0077")
    other = Pybuild(copy_store(base_store, tmp_path / "other"), pybuild.home)
    options = ("--context-modes", "git", "--rewrite-timestamp", "--build-arg", "SOURCE_DATE_EPOCH=1")

    here, there = pybuild.build(project, *options), other.build(clone, *options)

    assert here.image == there.image


def test_settings_that_are_not_known(pybuild: Pybuild, write: Write) -> None:
    """A misspelt setting is an error, not nothing."""
    project = write(DOCKERFILE, {**FILES, "pybuild.toml": 'context-mode = "git"\n'})

    assert 'did you mean "context-modes"?' in pybuild.build(project, code=1).err


def test_the_same_files_elsewhere_hit(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """In another folder, for another user, at another time, from a tar or a clone: the keys are the same."""
    project = write(DOCKERFILE, FILES)
    first = pybuild.build(project)
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    for path in copy.rglob("*"):
        os.chown(path, 1234, 1234)
        os.utime(path, (1, 1))
    archive = subprocess.run(["tar", "-C", project, "-c", "."], capture_output=True, check=True).stdout

    elsewhere = pybuild.build(copy)
    unpacked, clone = tmp_path / "unpacked", tmp_path / "clone"
    unpacked.mkdir()
    subprocess.run(["tar", "-C", unpacked, "-x", "--no-same-owner"], input=archive, check=True)

    assert (first.image, []) == (elsewhere.image, whys(elsewhere.err))
    assert whys(pybuild.build(unpacked).err) == []
    subprocess.run(["sh", "-c", _CLONE.format(project=project, clone=clone)], check=True, capture_output=True)
    assert whys(pybuild.build(clone).err) == []


def test_context_ls(pybuild: Pybuild, write: Write) -> None:
    """What is in, what is out and by which rule, and the largest folders."""
    project = write(DOCKERFILE, {**FILES, ".dockerignore": "# big\nout\n*.md\n!keep.md\n", "out/x": "12345"})
    write(DOCKERFILE, {"keep.md": "k", "drop.md": "d"})

    lines = pybuild("context", "ls", project).out.splitlines()

    assert 'out        5B  out/  "out", line 2 of .dockerignore' in lines
    assert 'out        1B  drop.md  "*.md", line 3 of .dockerignore' in lines
    assert "in         1B  keep.md" in lines
    assert "out: 2 files, 6B" in lines
    assert lines[-1] == "           2B  src/"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("out/x", 'out/x is out: "out", line 2 of .dockerignore'),
        ("keep.md", 'keep.md is in: "!keep.md", line 4 of .dockerignore'),
        ("src/a.txt", "src/a.txt is in: no ignore rule applies to it"),
    ],
)
def test_context_ls_of_one_path(pybuild: Pybuild, write: Write, path: str, said: str) -> None:
    """The rule that decides, whether it keeps out or lets in."""
    files = {**FILES, ".dockerignore": "# big\nout\n*.md\n!keep.md\n", "out/x": "12345", "keep.md": "k"}
    project = write(DOCKERFILE, files)

    assert pybuild("context", "ls", "--why", path, project).out.strip() == said
    assert "not-in-context" in pybuild("context", "ls", "--why", "nope", project, code=1).err
