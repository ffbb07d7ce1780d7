"""Our archives in other people's tools, and theirs in ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.images import read_archive
from tests.support.stores import Write

pytestmark = pytest.mark.conformance

_DOCKERFILE = """\
FROM busybox
ENV A=b
COPY --chown=33:50 --chmod=750 a /dir/a
RUN echo b > /b; rm /etc/group; ln /b /hard; ln -s b /soft; mkfifo /pipe; mknod /null c 1 3
RUN rm -r /dir; mkdir /dir; echo c > /dir/c
WORKDIR /work
USER 33
EXPOSE 80
VOLUME /data
LABEL a=b
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
ENTRYPOINT ["cat"]
CMD ["/b"]
"""
_PACKAGES = {"skopeo": "skopeo", "umoci": "umoci"}


def _tool(name: str, *words: str | Path) -> str:
    if shutil.which(name) is None:
        pytest.fail(f"this test needs {name}: install the package {_PACKAGES[name]}")
    done = subprocess.run([name, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name} {words}: {done.stderr}"
    return done.stdout


@pytest.fixture
def image(pybuild: Pybuild, write: Write) -> str:
    return pybuild.build(write(_DOCKERFILE, {"a": "a\n"}), "-t", "made:v1").image


@pytest.fixture
def archive(pybuild: Pybuild, image: str, tmp_path: Path) -> Path:
    return pybuild.save("made:v1", tmp_path / "made.tar")


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_skopeo_inspects(transport: str, archive: Path) -> None:
    """Both halves of the archive say what the Dockerfile said."""
    found = json.loads(_tool("skopeo", "inspect", f"{transport}:{archive}"))
    config = json.loads(_tool("skopeo", "inspect", "--config", f"{transport}:{archive}"))

    assert found["Labels"] == {"a": "b"}
    assert len(found["Layers"]) == 5
    assert config["config"]["Entrypoint"] == ["cat"]
    assert config["config"]["Cmd"] == ["/b"]
    assert config["config"]["WorkingDir"] == "/work"


@pytest.mark.parametrize("source", ["docker-archive", "oci-archive", "oci"])
@pytest.mark.parametrize("target", ["docker-archive", "oci-archive", "oci"])
def test_skopeo_copies_both_ways(
    source: str, target: str, pybuild: Pybuild, archive: Path, image: str, tmp_path: Path
) -> None:
    """Through every transport and back: the files, and what runs, are the same."""
    given: Path = archive
    if source == "oci":
        given = tmp_path / "layout"
        pybuild("save", "--format", "oci-dir", "-o", given, "made:v1")
    name = "made:v1" if source != "oci-archive" else ""
    read_from = f"{source}:{given}" + (
        f":{name}" if source == "docker-archive" else ":v1" if source == "oci" else ""
    )
    written = tmp_path / "written"
    _tool("skopeo", "copy", read_from, f"{target}:{written}:copied:v2")
    other = Pybuild(tmp_path / "other", tmp_path / "other-home")
    said = other("load", "-i", written).out
    loaded = said.rpartition(" ")[2].strip()

    assert other("run", "--rm", loaded).out == "b\n"
    ours, theirs = (
        read_archive(command.save(what, tmp_path / f"{number}.tar"))
        for number, (command, what) in enumerate(((pybuild, "made:v1"), (other, loaded)))
    )
    assert ours.tree() == theirs.tree()
    assert ours.config["rootfs"] == theirs.config["rootfs"]


@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
def test_compressed_layers_of_others_are_taken(
    transport: str, pybuild: Pybuild, archive: Path, tmp_path: Path
) -> None:
    """Gzip and zstd layers, as other builders write them, load to the same files."""
    for form in ("gzip", "zstd") if transport == "oci-archive" else ("gzip",):
        written = tmp_path / f"{form}.tar"
        options = ["--dest-compress-format", form] if transport == "oci-archive" else []
        _tool(
            "skopeo", "copy", *options, f"docker-archive:{archive}:made:v1", f"{transport}:{written}:x:{form}"
        )
        other = Pybuild(tmp_path / f"other-{form}", tmp_path / "other-home")
        name = other("load", "-i", written).out.rpartition(" ")[2].strip()

        assert other("run", "--rm", name).out == "b\n"


def test_umoci_unpacks(pybuild: Pybuild, archive: Path, image: str, tmp_path: Path) -> None:
    """umoci finds the files that the last step left, with owners, modes and links."""
    pybuild("save", "--format", "oci-dir", "-o", tmp_path / "layout", "made:v1")
    _tool("umoci", "unpack", "--image", f"{tmp_path}/layout:v1", tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"

    assert os.listdir(root / "dir") == ["c"]
    assert (root / "hard").read_text() == "b\n"
    assert (root / "hard").samefile(root / "b")
    assert os.readlink(root / "soft") == "b"
    assert not (root / "etc/group").exists()
    assert (root / "pipe").is_fifo()
    assert (root / "null").is_char_device()
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    assert read_archive(archive).tree().keys() - {""} == found


@pytest.mark.parametrize("compression", ["gzip", "zstd", "estargz", "uncompressed"])
@pytest.mark.parametrize("kind", ["docker", "oci", "oci-folder"])
def test_outputs_are_taken(
    kind: str, compression: str, pybuild: Pybuild, write: Write, tmp_path: Path
) -> None:
    """skopeo copies every archive of `build --output`, and decompresses to the digests that it names."""
    kind, _, folder = kind.partition("-")
    given, written = tmp_path / "given", tmp_path / "written"
    output = f"type={kind},dest={given},compression={compression}{',tar=false' if folder else ''}"
    pybuild.build(write(_DOCKERFILE, {"a": "a\n"}), "-t", "made:v1", "-o", output)
    read_from = f"oci:{given}:v1" if folder else f"{kind}-archive:{given}"
    _tool("skopeo", "copy", read_from, f"oci:{written}:v2")
    other = Pybuild(tmp_path / "other", tmp_path / "other-home")
    name = other("load", "-i", written).out.split()[-1]

    assert other("run", "--rm", name).out == "b\n"
    # umoci of Debian knows no zstd.
    if folder and compression != "zstd":
        _tool("umoci", "unpack", "--image", f"{given}:v1", tmp_path / "bundle")
        assert (tmp_path / "bundle/rootfs/b").read_text() == "b\n"


def test_umoci_image_loads(pybuild: Pybuild, image: str, tmp_path: Path) -> None:
    """A layout that umoci added a layer to is taken, with its whiteouts."""
    layout = tmp_path / "layout"
    pybuild("save", "--format", "oci-dir", "-o", layout, "made:v1")
    _tool("umoci", "unpack", "--image", f"{layout}:v1", tmp_path / "bundle")
    (tmp_path / "bundle/rootfs/dir/c").unlink()
    (tmp_path / "bundle/rootfs/added").write_text("added\n")
    _tool("umoci", "repack", "--image", f"{layout}:v2", tmp_path / "bundle")
    other = Pybuild(tmp_path / "other", tmp_path / "other-home")
    newest = other("load", "-i", layout).out.split()[-1]

    assert other("run", "--rm", newest, "/added").out == "added\n"
    assert other("run", "--rm", "--entrypoint", "ls", newest, "/dir").out == ""
