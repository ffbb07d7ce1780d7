"""What layers add, hide and waste, and what two trees do not have alike."""

from __future__ import annotations

import os
from pathlib import Path

from builder.fs.measure import stored_bytes
from builder.fs.tally import TalliedFile, Tally
from builder.fs.tree import StackedTree
from builder.fs.treediff import changes


def _layer(directory: Path, **files: int | None) -> str:
    """``a__b=3`` is a file of three bytes in a directory, None the mark that its name is deleted."""
    directory.mkdir()
    for name, size in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if size is None:
            os.mknod(path, 0o020000, os.makedev(0, 0))
        else:
            path.write_bytes(b"x" * size)
    return str(directory)


def test_layers_add_overwrite_and_delete(tmp_path: Path) -> None:
    """Bytes that a higher layer hides are wasted, whether something stands in their place or not."""
    tally = Tally(top=2)
    base = tally.add(_layer(tmp_path / "1", a=10, b=20, d__x=30, d__y=40))
    second = tally.add(_layer(tmp_path / "2", a=11, b=None, c=5, d__x=None))
    third = tally.add(_layer(tmp_path / "3", d=1))

    assert (base.added, base.added_count, base.overwritten, base.deleted, base.wasted) == (100, 4, 0, 0, 0)
    assert base.top == (TalliedFile("/d/y", 40, True), TalliedFile("/d/x", 30, True))
    assert (second.added, second.overwritten, second.deleted, second.deleted_count) == (5, 11, 50, 2)
    assert (second.wasted, second.size) == (60, 16)
    assert second.top[0] == TalliedFile("/a", 11, False)
    assert (third.overwritten, third.wasted, third.deleted) == (1, 40, 0)
    assert tally.size == 11 + 5 + 1


def test_opaque_directory_hides_what_is_below(tmp_path: Path) -> None:
    """All of it counts as deleted, and what the layer itself has in there as added."""
    tally = Tally(top=0)
    tally.add(_layer(tmp_path / "1", d__x=30, d__e__z=40))
    top = Path(_layer(tmp_path / "2", d__new=5))
    os.setxattr(top / "d", "user.overlay.opaque", b"y")
    second = tally.add(str(top))

    assert (second.added, second.deleted, second.deleted_count, second.wasted) == (5, 70, 2, 70)
    assert tally.size == 5


def test_names_of_one_file_count_once(tmp_path: Path) -> None:
    """A hard link takes no bytes, here and in what a step wrote."""
    layer = Path(_layer(tmp_path / "1", a=10))
    os.link(layer / "a", layer / "b")
    os.symlink("a", layer / "c")

    assert Tally(top=0).add(str(layer)).added == 10
    assert stored_bytes(str(layer)) == 10


def test_a_file_that_became_a_directory(tmp_path: Path) -> None:
    """Its bytes are wasted."""
    tally = Tally(top=0)
    tally.add(_layer(tmp_path / "1", a=10))
    second = tally.add(_layer(tmp_path / "2", a__b=3))

    assert (second.added, second.wasted) == (3, 10)


def _changed(first: str | list[str], second: str | list[str]) -> list[tuple[str, str, tuple[str, ...]]]:
    trees = [StackedTree(found if isinstance(found, list) else [found]) for found in (first, second)]
    return [(change.kind, change.path, change.what) for change in changes(*trees)]


def test_changes_of_a_tree(tmp_path: Path) -> None:
    """Paths that are added, removed and changed, in order, a directory before what it holds."""
    first = _layer(tmp_path / "1", a=1, gone__x=1, kind=4, same=2, text=3)
    second = _layer(tmp_path / "2", a=2, kind__y=4, new__z=1, same=2, text=3)
    (tmp_path / "2/text").write_bytes(b"abc")
    os.utime(tmp_path / "2/same", (5, 5))

    assert _changed(first, second) == [
        ("changed", "/a", ("size", "content")),
        ("removed", "/gone", ()),
        ("changed", "/kind", ("mode", "kind")),
        ("added", "/new", ()),
        ("changed", "/text", ("content",)),
        ("removed", "/gone/x", ()),
        ("added", "/kind/y", ()),
        ("added", "/new/z", ()),
    ]


def test_changed_mode_and_link(tmp_path: Path) -> None:
    """Each fact by its name."""
    first, second = _layer(tmp_path / "1", f=1), _layer(tmp_path / "2", f=1)
    (tmp_path / "2/f").chmod(0o4755)
    os.symlink("here", tmp_path / "1/l")
    os.symlink("there", tmp_path / "2/l")

    assert _changed(first, second) == [("changed", "/f", ("mode",)), ("changed", "/l", ("link",))]


def test_shared_layers_are_not_read(tmp_path: Path) -> None:
    """What both trees have from the same directories is the same, whatever it holds."""
    base = _layer(tmp_path / "1", d__x=1, e__y=1)
    top = _layer(tmp_path / "2", d__z=1)

    assert _changed([base], [top, base]) == [("added", "/d/z", ())]
