"""Edits that are hard to see: the same size, within one second, with the old time put back."""

from __future__ import annotations

import os
import random

import pytest

from tests.support.cli import Pybuild
from tests.support.faults import scale, seed
from tests.support.stores import Write

pytestmark = [pytest.mark.stress, pytest.mark.timeout(0)]

_ROUNDS = 300


def test_same_size_edits_are_never_missed(pybuild: Pybuild, write: Write) -> None:
    """Each round edits one of three files, builds at once, and runs: the answer is that of the edit."""
    number = seed()
    chooser = random.Random(number)
    names = ("a", "deep/down/b", "c with space")
    contents = dict.fromkeys(names, f"{0:08d}")
    context = write(
        "FROM busybox\nCOPY . /all\nWORKDIR /all\nCMD cat a deep/down/b 'c with space'\n", dict(contents)
    )
    rounds = max(10, round(_ROUNDS * scale()))
    print(f"PYBUILD_SEED={number}: {rounds} rounds")
    for count in range(1, rounds + 1):
        name, way = chooser.choice(names), chooser.choice(["in place", "renamed", "old time", "swapped"])
        path = context / name
        old = path.stat()
        contents[name] = f"{count:08d}"
        if way in ("in place", "old time"):
            with open(path, "r+b") as file:
                file.write(contents[name].encode())
        else:
            beside = context.parent / "beside"
            beside.write_text(contents[name])
            os.rename(beside, path)
        if way in ("old time", "swapped"):
            os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        pybuild("build", "-q", "-t", "edited", context)
        expected = "".join(contents[name] for name in names)

        assert (count, way, expected) == (count, way, pybuild.run("edited"))


def test_back_and_forth_is_cached_and_right(pybuild: Pybuild, write: Write) -> None:
    """Two contents in turn: the third build finds the first one's steps, and each image is right."""
    images: dict[str, str] = {}
    for content in ("one", "two", "one", "two", "one"):
        built = pybuild.build(write("FROM busybox\nCOPY f /f\nRUN cp /f /g\n", {"f": content}), "-t", "turn")

        assert content == pybuild.run("turn", "cat", "/g")
        assert images.setdefault(content, built.image) == built.image
