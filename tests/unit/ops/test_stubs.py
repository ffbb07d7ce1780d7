"""Mount points go from a step's tree, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

from builder.ops.stubs import remove_stubs


def stub(upper: Path, path: str, *, is_file: bool = False, before: int = 1_000) -> tuple[bytes, int, int]:
    """Make one as the sandbox does."""
    place = upper / path
    os.utime(place.parent, ns=(before, before))
    if is_file:
        place.touch()
    else:
        place.mkdir()
    return f"/{path}".encode(), before, place.parent.stat().st_mtime_ns


def test_stubs_and_their_parents_go(tmp_path: Path) -> None:
    """All that was made, deepest first; the time of what was there is what it was."""
    stubs = [stub(tmp_path, "a"), stub(tmp_path, "a/b"), stub(tmp_path, "a/b/c", is_file=True)]
    remove_stubs(tmp_path, stubs)

    assert [] == list(tmp_path.iterdir())
    assert 1_000 == tmp_path.stat().st_mtime_ns


def test_what_is_used_stays(tmp_path: Path) -> None:
    """A directory with something in it, a file that was written to."""
    stubs = [stub(tmp_path, "full"), stub(tmp_path, "file", is_file=True)]
    (tmp_path / "full/x").touch()
    (tmp_path / "file").write_text("x")
    remove_stubs(tmp_path, stubs)

    assert {"full", "file"} == {path.name for path in tmp_path.iterdir()}


def test_time_of_a_change_stays(tmp_path: Path) -> None:
    """Where the step itself made something beside a stub, the directory has that time."""
    stubs = [stub(tmp_path, "a")]
    (tmp_path / "made").touch()
    os.utime(tmp_path, ns=(5_000, 5_000))
    remove_stubs(tmp_path, stubs)

    assert 5_000 == tmp_path.stat().st_mtime_ns


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A step that puts a link in the place of a parent, or of the stub, deletes nothing elsewhere."""
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    upper = tmp_path / "upper"
    upper.mkdir()
    stubs = [stub(upper, "a"), stub(upper, "a/b"), stub(upper, "c"), stub(upper, "d", is_file=True)]
    (upper / "a").rename(upper / "moved")
    (upper / "a").symlink_to(outside)
    (upper / "c").rmdir()
    (upper / "c").symlink_to(outside / "b")
    (upper / "d").unlink()
    remove_stubs(upper, stubs)

    assert (outside / "b").is_dir()
    assert {"a", "c", "moved"} == {path.name for path in upper.iterdir()}


def test_hard_links_are_no_stubs(tmp_path: Path) -> None:
    """An empty file with a second name is the step's own."""
    stubs = [stub(tmp_path, "a", is_file=True)]
    os.link(tmp_path / "a", tmp_path / "b")
    remove_stubs(tmp_path, stubs)

    assert (tmp_path / "a").exists()
