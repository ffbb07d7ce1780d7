"""Listings of what was hashed: there and back, and what differs between two."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.fs.contenthash import ContentReader
from builder.fs.listing import Difference, Listed, Listing, decode_listing, differences, join_listings
from builder.fs.select import select
from builder.fs.tree import DirectoryTree

FILE = Listed("file", 0o644, "0:0", "1")


def listing_of(tree: Path, source: str = "/", number: int = 0) -> Listing:
    directory = DirectoryTree(str(tree))
    reader = ContentReader(directory)
    reader.digest(select(directory, source))
    return decode_listing(reader.listing(number))


def test_paths_count_from_the_source(tmp_path: Path) -> None:
    """Equal contents have one listing, wherever they lie: a digest does not know it either."""
    for name in ("one/place", "another"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub/file").write_text("x")

    assert listing_of(tmp_path, "one/place") == listing_of(tmp_path, "another")
    assert sorted(listing_of(tmp_path, "another")) == ["0:", "0:sub", "0:sub/file"]
    assert sorted(listing_of(tmp_path, "an*")) == ["0:another", "0:another/sub", "0:another/sub/file"]


def test_any_name_comes_back(tmp_path: Path) -> None:
    """Line feeds, bytes that are no text, and empty files."""
    names = ["two\nlines", "\udcff", " ", "a:b"]
    for name in names:
        (tmp_path / name).write_text("")

    assert sorted(f"0:{name}" for name in names) == sorted(listing_of(tmp_path))[1:]


def test_link_and_mode(tmp_path: Path) -> None:
    """A link is where it leads to."""
    (tmp_path / "link").symlink_to("to\nwhere")
    (tmp_path / "file").write_text("x")
    (tmp_path / "file").chmod(0o600)

    listing = listing_of(tmp_path)

    assert listing["0:link"] == Listed("symlink", 0o777, "0:0", "to\nwhere")
    assert listing["0:file"].mode == 0o600


def test_several_sources(tmp_path: Path) -> None:
    """Each has its number."""
    (tmp_path / "a").write_text("a")
    directory = DirectoryTree(str(tmp_path))
    parts = []
    for number in range(2):
        reader = ContentReader(directory)
        reader.digest(select(directory, "a"))
        parts.append(reader.listing(number))

    assert list(decode_listing(join_listings(parts))) == ["0:", "1:"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"0:a": FILE}, {"0:a": FILE}, []),
        (
            {"0:a": FILE},
            {"0:a": FILE._replace(mode=0o600)},
            [Difference("0:a", FILE, FILE._replace(mode=0o600))],
        ),
        ({}, {"0:d": FILE, "0:d/x": FILE}, [Difference("0:d", None, FILE)]),
        ({"0:d": FILE, "0:d/x": FILE}, {"0:d": FILE}, [Difference("0:d/x", FILE, None)]),
        ({"0:": FILE, "1:": FILE}, {"0:": FILE}, [Difference("1:", FILE, None)]),
    ],
    ids=["nothing", "a mode", "a new directory is one", "a file that is gone", "a source that is gone"],
)
def test_differences(old: Listing, new: Listing, expected: list[Difference]) -> None:
    """By path; what is below a directory that is new or gone is not told of."""
    assert differences(old, new) == expected
