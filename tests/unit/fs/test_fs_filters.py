"""--parents and --exclude: what of a source directory is hashed and copied."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from builder.fs.contenthash import ContentReader
from builder.fs.copy import copy
from builder.fs.editor import TreeEditor
from builder.fs.filters import CopyFilter
from builder.fs.mode import ModeChange
from builder.fs.patterns import InvalidPattern
from builder.fs.select import CopySourceMissing, select
from builder.fs.tree import DirectoryTree, StackedTree

FILES = ("top.md", "a/one.txt", "a/b/two.txt", "a/b/two.md", "a/b/c/three.txt", "d/four.md")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "a/link").symlink_to("b")
    return root


def copied(
    source: Path, text: str, includes: Sequence[str], excludes: Sequence[str], lower: Path | None = None
) -> str:
    """The files that arrive in /x, and directories that hold none of them with a slash."""
    upper = source.parent / "upper"
    upper.mkdir()
    tree = DirectoryTree(str(source))
    editor = TreeEditor(str(upper), StackedTree([str(lower)]) if lower else None)
    found = select(tree, text, includes=includes)
    copy(editor, tree, found, "/x/", filter=CopyFilter(includes, excludes))
    target = upper / "x"
    return " ".join(
        f"{path.relative_to(target)}{'/' if path.is_dir() and not path.is_symlink() else ''}"
        for path in sorted(target.rglob("*"))
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    )


# Patterns, and what of "a" arrives. They count from there; a directory that is let through is so whole.
EXCLUDED = [
    ((), "b/c/three.txt b/two.md b/two.txt link one.txt"),
    (("*.txt",), "b/c/three.txt b/two.md b/two.txt link"),
    (("**/*.txt",), "b/c/ b/two.md link"),
    (("a/b",), "b/c/three.txt b/two.md b/two.txt link one.txt"),
    (("./b/",), "link one.txt"),
    (("/b",), "b/c/three.txt b/two.md b/two.txt link one.txt"),
    ((" b ", ""), "link one.txt"),
    (("b", "!b/c"), "b/c/three.txt link one.txt"),
    (("**", "!**/*.md"), "b/two.md"),
    (("!b", "b"), "link one.txt"),
    (("b", "!b/nothing"), "link one.txt"),
    (("*",), ""),
    (("li*", "b/?wo.*"), "b/c/three.txt one.txt"),
]


@pytest.mark.parametrize(("excludes", "expected"), EXCLUDED)
def test_excludes(source: Path, excludes: Sequence[str], expected: str) -> None:
    """--exclude is matched below each source directory, the last pattern that applies deciding."""
    assert copied(source, "a", (), excludes) == expected


# A source directory, patterns below it, and what arrives.
INCLUDED = [
    ("/", "a/b/two.txt", "a/b/two.txt"),
    ("/", "a/b", "a/b/c/three.txt a/b/two.md a/b/two.txt"),
    ("/", "a/b/two.*", "a/b/two.md a/b/two.txt"),
    ("/", "a/*/two.txt", "a/b/two.txt"),
    ("/", "a/*.txt", "a/one.txt"),
    ("/", "a/**/*.txt", "a/b/c/three.txt a/b/two.txt a/one.txt"),
    ("/", "**/*.md", "a/b/two.md d/four.md top.md"),
    ("/", "*", "a/b/c/three.txt a/b/two.md a/b/two.txt a/link a/one.txt d/four.md top.md"),
    ("/", "a/link", "a/link"),
    ("/a", "b/c", "b/c/three.txt"),
    ("/*", "b/c", "b/c/three.txt"),
    ("/*", "*.md", "four.md"),
    ("/a/link", "c", "c/three.txt"),
    ("/a", "nothing*", ""),
    ("/nothing*", "x", None),
    ("/top.*", "x", None),
]


@pytest.mark.parametrize(("text", "pattern", "expected"), INCLUDED)
def test_includes(source: Path, text: str, pattern: str, expected: str | None) -> None:
    """--parents keeps the directories from the pivot on; directories that hold nothing do not come along."""
    if expected is None:
        assert select(DirectoryTree(str(source)), text, includes=[pattern]) == []
        return
    assert copied(source, text, [pattern], ()) == expected


def test_includes_and_excludes(source: Path) -> None:
    """What is excluded is so whatever was included; an exception brings back nothing else."""
    assert copied(source, "/", ["a/b"], ["a/b/c", "**/*.md", "!d/*.md"]) == "a/b/two.txt"


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("/", "a/nope"), ("/a", "nope"), ("/nope", "*"), ("/", "a/link/c"), ("/top.md", "x")],
)
def test_literal_paths_must_be_there(source: Path, text: str, pattern: str) -> None:
    """A path without wildcards is missed, below the pivot too; links below it are not followed."""
    with pytest.raises(CopySourceMissing):
        select(DirectoryTree(str(source)), text, includes=[pattern], shown="as written")


@pytest.mark.parametrize("pattern", ["[", "a/[b", "!", " ! ", "![", "a\\"])
def test_invalid_patterns(pattern: str) -> None:
    """A pattern that cannot be read is an error, not one that matches nothing."""
    with pytest.raises(InvalidPattern):
        CopyFilter((), (pattern,))


def test_a_file_that_is_named_is_not_filtered(source: Path) -> None:
    """Not even one that a wildcard found: patterns are for what is inside of directories."""
    assert copied(source, "a/b/two*", (), ["*.txt", "**"]) == "two.md two.txt"


def digest(source: Path, includes: Sequence[str], excludes: Sequence[str]) -> str:
    tree = DirectoryTree(str(source))
    reader = ContentReader(tree, filter=CopyFilter(includes, excludes))
    return str(reader.digest(select(tree, "/", includes=includes)))


@pytest.mark.parametrize(
    ("change", "is_seen"),
    [("a/b/two.txt", True), ("a/b/new.txt", True), ("a/b/two.md", False), ("d/four.md", False)],
)
def test_content_is_what_is_let_through(source: Path, change: str, is_seen: bool) -> None:
    """Files that are filtered out are no part of the content digest, whether they change, come or go."""
    before = digest(source, ["a"], ["**/*.md"])
    (source / change).write_text("changed")

    assert (digest(source, ["a"], ["**/*.md"]) != before) == is_seen
    (source / "d/four.md").unlink()
    assert (digest(source, ["a"], ["**/*.md"]) != before) == is_seen


def test_directories_above(source: Path, tmp_path: Path) -> None:
    """They are as in the source; one that is there takes the mode and keeps its owner."""
    os.chmod(source / "a", 0o711)
    os.chmod(source / "a/b", 0o750)
    lower = tmp_path / "lower"
    (lower / "x/a").mkdir(parents=True)
    os.chmod(lower / "x", 0o700)
    if os.geteuid() == 0:
        os.chown(lower / "x/a", 5, 6)
    copied(source, "/", ["a/b/two.txt"], (), lower)
    there, made = (os.stat(tmp_path / "upper" / path) for path in ("x/a", "x/a/b"))

    assert [stat.S_IMODE(st.st_mode) for st in (there, made)] == [0o711, 0o750]
    assert stat.S_IMODE(os.stat(tmp_path / "upper/x").st_mode) == 0o700
    if os.geteuid() == 0:
        assert [(st.st_uid, st.st_gid) for st in (there, made)] == [(5, 6), (0, 0)]
    assert made.st_mtime_ns == os.stat(source / "a/b").st_mtime_ns


def test_mode_and_owner_reach_directories_above(source: Path, tmp_path: Path) -> None:
    """--chmod and --chown are for the directories that --parents makes, too."""
    upper = tmp_path / "upper"
    upper.mkdir()
    tree = DirectoryTree(str(source))
    copy(
        TreeEditor(str(upper)),
        tree,
        select(tree, "/", includes=["a/one.txt"]),
        "/x/",
        owner=(os.geteuid(), os.getegid()),
        mode=ModeChange.parse("0751"),
        filter=CopyFilter(["a/one.txt"], ()),
    )

    for path in ("x/a", "x/a/one.txt"):
        assert stat.S_IMODE(os.stat(upper / path).st_mode) == 0o751
