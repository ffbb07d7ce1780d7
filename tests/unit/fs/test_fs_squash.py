"""Upper directories made one: the tree over any base is that of the stack."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from builder.fs.editor import mark_opaque
from builder.fs.squash import squash
from builder.fs.tree import StackedTree, is_opaque, is_whiteout

pytestmark = pytest.mark.sandbox


def _shown(tree: StackedTree, path: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in tree.children(path):
        found[entry.path] = Path(entry.real).read_text() if entry.kind == "file" else entry.kind
        if entry.kind == "dir":
            found |= _shown(tree, entry.path)
    return found


def _layer(root: Path, files: dict[str, str | None], opaque: str = "") -> str:
    """None is a whiteout."""
    root.mkdir()
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            os.mknod(path, stat.S_IFCHR, 0)
        else:
            path.write_text(content)
    if opaque:
        mark_opaque(str(root / opaque))
    return str(root)


def test_squashed_layers_show_what_the_stack_shows(tmp_path: Path) -> None:
    """Replaced and removed files, opaque directories, a directory over a removed one, a file over one."""
    base = _layer(tmp_path / "base", {"a": "0", "d/x": "0", "e/x": "0", "f/x": "0", "g/x": "0", "h": "0"})
    one = _layer(tmp_path / "one", {"a": "1", "d/y": "1", "e": None, "f/y": "1", "g": "file", "h": None})
    two = _layer(tmp_path / "two", {"d/z": "2", "e/y": "2", "f/z": "2", "g/y": "2", "new": "2"}, "f")
    (tmp_path / "out").mkdir()
    squash([two, one], str(tmp_path / "out"))
    out = str(tmp_path / "out")

    assert _shown(StackedTree([two, one, base])) == _shown(StackedTree([out, base]))
    assert is_whiteout(os.lstat(f"{out}/h"))
    assert [True, True, True, False] == [is_opaque(f"{out}/{name}") for name in "efgd"]
    assert os.stat(f"{two}/new").st_ino == os.stat(f"{out}/new").st_ino
