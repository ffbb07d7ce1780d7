"""COPY with --link, --parents and --exclude, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.images import read_archive
from tests.support.stores import Write

pytestmark = pytest.mark.e2e


def _layers(pybuild: Pybuild, name: str) -> list[str]:
    return json.loads(pybuild("inspect", name).out)[0]["RootFS"]["Layers"]


def test_linked_layer_survives_a_change_of_the_base(pybuild: Pybuild, write: Write) -> None:
    """Its copy is cached and the layer is the same, though all below it changed."""
    text = "FROM busybox\nRUN echo {} > /base\nCOPY --link a /new/a\n"
    context = write(text.format(1), {"a": "content"})
    pybuild.build(context, "-t", "one")
    (context / "Dockerfile").write_text(text.format(2))
    second = pybuild.build(context, "-t", "two")
    one, two = _layers(pybuild, "one"), _layers(pybuild, "two")

    assert one[-1] == two[-1]
    assert one[-2] != two[-2]
    assert [state for name, state in second.steps.items() if "COPY" in name and state == "CACHED"]


def test_directories_of_the_base_keep_mode_and_owner(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """The parents that a linked copy implies do not change those that are there."""
    context = write(
        "FROM busybox\nRUN mkdir -m 700 /home/u && chown 5:6 /home/u\nCOPY --link a /home/u/a\n", {"a": "x"}
    )
    pybuild.build(context, "-t", "kept")
    entry = read_archive(pybuild.save("kept", tmp_path / "kept.tar")).tree()["home/u"]

    assert (entry.mode, entry.owner) == (0o700, (5, 6))


def test_next_step_sees_a_linked_tree(pybuild: Pybuild, write: Write) -> None:
    """A RUN over it reads both trees."""
    context = write(
        "FROM busybox\nCOPY --link a /data/a\nRUN test -f /data/a && test -x /bin/sh\n", {"a": "x"}
    )
    pybuild.build(context)


def test_excluded_files_are_not_copied_and_do_not_count(pybuild: Pybuild, write: Write) -> None:
    """A change of an excluded file leaves the step cached."""
    context = write(
        "FROM busybox\nCOPY --exclude=*.md d /d\nRUN test -f /d/a && test ! -e /d/b.md\n",
        {"d/a": "a", "d/b.md": "b"},
    )
    pybuild.build(context)
    (context / "d/b.md").write_text("changed")
    again = pybuild.build(context)

    assert set(again.steps.values()) <= {"CACHED"}


def test_parents_are_kept_behind_the_pivot(pybuild: Pybuild, write: Write) -> None:
    """--parents keeps directories, those before /./ aside, and knows **."""
    context = write(
        "FROM busybox\nCOPY --parents x/./y/z.txt x/**/q.c /out/\n"
        "RUN test -f /out/y/z.txt && test -f /out/x/y/q.c\n",
        {"x/y/z.txt": "1", "x/y/q.c": "2"},
    )
    pybuild.build(context)
