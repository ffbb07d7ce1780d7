"""Golden content digests: a changed line runs every COPY of everybody again, so it needs a reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from builder.fs.contenthash import ContentReader
from builder.fs.select import select
from builder.fs.tree import DirectoryTree
from tests.support.cli import write_project

CONTENTS = Path(__file__).parents[2] / "testdata/contents"
FILES = {"a/plain": "text", "a/b/deep": "", "a/run.sh": "#!/bin/sh\n", "a/private": "key", "z/plain": "text"}
MODES = {"a/run.sh": 0o755, "a/private": 0o600, "a/b": 0o700}
SOURCES = ("/", "/a", "/a/plain", "/z/plain", "/a/run.sh", "/a/private", "/a/link", "/a/*", "/*/plain")


def make_tree(folder: Path) -> DirectoryTree:
    before = os.umask(0o022)
    try:
        write_project(folder, "", FILES)
    finally:
        os.umask(before)
    (folder / "a/link").symlink_to("plain")
    for name, mode in MODES.items():
        (folder / name).chmod(mode)
    return DirectoryTree(str(folder))


def test_contents(golden: Callable[[Path, str], None], tmp_path: Path) -> None:
    """What a COPY reads has the digest that it had before, with its own modes and with those of Git."""
    tree = make_tree(tmp_path / "tree")
    lines = []
    for source in SOURCES:
        for modes in ("kept", "git"):
            reader = ContentReader(tree, has_git_modes=modes == "git", counts_top=False)
            lines.append(f"{source} {modes} {reader.digest(select(tree, source)).hex[:16]}\n")

    golden(CONTENTS / "tree.txt", "".join(lines))


def test_modes_of_git_are_those_of_a_checkout(tmp_path: Path) -> None:
    """With them, a tree has the digest that a checkout of it has under umask 0022."""
    tree = make_tree(tmp_path / "tree")
    for name in ("a/private", "a/b"):
        (tmp_path / "tree" / name).chmod(0o755 if name == "a/b" else 0o644)
    checkout = ContentReader(tree, counts_top=False).digest(select(tree, "/a"))
    (tmp_path / "tree/a/private").chmod(0o600)
    (tmp_path / "tree/a/b").chmod(0o2770)

    git = ContentReader(tree, has_git_modes=True, counts_top=False).digest(select(tree, "/a"))

    assert checkout == git
