"""Many lowers made into one directory that shows the same."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_trees import NET_RAW, Node, Tree, build, build_upper, trees, view

from builder.fs.flatten import flatten

# Whiteouts are devices and opaque marks trusted attributes: both take root.
pytestmark = pytest.mark.sandbox


def fingerprint(directory: Path) -> list[object]:
    """Everything of a committed tree but what a further link changes (link counts and change times)."""
    found: list[object] = []
    for path, directories, names in os.walk(directory):
        for name in [".", *directories, *names]:
            full = os.path.join(path, name)
            st = os.lstat(full)
            found.append((full, st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns, st.st_ino))
    return sorted(found, key=str)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(trees(), min_size=1, max_size=4))
def test_the_merged_view_is_kept(steps: list[Tree]) -> None:
    """One directory shows what the stack shows, has no marks, and leaves the stack as it was."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lowers: list[Path] = []
        before: Tree = {}
        for number, after in enumerate(steps):
            lowers.insert(0, build_upper(before, after, root / str(number)))
            before = after
        expected = view(*lowers)
        committed = [fingerprint(lower) for lower in lowers]
        flat = root / "flat"
        flat.mkdir()
        flatten([str(lower) for lower in lowers], str(flat))

        assert expected == view(flat)
        assert len(expected) == sum(len(names) + len(inner) for _, inner, names in os.walk(flat))
        assert committed == [fingerprint(lower) for lower in lowers]


STACK: dict[str, Node] = {
    "d": Node("dir", 0o2750, 1, 2, 7),
    "d/f": Node("file", 0o4755, 3, 4, 8, b"data", NET_RAW),
    "d/second": Node("hardlink", payload="d/f"),
    "d/l": Node("symlink", payload="/nowhere"),
    "d/null": Node("char", 0o666, payload=os.makedev(1, 3)),
    "d/pipe": Node("fifo", 0o600),
}


def test_files_are_shared_and_directories_are_not(tmp_path: Path) -> None:
    """Files are further names of the committed ones; directories have mode, owner and time of their own."""
    lower = build(STACK, tmp_path / "lower")
    flat = tmp_path / "flat"
    flat.mkdir()
    flatten([str(lower)], str(flat))

    assert (flat / "d/f").samefile(lower / "d/f")
    assert not (flat / "d").samefile(lower / "d")
    assert (flat / "d").stat().st_mtime == 7


@pytest.mark.parametrize("code", [errno.EMLINK, errno.EXDEV])
def test_what_cannot_be_linked_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """At the limit of names, or across file systems, a copy looks the same and its names stay together."""
    lower = build(STACK, tmp_path / "lower")
    flat = tmp_path / "flat"
    flat.mkdir()
    link = os.link

    def refuse(source: str, target: str, *, follow_symlinks: bool) -> None:
        if source.startswith(str(lower)):
            raise OSError(code, os.strerror(code))
        link(source, target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "link", refuse)
    flatten([str(lower)], str(flat))

    assert view(lower) == view(flat)
    assert not (flat / "d/f").samefile(lower / "d/f")


def test_other_trouble_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is an error, not a reason to copy."""
    lower = build(STACK, tmp_path / "lower")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", refuse)
    flat = tmp_path / "flat"
    flat.mkdir()

    with pytest.raises(OSError, match="full"):
        flatten([str(lower)], str(flat))
