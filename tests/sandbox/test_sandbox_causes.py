"""What runs again after an edit, and why: one row for each kind of edit, over one project."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from builder.engine.why.report import explain
from tests.support.cli import write_project
from tests.support.projects_in_process import Builder, Built, label, open_builder
from tests.support.stores import base_store, copy_store

__all__ = ["base_store"]

pytestmark = pytest.mark.sandbox

DOCKERFILE = """\
ARG FROM=busybox
FROM $FROM AS build
ARG V=1
ARG UNUSED=1
ARG API_TOKEN=none
COPY src /src
RUN echo $V > /made
FROM busybox
ENV LEVEL=1
LABEL of=this
WORKDIR /app
COPY --from=build /made /made
COPY conf conf/
RUN --mount=type=bind,source=docs,target=/d --mount=type=cache,target=/c cat /d/read.md
COPY <<EOF /note
hello
EOF
RUN cat /note
"""
FILES = {
    "src/a.txt": "a", "src/b.txt": "b", "src/run.sh": "echo", "src/lib/l.txt": "l",
    "conf/c.ini": "c", "docs/read.md": "d", "other.txt": "o", ".dockerignore": "ignored\n", "ignored/x": "x",
}  # fmt: skip

# The steps of the project.
SRC, MADE = "build 2/3 COPY", "build 3/3 RUN"
WORKDIR, FROM_BUILD, CONF = "stage-1 2/7 WORKDIR", "stage-1 3/7 COPY", "stage-1 4/7 COPY"
MOUNTS, NOTE, LAST = "stage-1 5/7 RUN", "stage-1 6/7 COPY", "stage-1 7/7 RUN"

AFTER_SRC = {MADE: "follows from [build 2/3] COPY src /src"}
AFTER_CONF = dict.fromkeys((MOUNTS, NOTE, LAST), "follows from [stage-1 4/7] COPY conf conf/")


class Row(NamedTuple):
    """``ran``: step → cause, all others are cached; ``before`` and ``after`` are options of the builds."""

    edit: Callable[[Path], object]
    ran: Mapping[str, str] = MappingProxyType({})
    after: Mapping[str, Any] = MappingProxyType({})
    before: Mapping[str, Any] = MappingProxyType({})


def nothing(folder: Path) -> None:
    pass


def replaced(old: str, new: str, name: str = "Dockerfile") -> Callable[[Path], object]:
    """An edit of the text of a file."""

    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return edit


def written(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: write_project(folder, (folder / "Dockerfile").read_text(), {name: text})


def mode(name: str, bits: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).chmod(bits)


def same_size(folder: Path) -> None:
    path = folder / "src/a.txt"
    before = path.stat()
    path.write_text("s")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def linked(folder: Path) -> None:
    (folder / "src/a.txt").unlink()
    (folder / "src/a.txt").symlink_to("b.txt")


def moved(folder: Path) -> None:
    (folder / "src/b.txt").rename(folder / "src/c.txt")


def directory(folder: Path) -> None:
    (folder / "src/b.txt").unlink()
    (folder / "src/b.txt").mkdir()


def both(*edits: Callable[[Path], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        for each in edits:
            each(folder)

    return edit


def rewritten(folder: Path) -> None:
    """The same bytes in files of other inodes and times, as a checkout makes them."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)


