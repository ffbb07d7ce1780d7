"""Files of an image in a folder of the user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from builder.exporter.folder import OutputInTheWay, write_folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    (directory / "d").mkdir(parents=True)
    (directory / "d/file").write_bytes(b"content")
    (directory / "d/file").chmod(0o640)
    os.link(directory / "d/file", directory / "hard")
    (directory / "soft").symlink_to("/etc/passwd")
    os.mkfifo(directory / "pipe", 0o600)
    for path in ("d/file", "d"):
        os.utime(directory / path, (1_000_000_000, 1_000_000_000))
    return directory


def inodes(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): path.lstat().st_ino for path in directory.rglob("*")}


def test_everything_arrives(source: Path, tmp_path: Path) -> None:
    """Kinds, modes, times and links; the caller's umask does not count."""
    before = os.umask(0o077)
    try:
        write_folder(str(source), str(tmp_path / "out/deep"))
    finally:
        os.umask(before)
    out = tmp_path / "out/deep"

    assert (out / "d/file").read_bytes() == b"content"
    assert stat.S_IMODE((out / "d/file").stat().st_mode) == 0o640
    assert stat.S_IMODE((out / "d").stat().st_mode) == stat.S_IMODE((source / "d").stat().st_mode)
    assert (out / "d/file").stat().st_mtime == (out / "d").stat().st_mtime == 1_000_000_000
    assert (out / "hard").samefile(out / "d/file")
    assert os.readlink(out / "soft") == "/etc/passwd"
    assert (out / "pipe").is_fifo()


def test_a_mirror_has_nothing_else(source: Path, tmp_path: Path) -> None:
    """Files, folders and links of others go, without anything behind the links; what is equal stays."""
    out, precious = tmp_path / "out", tmp_path / "precious"
    write_folder(str(source), str(out))
    before = inodes(out)
    precious.mkdir()
    (precious / "file").write_text("kept")
    (out / "d/link").symlink_to(precious)
    (out / "d/deep/below").mkdir(parents=True)
    (out / "d/deep/below/file").touch()
    (out / "file").touch()
    write_folder(str(source), str(out), is_mirror=True)

    assert inodes(out) == before
    assert (precious / "file").read_text() == "kept"


def test_a_mirror_replaces_folders_by_files(source: Path, tmp_path: Path) -> None:
    """Which without it is an error."""
    (tmp_path / "out/hard/below").mkdir(parents=True)
    write_folder(str(source), str(tmp_path / "out"), is_mirror=True)

    assert (tmp_path / "out/hard").read_bytes() == b"content"


def test_equal_files_are_not_written_again(source: Path, tmp_path: Path) -> None:
    """Only what differs gets a new inode; a file of the same size and time is compared by its bytes."""
    out = tmp_path / "out"
    write_folder(str(source), str(out))
    (out / "of the user").write_text("stays")
    before = inodes(out)
    write_folder(str(source), str(out))
    assert inodes(out) == before

    (out / "d/file").write_bytes(b"CONTENT")
    os.utime(out / "d/file", (1_000_000_000, 1_000_000_000))
    write_folder(str(source), str(out))

    assert (out / "d/file").read_bytes() == b"content"
    assert (out / "hard").samefile(out / "d/file")
    assert (out / "of the user").read_text() == "stays"


def test_links_of_the_folder_are_not_followed(source: Path, tmp_path: Path) -> None:
    """What lies in the folder already may lead outside: it is replaced, and nothing there is touched."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "victim").write_text("safe")
    out.mkdir()
    (out / "d").symlink_to(outside)
    (out / "hard").symlink_to(outside / "victim")
    write_folder(str(source), str(out))

    assert (out / "d").is_dir()
    assert not (out / "d").is_symlink()
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_text() == "safe"
    assert not (out / "hard").is_symlink()


def test_a_folder_is_not_removed_for_a_file(source: Path, tmp_path: Path) -> None:
    """It may hold anything."""
    (tmp_path / "out/hard").mkdir(parents=True)
    with pytest.raises(OutputInTheWay, match="hard"):
        write_folder(str(source), str(tmp_path / "out"))

    assert not [name for name in os.listdir(tmp_path / "out") if "partial" in name]


def test_set_id_bits_stay_only_with_their_owner(source: Path, tmp_path: Path) -> None:
    """A program of somebody else does not become one that runs as the caller."""
    mine, theirs = source / "mine", source / "theirs"
    for path in (mine, theirs):
        path.write_bytes(b"#!/bin/sh\n")
    if os.geteuid() == 0:
        os.chown(theirs, 33, 33)
    mine.chmod(0o4755)
    theirs.chmod(0o6755)
    write_folder(str(source), str(tmp_path / "out"))

    assert stat.S_IMODE((tmp_path / "out/mine").stat().st_mode) == 0o4755
    expected = 0o755 if os.geteuid() == 0 else 0o6755
    assert stat.S_IMODE((tmp_path / "out/theirs").stat().st_mode) == expected
    assert (tmp_path / "out/theirs").stat().st_uid == os.geteuid()
