"""Builds that are killed, or find the disk full, at any call that changes state: the next one succeeds."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.support.cli import BUG, Pybuild
from tests.support.faults import (
    FILES,
    OPENS,
    PROCESSES,
    count_changes,
    count_points,
    inject,
    killed_at,
    sampled,
    scale,
    seed,
)
from tests.support.images import SavedImage, read_archive
from tests.support.processes import assert_intact, assert_nothing_left, become_subreaper
from tests.support.stores import Write, copy_store

pytestmark = [pytest.mark.stress, pytest.mark.timeout(0)]

_DOCKERFILE = """\
FROM busybox AS build
COPY --chown=1:2 . /src
RUN cat /src/a > /b && ln /b /hard && mkdir /d && rm /etc/group
FROM busybox
WORKDIR /w
COPY --from=build /b /hard ./
RUN echo x > /x
"""
# What cannot fail for want of space, or has no way to say so, is not asked to.
_SPACE = [call for call in FILES if call not in ("unlink", "unlinkat", "rmdir")]


class _Bench:
    """One small project, built in peace once, then again and again under faults, each on a fresh store."""

    def __init__(self, base: Path, context: Path, directory: Path, known: set[int]) -> None:
        self.base = base
        self.directory = directory
        self.known = known
        self.words: list[str | Path] = ["build", "--progress", "plain", "-t", "made", context]
        self.peaceful = self._result(self.fresh("peace"))

    def fresh(self, name: str) -> Pybuild:
        root = self.directory / name
        shutil.rmtree(root, ignore_errors=True)
        return Pybuild(copy_store(self.base, root), self.directory / "home")

    def _result(self, pybuild: Pybuild) -> SavedImage:
        pybuild(*self.words)
        return read_archive(pybuild.save("made", self.directory / "made.tar"))

    def try_point(self, prefix: list[str] = [], instead: list[str] | None = None) -> int:  # noqa: B006 (not written)
        """The exit code of the build that met the fault."""
        pybuild = self.fresh("fault")
        met = pybuild(*self.words, prefix=prefix, instead=instead, code=None)
        assert BUG not in met.err, met.err
        again = self._result(pybuild)

        assert self.peaceful.tree() == again.tree()
        assert self.peaceful.description == again.description
        assert_nothing_left(pybuild.root, self.known)
        assert_intact(pybuild.root)
        return met.code


def test_kill_at_every_change_in_any_thread(bench: _Bench) -> None:
    """The same by Python's audit events, which are counted over all threads."""
    number = seed()
    count = count_changes(bench.fresh("count"), bench.words)
    numbers = list(range(1, count + 1))
    chosen = sampled(numbers, random.Random(number), scale())
    print(f"PYBUILD_SEED={number}: {len(chosen)} of {count} changes")
    for change in chosen:
        try:
            code = bench.try_point(instead=killed_at(change))
        except AssertionError as error:
            raise AssertionError(f"kill at change {change} (PYBUILD_SEED={number}): {error}") from error

        # Two runs need not make the same number of changes.
        assert code == -9 or change > count - 10


@pytest.fixture
def bench(base_store: Path, write: Write, tmp_path: Path, known: set[int]) -> _Bench:
    become_subreaper()
    context = write(_DOCKERFILE, {"a": "a" * 5000, "sub/b": "b"})
    return _Bench(base_store, context, tmp_path, known)


@pytest.mark.parametrize(
    ("calls", "fault", "part"),
    [
        (FILES, "signal=KILL", 1.0),
        (PROCESSES, "signal=KILL", 1.0),
        (OPENS, "signal=KILL", 0.2),  # hundreds, most of which open modules
        (_SPACE, "error=ENOSPC", 1.0),
    ],
    ids=["kill-files", "kill-processes", "kill-opens", "full-disk"],
)
def test_fault_at_every_call(calls: list[str], fault: str, part: float, bench: _Bench) -> None:
    """Whatever the point: the next build gives the image of peace; no process, mount or scratch is left."""
    number = seed()
    points = count_points(bench.fresh("count"), bench.words, calls, bench.directory / "log")
    chosen = sampled(points, random.Random(number), part * scale())
    print(f"PYBUILD_SEED={number}: {len(chosen)} of {len(points)} points")
    codes = {}
    for point in chosen:
        try:
            codes[point] = bench.try_point(inject(point, fault))
        except AssertionError as error:
            raise AssertionError(f"{fault} at {point} (PYBUILD_SEED={number}): {error}") from error

    assert points
    assert [code for code in codes.values() if code != 0], f"nothing was hit (PYBUILD_SEED={number})"
