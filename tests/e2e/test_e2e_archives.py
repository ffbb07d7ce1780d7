"""`save` and `load`: one tar that docker and OCI tools both read, or a folder."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

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


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "docker-dir", "oci-dir"])
def test_podmans_formats(form: str, pybuild: Pybuild, other: Pybuild, write: Write, tmp_path: Path) -> None:
    """Each loads to the same image; what was compressed is smaller, and a second time nothing is written."""
    image, place = _build(pybuild, write), tmp_path / "saved"
    said = pybuild("save", "--format", form, "-q", "--compress", "-o", place, "made:v1")
    if form.endswith("dir"):
        before = {path: path.stat().st_ino for path in place.rglob("*") if len(path.name) == 64}
        pybuild("save", "--format", form, "--compression", "gzip", "-o", place, "made:v1")
        assert before == {path: path.stat().st_ino for path in place.rglob("*") if len(path.name) == 64}
    loaded = other("load", "-i", place).out

    assert said.out == ""
    # A docker-dir has no names.
    assert loaded == (f"Loaded image ID: {image}\n" if form == "docker-dir" else "Loaded image: made:v1\n")
    assert other.run(image) == "a\nb\n"
    if form.endswith("archive"):
        with tarfile.open(place) as tar:
            assert ("manifest.json" in tar.getnames()) == (form == "docker-archive")


def test_options_of_save(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """What cannot be is refused before anything is written."""
    _build(pybuild, write)
    for options, code in (
        (["--format", "dir", "made:v1"], "no-output"),
        (["--format", "docker-dir", "made:v1", "busybox"], "one-image-at-a-time"),
        (["--format", "docker-dir", "--compression", "zstd", "made:v1"], "needs-oci-types"),
        (["--compression", "lz4", "made:v1"], "unknown-compression"),
        (["--platform", "linux/s390x", "made:v1"], "no-matching-platform"),
    ):
        assert f"error[{code}]" in pybuild("save", "-m", "-o", tmp_path / "out", *options, code=1).err
        assert not (tmp_path / "out").exists()
    assert "no folder" in pybuild("save", "-o", tmp_path / "no/out", "busybox", code=1).err


def test_repository_means_all_its_tags(
    pybuild: Pybuild, other: Pybuild, write: Write, tmp_path: Path
) -> None:
    """As in Docker; and each of two names of one image is loaded."""
    _build(pybuild, write)
    pybuild("tag", "made:v1", "made:v2")
    pybuild("tag", "busybox", "made:v3")
    said = other("load", "-i", pybuild.save("made", tmp_path / "made.tar")).out

    assert sorted(said.splitlines()) == [f"Loaded image: made:v{n}" for n in "123"]


def test_load_tells_who_loses_a_name(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """In Docker's words; the older image stays without a name. The same again says nothing of it."""
    image = _build(pybuild, write)
    archive = pybuild.save("made:v1", tmp_path / "made.tar")
    newer = pybuild.build(write("FROM busybox\nLABEL n=2\n"), "-t", "made:v1").image
    first, second = pybuild("load", "-i", archive).out, pybuild("load", "-i", archive).out

    assert first.splitlines() == [
        f"The image made:v1 already exists, renaming the old one with ID {newer} to empty string",
        "Loaded image: made:v1",
    ]
    assert second == "Loaded image: made:v1\n"
    assert pybuild.inspect("made:v1")["Id"] == image
    assert pybuild.inspect(newer)["RepoTags"] == []


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
def test_compressed_archives(
    name: str, pybuild: Pybuild, other: Pybuild, write: Write, tmp_path: Path
) -> None:
    """As they come, from standard input."""
    image = _build(pybuild, write)
    plain = pybuild.save("made:v1", tmp_path / "made.tar").read_bytes()
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstandard.compress,
    }  # fmt: skip
    packed = packers[name](plain)

    assert other("load", input=packed).out == "Loaded image: made:v1\n"
    assert other.inspect("made:v1")["Id"] == image


def test_load_of_a_platform(pybuild: Pybuild, other: Pybuild, write: Write, tmp_path: Path) -> None:
    """The image of that platform is taken, and the error of another names what there is."""
    project = write("FROM scratch\nCOPY Dockerfile /\n")
    archive = tmp_path / "both.tar"
    pybuild.build(
        project, "-t", "both", "--platform", "linux/arm64,linux/s390x", "-o", f"type=oci,dest={archive}"
    )
    assert "linux/s390x" in other("load", "-i", archive, "--platform", "linux/arm/v7", code=1).err
    assert other("images", "-q").out == ""
    other("load", "-i", archive, "--platform", "linux/s390x")

    assert other.inspect("both")["Architecture"] == "s390x"
    alone = other.save("both", tmp_path / "alone.tar")
    assert (
        "error[no-matching-platform]" in pybuild("load", "-i", alone, "--platform", "linux/arm64", code=1).err
    )


def test_save_of_a_platform(pybuild: Pybuild, other: Pybuild, write: Write, tmp_path: Path) -> None:
    """Of a name that stands for two: one, or in an OCI archive both."""
    project, archive = write("FROM scratch\nCOPY Dockerfile /\n"), tmp_path / "saved.tar"
    pybuild.build(project, "-t", "both", "--platform", "linux/arm64,linux/s390x")
    pybuild("save", "--format", "oci-archive", "-o", archive, "both")
    other("load", "-i", archive, "--platform", "linux/arm64")
    assert other.inspect("both")["Architecture"] == "arm64"
    pybuild("save", "--platform", "linux/s390x", "-o", archive, "both")
    other("load", "-i", archive)

    assert other.inspect("both")["Architecture"] == "s390x"


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