ROWS = {
    "nothing": Row(nothing),
    "times": Row(lambda folder: os.utime(folder / "src/a.txt", (1, 1))),
    "times of a directory": Row(lambda folder: os.utime(folder / "src", (1, 1))),
    "checked out again": Row(rewritten),
    "owner": Row(lambda folder: os.chown(folder / "src/a.txt", 1234, 1234)),
    "content": Row(written("src/a.txt", "changed"), {SRC: 'file "src/a.txt" changed', **AFTER_SRC}),
    "content of two files": Row(
        both(written("src/a.txt", "two"), written("src/b.txt", "two")),
        {SRC: 'file "src/a.txt" changed (and 1 more)', **AFTER_SRC},
    ),
    "same size, same mtime": Row(same_size, {SRC: 'file "src/a.txt" changed', **AFTER_SRC}),
    "emptied": Row(written("src/a.txt", ""), {SRC: 'file "src/a.txt" changed', **AFTER_SRC}),
    "private": Row(
        mode("src/a.txt", 0o600),
        {
            SRC: 'the mode of "src/a.txt" changed: 0644 → 0600, which Git does not record:'
            " --context-modes=git leaves it out",
            **AFTER_SRC,
        },
    ),
    "executable": Row(
        mode("src/run.sh", 0o755), {SRC: 'the mode of "src/run.sh" changed: 0644 → 0755', **AFTER_SRC}
    ),
    "mode of the directory that is copied": Row(mode("src", 0o775)),
    "mode of a directory below": Row(
        mode("src/lib", 0o775),
        {
            SRC: 'the mode of "src/lib" changed: 0755 → 0775, which Git does not record:'
            " --context-modes=git leaves it out",
            **AFTER_SRC,
        },
    ),
    "owner of the directory that is copied": Row(lambda folder: os.chown(folder / "src", 7, 7)),
    "private, with the modes of Git": Row(
        mode("src/a.txt", 0o640), after={"context_modes": "git"}, before={"context_modes": "git"}
    ),
    "executable, with the modes of Git": Row(
        mode("src/a.txt", 0o755),
        {SRC: 'the mode of "src/a.txt" changed: 0644 → 0755', **AFTER_SRC},
        after={"context_modes": "git"},
        before={"context_modes": "git"},
    ),
    "added": Row(written("src/new.txt", "n"), {SRC: 'file "src/new.txt" is new', **AFTER_SRC}),
    "removed": Row(
        lambda folder: (folder / "src/b.txt").unlink(), {SRC: 'file "src/b.txt" is gone', **AFTER_SRC}
    ),
    "renamed": Row(moved, {SRC: 'file "src/b.txt" is now called "src/c.txt"', **AFTER_SRC}),
    "became a link": Row(linked, {SRC: '"src/a.txt" was a file and is a link', **AFTER_SRC}),
    "became a directory": Row(directory, {SRC: '"src/b.txt" was a file and is a directory', **AFTER_SRC}),
    "empty directory": Row(
        lambda folder: (folder / "src/empty").mkdir(), {SRC: 'directory "src/empty" is new', **AFTER_SRC}
    ),
    "ignored file": Row(written("ignored/x", "y")),
    "unrelated file": Row(written("other.txt", "y")),
    "file ignored from now on": Row(
        written(".dockerignore", "ignored\nsrc/run.sh\n"), {SRC: 'file "src/run.sh" is gone', **AFTER_SRC}
    ),
    "ignore rule without effect": Row(written(".dockerignore", "ignored\n*.nothing\n")),
    "comment in .dockerignore": Row(written(".dockerignore", "# why\nignored\n")),
    "file of a bind mount": Row(
        written("docs/read.md", "new"),
        {
            "internal copy": 'file "docs/read.md" changed',
            MOUNTS: 'file "read.md" changed',
            NOTE: "follows from [stage-1 5/7] RUN --mount=type=bind,source=docs,target=/d"
            " --mount=type=cache,target=/c cat /d/read.md",
            LAST: "follows from [stage-1 5/7] RUN --mount=type=bind,source=docs,target=/d"
            " --mount=type=cache,target=/c cat /d/read.md",
        },
    ),
    "two inputs in two stages": Row(
        both(written("src/a.txt", "twice"), written("conf/c.ini", "twice")),
        {SRC: 'file "src/a.txt" changed', **AFTER_SRC, CONF: 'file "conf/c.ini" changed', **AFTER_CONF},
    ),
    "ARG that is used": Row(
        nothing,
        {
            MADE: 'ARG V changed: "1" → "2"',
            FROM_BUILD: 'file "made" changed, which follows from [build 3/3] RUN echo 2 > /made',
            CONF: "follows from [stage-1 3/7] COPY --from=build /made /made",
            **dict.fromkeys((MOUNTS, NOTE, LAST), "follows from [stage-1 3/7] COPY --from=build /made /made"),
        },
        after={"build_args": ["V=2"]},
    ),
    "ARG that no command names": Row(
        nothing, {MADE: 'ARG UNUSED changed: "1" → "2"'}, after={"build_args": ["UNUSED=2"]}
    ),
    "ARG with a secret's name": Row(
        nothing,
        {MADE: "ARG API_TOKEN changed (its value is not shown)"},
        after={"build_args": ["API_TOKEN=hunter2"]},
    ),
    "default of an ARG": Row(
        replaced("ARG UNUSED=1", "ARG UNUSED=3"), {MADE: 'ARG UNUSED changed: "1" → "3"'}
    ),
    "the default given": Row(nothing, after={"build_args": ["V=1"]}),
    "an ARG that nobody declares": Row(nothing, after={"build_args": ["NOBODY=1"]}),
    "new ARG": Row(replaced("ARG UNUSED=1", "ARG UNUSED=1\nARG MORE=x"), {MADE: 'ARG MORE is new: "x"'}),
    "ARG that is gone": Row(replaced("ARG UNUSED=1\n", ""), {MADE: 'ARG UNUSED is gone: it was "1"'}),
    "ENV": Row(
        replaced("LEVEL=1", "LEVEL=2"),
        {
            MOUNTS: 'ENV LEVEL changed: "1" → "2"',
            **dict.fromkeys(
                (NOTE, LAST),
                "follows from [stage-1 5/7] RUN --mount=type=bind,source=docs,"
                "target=/d --mount=type=cache,target=/c cat /d/read.md",
            ),
        },
    ),
    "LABEL": Row(replaced("of=this", "of=that")),
    "--label": Row(nothing, after={"labels": ["more=1"]}),
    "comment": Row(replaced("COPY src", "# the sources\nCOPY src")),
    "blank lines": Row(replaced("COPY src", "\n\nCOPY src")),
    "spaces between words": Row(replaced("COPY src /src", "COPY   src    /src")),
    "continuation": Row(replaced("COPY src /src", "COPY src \\\n  /src")),
    "case of an instruction": Row(replaced("COPY src", "copy src")),
    "case of AS": Row(replaced("AS build", "as build")),
    "spaces in a command": Row(
        replaced("echo $V > /made", "echo $V  > /made"),
        {MADE: 'the instruction changed: "RUN echo $V > /made" → "RUN echo $V > /made"'},
    ),
    "command": Row(
        replaced("cat /note", "cat /note /note"),
        {LAST: 'the instruction changed: "RUN cat /note" → "RUN cat /note /note"'},
    ),
    "exec form": Row(
        replaced("RUN cat /note", 'RUN ["cat", "/note"]'),
        {LAST: 'the instruction changed: "RUN cat /note" → "RUN ["cat", "/note"]"'},
    ),
    "here-document": Row(
        replaced("hello", "bonjour"),
        {
            "internal preparing": "the here-document changed",
            NOTE: "the here-document changed",
            LAST: "follows from [stage-1 6/7] COPY <<EOF /note",
        },
    ),
    "destination": Row(
        replaced("COPY conf conf/", "COPY conf etc/"),
        {
            CONF: 'the instruction changed: "COPY conf conf/" → "COPY conf etc/"',
            **{step: cause.replace("conf/", "etc/") for step, cause in AFTER_CONF.items()},
        },
    ),
    "WORKDIR": Row(
        replaced("/app", "/srv"),
        {
            WORKDIR: 'the instruction changed: "WORKDIR /app" → "WORKDIR /srv"',
            **dict.fromkeys((FROM_BUILD, NOTE), "follows from [stage-1 2/7] WORKDIR /srv"),
            # They have a path that begins with it, or run in it.
            **dict.fromkeys((CONF, MOUNTS, LAST), "follows from [stage-1 2/7] WORKDIR /srv (and 1 more)"),
        },
    ),
    "USER": Row(replaced("RUN cat /note", "USER 1000\nRUN cat /note"), {LAST: "USER changed: root → 1000"}),
    "SHELL": Row(
        replaced("RUN cat /note", 'SHELL ["/bin/sh", "-ec"]\nRUN cat /note'),
        {LAST: 'SHELL changed: ["/bin/sh", "-c"] → ["/bin/sh", "-ec"]'},
    ),
    "--network": Row(
        nothing,
        {
            MADE: "--network changed: default → none",
            MOUNTS: "--network changed: default → none",
            NOTE: "follows from [stage-1 5/7] RUN --mount=type=bind,source=docs,target=/d"
            " --mount=type=cache,target=/c cat /d/read.md",
            LAST: "follows from [stage-1 5/7] RUN --mount=type=bind,source=docs,target=/d"
            " --mount=type=cache,target=/c cat /d/read.md",
        },
        after={"network": "none"},
    ),
    "--add-host": Row(
        nothing,
        {
            MADE: '--add-host changed: none → ["db"]',
            MOUNTS: '--add-host changed: none → ["db"]',
            NOTE: "follows from [stage-1 5/7] RUN --mount=type=bind,source=docs,target=/d"
            " --mount=type=cache,target=/c cat /d/read.md",
            LAST: "follows from [stage-1 5/7] RUN --mount=type=bind,source=docs,target=/d"
            " --mount=type=cache,target=/c cat /d/read.md",
        },
        after={"add_host": ["db:10.0.0.1"]},
    ),
    "address of --add-host": Row(
        nothing, after={"add_host": ["db:10.0.0.2"]}, before={"add_host": ["db:10.0.0.1"]}
    ),
    "--memory": Row(nothing, after={"memory": "1g"}),
    "id of a cache mount": Row(replaced("target=/c ", "target=/c,id=mine ")),
    "mount that is new": Row(
        replaced("RUN cat /note", "RUN --mount=type=tmpfs,target=/t cat /note"),
        {LAST: '--mount of "/t" is new'},
    ),
    "secret that is new": Row(
        replaced("RUN cat /note", "RUN --mount=type=secret,id=key cat /note"),
        {LAST: '--mount of "/run/secrets/key" is new'},
    ),
    "stage renamed": Row(both(replaced("AS build", "AS made"), replaced("--from=build", "--from=made"))),
    "stage inserted": Row(replaced("FROM busybox\n", "FROM busybox AS more\nRUN echo more\nFROM busybox\n")),
    "step inserted": Row(
        replaced("RUN cat /note", "RUN echo inserted\nRUN cat /note"),
        {
            "stage-1 7/8 RUN": "never built",
            "stage-1 8/8 RUN": "follows from [stage-1 7/8] RUN echo inserted",
        },
    ),
    "step taken out": Row(
        replaced("COPY conf conf/\n", ""),
        {
            "stage-1 4/6 RUN": "[stage-1 4/7] COPY conf conf/ below it is gone",
            **dict.fromkeys(
                ("stage-1 5/6 COPY", "stage-1 6/6 RUN"),
                "follows from [stage-1 4/6] RUN --mount=type=bind,source=docs,target=/d"
                " --mount=type=cache,target=/c cat /d/read.md",
            ),
        },
    ),
    "--target": Row(nothing, after={"target": "build"}),
    "--no-cache-filter": Row(
        nothing,
        {SRC: "--no-cache-filter build", MADE: "--no-cache-filter build"},
        after={"no_cache_filter": ["build"]},
    ),
}


