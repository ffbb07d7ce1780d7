"""`save` and `load`: one tar that docker and OCI tools both read, or a folder."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.images import read_archive
from tests.support.processes import assert_intact
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_DOCKERFILE = (
    'FROM busybox\nCOPY a /a\nRUN echo b > /b; rm /etc/group; ln /a /hard\nCMD ["cat", "/a", "/b"]\n'
)


@pytest.fixture
def other(pybuild: Pybuild, tmp_path: Path) -> Pybuild:
    """An empty store."""
    return Pybuild(tmp_path / "other", tmp_path / "other-home")


def _build(pybuild: Pybuild, write: Write) -> str:
    return pybuild.build(write(_DOCKERFILE, {"a": "a\n"}), "-t", "made:v1").image


def test_archive_is_both_kinds(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """manifest.json for docker, index.json and blobs for OCI; both lead to the same config and layers."""
    image = _build(pybuild, write)
    path = pybuild.save("made:v1", tmp_path / "made.tar")
    with tarfile.open(path) as tar:
        names = tar.getnames()
        manifest = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr] # it is a file
    read = read_archive(path)

    assert image == read.digest
    assert [f"blobs/{image.replace(':', '/')}"] == [entry["Config"] for entry in manifest]
    assert [entry["RepoTags"] for entry in manifest] == [["made:v1"]]
    assert len(read.layers) == len(manifest[0]["Layers"])
    assert {"oci-layout", "index.json", "manifest.json"} <= set(names)
    assert len(names) == len(set(names))


def test_round_trip(pybuild: Pybuild, other: Pybuild, write: Write, tmp_path: Path) -> None:
    """What is loaded elsewhere has the same id and name, runs, is a base, and saves to the same bytes."""
    image = _build(pybuild, write)
    path = pybuild.save("made:v1", tmp_path / "made.tar")
    said = other("load", "-i", path).out
    built = other.build(write("FROM made:v1\nRUN cat /a > /c\n", name="child"))

    assert said == "Loaded image: made:v1\n"
    assert image == other.inspect("made:v1")["Id"]
    assert other.run("made:v1") == "a\nb\n"
    assert built.steps["[2/2] RUN cat /a > /c"] == "DONE"
    assert path.read_bytes() == other.save("made:v1", tmp_path / "again.tar").read_bytes()
    assert_intact(other.root)


def test_directory_and_streams(pybuild: Pybuild, other: Pybuild, write: Write, tmp_path: Path) -> None:
    """--format oci-dir writes a layout that load takes; standard output and input work as files do."""
    image = _build(pybuild, write)
    pybuild("save", "--format", "oci-dir", "-o", tmp_path / "layout", "made:v1")
    other("load", "-i", tmp_path / "layout")
    by_stream = f"pybuild save made:v1 | PYBUILD_ROOT={tmp_path}/third pybuild load -q"
    import subprocess

    from tests.support.cli import program

    path = f"{Path(program()).parent}:{pybuild.env['PATH']}"
    subprocess.run(["sh", "-ec", by_stream], env={**pybuild.env, "PATH": path}, check=True)
    third = Pybuild(tmp_path / "third", tmp_path / "third-home")

    assert {image} == {command.inspect("made:v1")["Id"] for command in (pybuild, other, third)}


def test_several_images_share_layers(pybuild: Pybuild, other: Pybuild, write: Write, tmp_path: Path) -> None:
    """One archive of two images holds what they share once, and both arrive."""
    _build(pybuild, write)
    pybuild("save", "-o", tmp_path / "two.tar", "made:v1", "busybox")
    other("load", "-i", tmp_path / "two.tar")

    assert other.run("made:v1") == "a\nb\n"
    assert other.run("busybox", "echo", "x") == "x\n"
    with tarfile.open(tmp_path / "two.tar") as tar:
        blobs = [name for name in tar.getnames() if name.startswith("blobs/sha256/")]
    assert len(blobs) == len(set(blobs))


def test_damaged_archives(pybuild: Pybuild, other: Pybuild, write: Write, tmp_path: Path) -> None:
    """Cut off, flipped, empty: one error, an intact store, and the good archive loads afterwards."""
    _build(pybuild, write)
    good = pybuild.save("made:v1", tmp_path / "made.tar")
    data = good.read_bytes()
    flipped = bytearray(data)
    middle = len(data) // 2
    flipped[middle] ^= 0xFF
    for name, bad in (
        ("cut", data[:middle]),
        ("flipped", bytes(flipped)),
        ("empty", b""),
        ("noise", os.urandom(9999)),
    ):
        path = tmp_path / name
        path.write_bytes(bad)
        failed = other("load", "-i", path, code=1)

        assert (name, 1) == (name, failed.err.count("error["))
        assert "Traceback" not in failed.err
    assert_intact(other.root)
    other("load", "-i", good)
    assert other.run("made:v1") == "a\nb\n"


def test_failed_save_leaves_the_old_file(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """A name that is not there does not cost the archive that is."""
    (tmp_path / "old.tar").write_text("old")
    pybuild("save", "-o", tmp_path / "old.tar", "busybox", "nothing", code=1)

    assert (tmp_path / "old.tar").read_text() == "old"
    assert [path for path in tmp_path.iterdir() if "partial" in path.name] == []
