"""`size` and `diff`: images, as what is in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builder.fs.tree import StackedTree
from builder.fs.treediff import changes
from tests.support.cli import Pybuild
from tests.support.stores import Write

pytestmark = pytest.mark.e2e


def test_size_of_an_image(pybuild: Pybuild, write: Write) -> None:
    """Each step has what it added, overwrote and deleted; the limits fail with the reason."""
    context = write(
        "FROM busybox\n"
        "RUN dd if=/dev/zero of=/big bs=1000 count=3000; echo one > /small\n"
        "ENV NOTHING=1\n"
        "RUN rm /big; echo two >> /small\n"
    )
    pybuild.build(context, "-t", "app")
    found = json.loads(pybuild("size", "--json", "app").out)
    base, made, removed = found["layers"]

    assert (made["added"], made["addedFiles"], made["wasted"]) == (3_000_004, 2, 0)
    assert made["top"][0] == {"path": "/big", "size": 3_000_000, "isNew": True}
    assert (removed["deleted"], removed["overwritten"], removed["wasted"]) == (3_000_000, 8, 3_000_004)
    assert found["size"] == base["size"] + 3_000_012
    assert found["visible"] == found["size"] - 3_000_004
    assert "RUN /bin/sh -c rm /big" in removed["createdBy"]
    assert "3MB wasted" in pybuild("size", "app", "--max-size", "1GB", "--max-waste", "99%").out
    for options in (["--max-size", "3MB"], ["--max-waste", "2.5MiB"], ["--max-waste", "1%"]):
        failed = pybuild("size", "app", *options, code=1)
        assert "error[image-too-large]" in failed.err
        assert "dd if=/dev/zero" in failed.out
    assert "invalid-option" in pybuild("size", "app", "--max-size", "lots", code=1).err


def test_diff_of_two_images(pybuild: Pybuild, write: Write) -> None:
    """Paths and members of the configuration that are not the same, and nothing else."""
    pybuild.build(write("FROM busybox\nRUN echo 1 > /a; echo 2 > /b; ln -s a /l\nENV X=1\n"), "-t", "one")
    pybuild.build(
        write(
            "FROM busybox\nRUN echo 1 > /a; chmod 600 /a; chown 5:6 /a; mkdir /d; ln -s b /l\n"
            "ENV X=2\nUSER 5\n"
        ),
        "-t",
        "two",
    )
    found = pybuild("diff", "one", "two")
    document = json.loads(pybuild("diff", "--json", "one", "two").out)

    assert found.out.splitlines() == [
        "C /a  mode 0644 → 0600, owner 0:0 → 5:6",
        "D /b",
        "A /d",
        "C /l  link",
        'config.Env[1]: "X=1" → "X=2"',
        'config.User: unset → "5"',
    ]
    assert ["/a", "/b", "/d", "/l"] == [change["path"] for change in document["paths"]]
    assert ["config.Env[1]", "config.User"] == [change["name"] for change in document["config"]]
    pybuild("diff", "--exit-code", "one", "two", code=1)
    assert pybuild("diff", "--exit-code", "two", "two").out == ""


def test_capabilities_count(tmp_path: Path) -> None:
    """A program that got one is another, though its bytes are the same."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ping").write_bytes(b"x")
    os.setxattr(tmp_path / "two/ping", "security.capability", bytes.fromhex("0100000200200000" + "0" * 24))
    trees = [StackedTree([str(tmp_path / name)]) for name in ("one", "two")]

    assert [change.what for change in changes(*trees)] == [("capability",)]