@pytest.fixture(scope="module")
def builder(base_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    root = copy_store(base_store, tmp_path_factory.mktemp("causes") / "store")
    with open_builder(root) as builder:
        yield builder
    shutil.rmtree(root)


def project(folder: Path) -> Path:
    umask = os.umask(0o022)
    try:
        return write_project(folder, DOCKERFILE, FILES)
    finally:
        os.umask(umask)


@pytest.mark.parametrize("name", ROWS)
def test_edit(name: str, builder: Builder, tmp_path: Path) -> None:
    """An edit runs just the steps that it concerns, each with its cause, and the plan foresees that."""
    row, folder = ROWS[name], project(tmp_path / "project")
    builder.build(folder, **row.before)
    row.edit(folder)

    foreseen = builder.plan(folder, **row.after)
    built = builder.build(folder, **row.after)

    assert row.ran == built.ran
    assert_foreseen(foreseen, built)
    assert_explained(builder, built)


def assert_explained(builder: Builder, built: Built) -> None:
    """Afterwards each step has the cause that it had, and if that is another step, the cause of that one."""
    for step in built.record.steps:
        cause = built.ran.get(label(step.name))
        if cause is None:
            continue
        (found,) = explain(builder.shelf, builder.engine.cache, built.record, step.digest, None).steps
        assert cause.startswith(found.causes[0].text)
        if found.causes[0].kind == "follows":
            root, causes = found.roots[0]
            assert root.name == found.causes[0].step
            assert built.ran[label(root.name)].startswith(causes[0].text)


def assert_foreseen(foreseen: Any, built: Built) -> None:
    """What runs was said to run, with the same first cause, or not known; nothing else was said to run."""
    said = {label(step.name): step for step in foreseen}
    for step, cause in built.ran.items():
        assert said[step].prediction in ("runs", "unknown")
        if said[step].prediction == "runs":
            assert cause.startswith(said[step].causes[0].text)
    running = {name for name, step in said.items() if step.prediction == "runs"}

    assert running <= set(built.ran)
