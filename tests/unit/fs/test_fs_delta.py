"""What changed in a directory, as a layer that makes the old one the new one."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.fs.apply import apply_layer
from builder.fs.delta import (
    BadListing,
    Item,
    Listing,
    decode,
    encode,
    has_changes,
    list_directory,
    settled,
    write_changes,
)
from builder.fs.flatten import flatten
from builder.fs.tree import StackedTree

OLD = 1_000_000_000


class Kept:
    """A directory, and the layers that went out of it so far."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.directory = tmp / "data"
        self.directory.mkdir()
        self.listing: Listing = {}
        self.layers: list[bytes] = []

    def write(self, path: str, data: bytes = b"x", mtime_s: int = OLD) -> Path:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, (mtime_s, mtime_s))
        return file

    def send(self) -> int:
        """One more layer; its size. Nothing goes out where nothing changed."""
        new = settled(self.listing, list_directory(str(self.directory)))
        if has_changes(self.listing, new):
            scratch = self.tmp / f"scratch-{len(self.layers)}"
            scratch.mkdir()
            tar = io.BytesIO()
            write_changes(str(self.directory), self.listing, new, str(scratch), tar.write)
            self.layers.append(tar.getvalue())
        self.listing = decode(encode(new))
        return len(self.layers[-1])

    def received(self) -> Path:
        """What somebody has who applies all layers."""
        lowers: list[str] = []
        for number, layer in enumerate(self.layers):
            directory = self.tmp / f"received-{len(self.layers)}-{number}"
            directory.mkdir()
            apply_layer(io.BytesIO(layer), str(directory), StackedTree(lowers) if lowers else None)
            lowers.insert(0, str(directory))
        target = self.tmp / f"flat-{len(self.layers)}"
        target.mkdir()
        flatten(lowers, str(target))
        return target


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_everything_arrives(kept: Kept) -> None:
    """Files, links, directories, pipes; owners, modes and times."""
    file = kept.write("a/b/file", b"data")
    os.chown(file, 5, 6)
    file.chmod(0o4640)
    os.link(file, kept.directory / "second name")
    (kept.directory / "link").symlink_to("a/b/file")
    (kept.directory / "empty").mkdir(mode=0o711)
    os.mkfifo(kept.directory / "pipe", 0o600)
    kept.write("caf\udce9", b"no UTF-8")
    kept.send()
    got = kept.received()

    assert settled(kept.listing, list_directory(str(got))) == kept.listing
    assert (got / "second name").stat().st_ino == (got / "a/b/file").stat().st_ino
    assert (got / "a/b/file").stat().st_mtime == OLD


@pytest.mark.parametrize(
    "change",
    [
        lambda d: (d / "dir/file").write_bytes(b"other"),
        lambda d: (d / "dir/file").chmod(0o600),
        lambda d: os.chown(d / "dir/file", 7, 8),
        lambda d: os.utime(d / "dir/file", (OLD + 5, OLD + 5)),
        lambda d: (d / "dir/file").unlink(),
        lambda d: ((d / "dir/file").unlink(), (d / "dir").rmdir()),
        lambda d: ((d / "dir/file").unlink(), (d / "dir").rmdir(), (d / "dir").write_bytes(b"a file now")),
        lambda d: ((d / "top").unlink(), (d / "top").mkdir(), (d / "top/new").write_bytes(b"n")),
        lambda d: ((d / "top").unlink(), (d / "top").symlink_to("dir")),
        lambda d: (d / "dir").chmod(0o700),
        lambda d: os.link(d / "dir/file", d / "dir/another"),
        lambda d: (d / "dir/new").write_bytes(b"n"),
        lambda d: os.rename(d / "dir", d / "renamed"),
    ],
)  # fmt: skip
def test_change_arrives_and_the_rest_stays_at_home(kept: Kept, change: Callable[[Path], object]) -> None:
    """Whatever is done to one path: the large file beside it is not sent again."""
    kept.write("dir/file")
    kept.write("top")
    kept.write("large", bytes(1 << 20))
    kept.send()
    change(kept.directory)
    size = kept.send()
    got = kept.received()

    assert len(kept.layers) == 2
    assert size < 20_000
    assert list_directory(str(got)).keys() == list_directory(str(kept.directory)).keys()
    assert settled(kept.listing, list_directory(str(got))) == kept.listing


def test_nothing_changed(kept: Kept) -> None:
    """No layer; nor for the new time of a large file, which would be sent for it."""
    kept.write("small")
    large = kept.write("large", bytes(100_000))
    kept.send()
    os.utime(large, (OLD + 9, OLD + 9))
    kept.send()

    assert len(kept.layers) == 1


def test_names_of_one_file_stay_together(kept: Kept) -> None:
    """A change of a file reaches all its names."""
    file = kept.write("one", b"before")
    os.link(file, kept.directory / "two")
    kept.send()
    file.write_bytes(b"after")
    kept.send()
    got = kept.received()

    assert (got / "two").read_bytes() == b"after"
    assert (got / "one").stat().st_ino == (got / "two").stat().st_ino


def test_what_no_layer_can_have_stays_behind(kept: Kept) -> None:
    """Names that would delete others, and marks of deleted names, are no content."""
    kept.write(".wh.file")
    os.mknod(kept.directory / "mark", 0o020000, 0)
    kept.write("file")
    kept.send()

    assert list(kept.listing) == ["file"]


@pytest.mark.parametrize(
    "rows",
    [
        [["../outside", "file", 0, 0, 0, 0, 0, ""]],
        [["a/../../outside", "file", 0, 0, 0, 0, 0, ""]],
        [["/absolute", "file", 0, 0, 0, 0, 0, ""]],
        [["", "file", 0, 0, 0, 0, 0, ""]],
        [["a/.wh.b", "file", 0, 0, 0, 0, 0, ""]],
        [["a\0b", "file", 0, 0, 0, 0, 0, ""]],
        [["a", "file", 0, 0, 0, 0, 0]],
        [["a", "file", "0", 0, 0, 0, 0, ""]],
        [[1, "file", 0, 0, 0, 0, 0, ""]],
        ["a"],
        [[]],
        7,
    ],
)
def test_hostile_list_is_none(rows: object) -> None:
    """Its paths become names in scratch, so they lead nowhere else."""
    with pytest.raises(BadListing):
        decode(json.dumps(rows).encode())


def test_endless_list_is_not_parsed() -> None:
    """Nor one that nests without end."""
    for data in (b"[" * 3_000_000, b"[" * 100_000, b"\xff"):
        with pytest.raises(BadListing):
            decode(data)


def test_list_of_another_machine_takes_away_only_what_is_there(kept: Kept) -> None:
    """A list that tells of directories that are none here makes no mark below a file."""
    kept.write("file")
    kept.listing = {
        path: Item("dir", 0o755, 0, 0, 0, 0, "") for path in ("file", "file/below", "gone", "gone/below")
    }
    kept.send()

    assert b".wh.gone" in kept.layers[0]
    assert b"below" not in kept.layers[0]
