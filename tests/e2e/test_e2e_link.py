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
    layers: list[str] = json.loads(pybuild("inspect", name).out)[0]["RootFS"]["Layers"]
    return layers


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


def test_base_is_no_part_of_the_key(pybuild: Pybuild, write: Write) -> None:
    """The very same copy is cached over another image, and after a step that failed before it."""
    pybuild.build(write("FROM scratch\nCOPY a /a\n", {"a": "1"}, name="base"), "-t", "base")
    pybuild.build(write("FROM base\nCOPY --link a /x/a\n", {"a": "content"}), "-t", "one")
    again = write("FROM busybox\nRUN echo changed\nCOPY --link a /x/a\n")
    second = pybuild.build(again, "-t", "two")

    assert second.steps["[3/3] COPY --link a /x/a"] == "CACHED"
    assert _layers(pybuild, "one")[-1] == _layers(pybuild, "two")[-1]
    (again / "a").write_text("other")
    assert pybuild.build(again, "-t", "two").steps["[3/3] COPY --link a /x/a"] == "DONE"
    assert _layers(pybuild, "one")[-1] != _layers(pybuild, "two")[-1]


def test_links_of_the_base_are_not_followed(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """/lib becomes a directory, as in Docker, which is said; what it led to is as before."""
    context = write(
        "FROM busybox\n"
        "RUN mkdir -p /usr/l /d/e && echo old > /usr/l/x && ln -s usr/l /l && ln -s /usr/l /abs\n"
        "COPY --link x /l/x\nCOPY --link x /abs\nCOPY --link x /d\n"
        "RUN test ! -L /l && test -f /l/x && test -f /abs && test -f /d && cat /usr/l/x > /seen\n",
        {"x": "new"},
    )
    built = pybuild.build(context, "-t", "links")
    tree = read_archive(pybuild.save("links", tmp_path / "links.tar")).tree()

    assert 'the symbolic link "/l" is replaced by a directory' in built.err
    assert 'the directory "/d" is replaced by a file' in built.err
    assert [tree[path].kind for path in ("l", "l/x", "abs", "d")] == ["5", "0", "0", "0"]
    assert "d/e" not in tree
    assert tree["seen"].content == tree["usr/l/x"].content != tree["l/x"].content


def test_the_same_line_again(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """One layer twice in an image is mounted once; what was changed in between comes back."""
    context = write(
        "FROM busybox\nCOPY --link d /d\nRUN rm -r /d/sub && echo changed > /d/a && echo more > /d/more\n"
        "COPY --link d /d\nRUN cat /d/a /d/sub/b /d/more > /seen && echo last > /d/a\n",
        {"d/a": "a\n", "d/sub/b": "b\n"},
    )
    pybuild.build(context, "-t", "twice")
    layers = _layers(pybuild, "twice")

    assert layers[-4] == layers[-2]
    assert read_archive(pybuild.save("twice", tmp_path / "twice.tar")).text("seen") == "a\nb\nmore\n"
    assert pybuild.run("twice", "cat", "/d/a", "/d/sub/b") == "last\nb\n"


def test_no_cache_makes_linked_layers_anew(pybuild: Pybuild, write: Write) -> None:
    """The layer and what it is laid over both: an image of the old one would be a lie."""
    context = write("FROM busybox\nCOPY --link a /new/a\n", {"a": "x"})
    first = pybuild.build(context)
    again = pybuild.build(context, "--no-cache")

    assert set(first.steps.values()) >= {"DONE"}
    assert again.steps["[2/2] COPY --link a /new/a"] == "DONE"
    assert pybuild.build(context).image == again.image


def test_linked_layers_survive_collection(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """An image's shared layer stays when nothing else leads to it, and is saved as it was described."""
    context = write("FROM busybox\nCOPY --link a /tmp/in/a\n", {"a": "x"})
    pybuild.build(context, "-t", "kept")
    pybuild.build(write("FROM scratch\nCOPY b /b\n", {"b": "y"}, name="other"), "-t", "gone")
    pybuild("rmi", "gone")
    tree = read_archive(pybuild.save("kept", tmp_path / "kept.tar")).tree()

    assert (tree["tmp"].mode, tree["tmp/in"].mode) == (0o1777, 0o755)
    assert pybuild.run("kept", "cat", "/tmp/in/a") == "x"


@pytest.mark.parametrize(
    ("line", "code", "column"),
    [
        ("COPY --link --chown=www a /x", "invalid-flag", 13),
        ("COPY --parents d/nope /x", "copy-source-missing", 16),
        ("COPY --parents d/./nope /x", "copy-source-missing", 16),
        ("COPY --exclude=[ d /x", "invalid-pattern", 1),
        ("ADD --parents a /x", "unknown-flag", 5),
        ("COPY --link=maybe a /x", "invalid-flag", 6),
    ],
)
def test_errors(pybuild: Pybuild, write: Write, line: str, code: str, column: int) -> None:
    """Each is told at its place, with a hint where one helps."""
    failed = pybuild.build(write(f"FROM busybox\n{line}\n", {"a": "a", "d/b": "b"}), code=1)

    assert f"error[{code}]" in failed.err
    assert f"Dockerfile:2:{column}\n" in failed.err
