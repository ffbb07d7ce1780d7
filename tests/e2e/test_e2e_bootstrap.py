"""`bootstrap`: a base image from this machine, with busybox or without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.images import read_archive
from tests.support.processes import assert_intact
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_SCRIPT = (
    "set -e; mkdir /made; echo b > /made/b; echo a >> /made/b; sort /made/b | head -n 1 > /made/a;"
    ' ls /made | wc -l; cat /made/a; [ "$(id -u)" = 0 ]; sed s/a/c/ /made/a; grep -c root /etc/passwd;'
    " rm -r /made; basename /x/y"
)


def test_with_busybox(pybuild: Pybuild) -> None:
    """The image has busybox and its applets, a passwd file, and the usual directories."""
    assert pybuild.run("busybox", "sh", "-c", _SCRIPT) == "2\na\nc\n1\ny\n"
    assert pybuild.run("busybox", "sh", "-c", "ls -ld /tmp | cut -c1-10") == "drwxrwxrwt\n"


def test_without_busybox(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """A machine that has no busybox lends its own tools with their libraries; builds work on them."""
    busybox = shutil.which("busybox")
    assert busybox, "these tests need busybox: install the package busybox-static"
    # Hidden in a mount namespace of its own: the program looks in fixed directories.
    hidden = ["unshare", "-m", "sh", "-c", f'mount --bind /dev/null {busybox} && exec "$@"', "sh"]
    made = pybuild("bootstrap", "tools:v1", prefix=hidden)
    built = pybuild.build(
        write("FROM tools:v1\nCOPY x /x\nRUN cp /x /y && cat /y\n", {"x": "copied\n"}), "-t", "on"
    )

    assert "tools of this machine" in made.out
    assert pybuild.run("tools:v1", "sh", "-c", _SCRIPT) == "2\na\nc\n1\ny\n"
    assert "copied" in built.err
    assert "bin/busybox" not in read_archive(pybuild.save("on", tmp_path / "on.tar")).tree()
    assert_intact(pybuild.root)


def test_twice(pybuild: Pybuild) -> None:
    """A second bootstrap takes the name over; images that were built on the first stay."""
    first = pybuild.inspect("busybox")["Id"]
    pybuild("bootstrap")

    assert pybuild.run("busybox", "echo", "fine") == "fine\n"
    assert pybuild.run(first, "echo", "fine") == "fine\n"
