"""`build --output` and its shorthands: what is written, what the store keeps, and what is left alone."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import stat
import subprocess
import tarfile
from base64 import b64decode
from pathlib import Path

import pytest

from builder.core.digest import Digest
from tests.support.cli import Pybuild, program
from tests.support.engine_api import FakeDaemon, serving
from tests.support.faults import strace
from tests.support.images import read_archive
from tests.support.registry import FakeRegistry
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_DOCKERFILE = """\
FROM busybox AS base
FROM base
COPY a /d/a
RUN echo b > /b && chmod 4750 /b && chown 33:50 /d/a && ln -s /etc/passwd /soft && rm /etc/group
"""


@pytest.fixture
def project(write: Write) -> Path:
    return write(_DOCKERFILE, {"a": "a\n"})


@pytest.fixture
def other(tmp_path: Path) -> Pybuild:
    return Pybuild(tmp_path / "other", tmp_path / "other-home")


def _names(pybuild: Pybuild) -> str:
    return pybuild("images", "--format", "{{.Repository}}:{{.Tag}}").out


def test_archives(pybuild: Pybuild, other: Pybuild, project: Path, tmp_path: Path) -> None:
    """Every kind loads elsewhere and runs; with them alone, the store keeps no image."""
    places = [tmp_path / name for name in ("docker.tar", "oci.tar", "folder", "plain.tar")]
    docker, oci, folder, plain = places
    built = pybuild.build(
        project, "-t", "made:v1", f"--output=type=docker,dest={docker}", "-o", f"type=oci,dest={oci}",
        "-o", f"type=oci,dest={folder},tar=false,compression=zstd,name=also:v2",
        "-o", f"type=docker,dest={plain},compression=uncompressed,oci-mediatypes=false",
    )  # fmt: skip

    assert "made" not in _names(pybuild)
    for place in places:
        said = other("load", "-i", place).out
        assert "Loaded image: made:v1" in said
        assert ("also:v2" in said) == (place is folder)
        assert other.inspect("made:v1")["Id"] == built.image
        assert other.run("made:v1", "cat", "/d/a", "/b") == "a\nb\n"
        other("rmi", "-f", "made:v1")
    with tarfile.open(docker) as one, tarfile.open(oci) as two:
        assert "manifest.json" in set(one.getnames()) - set(two.getnames())
    assert oci.stat().st_size < plain.stat().st_size * 0.8
    manifest = json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]
    layers = json.loads((folder / "blobs" / manifest.replace(":", "/")).read_text())["layers"]
    assert {layer["mediaType"] for layer in layers} <= {
        "application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.v1.tar+gzip",
    }  # fmt: skip


def test_the_same_again_writes_nothing(pybuild: Pybuild, project: Path, tmp_path: Path) -> None:
    """A build that is cached leaves the blobs of a layout and the files of a folder as they are."""

    def inodes() -> dict[str, int]:
        places = [*(tmp_path / "layout/blobs").rglob("*"), *(tmp_path / "files").rglob("*")]
        return {str(path): path.lstat().st_ino for path in places}

    outputs = ("-o", f"type=oci,tar=false,dest={tmp_path}/layout", "-o", str(tmp_path / "files"))
    pybuild.build(project, *outputs)
    before = inodes()
    forms = {path.name for path in (pybuild.root / "content-v1/blobs/sha256").iterdir()}
    pybuild.build(project, *outputs)

    assert inodes() == before
    assert {path.name for path in (pybuild.root / "content-v1/blobs/sha256").iterdir()} == forms


def test_files(pybuild: Pybuild, project: Path, tmp_path: Path) -> None:
    """A folder has what the image has, less its owners; a tar has these too."""
    out = tmp_path / "out"
    pybuild.build(project, "-o", out, "-o", f"type=tar,dest={tmp_path}/files.tar")
    pybuild.build(project, "-o", f"type=local,dest={tmp_path}/split,platform-split=true")

    assert (out / "d/a").read_text() == "a\n"
    assert (out / "d/a").stat().st_uid == os.geteuid()
    assert stat.S_IMODE((out / "b").stat().st_mode) == 0o4750
    assert os.readlink(out / "soft") == "/etc/passwd"
    assert not (out / "etc/group").exists()
    with tarfile.open(tmp_path / "files.tar") as tar:
        found = {member.name: member for member in tar}
    assert (found["d/a"].uid, found["d/a"].gid) == (33, 50)
    assert found["soft"].linkname == "/etc/passwd"
    assert "etc/group" not in found
    (split,) = (tmp_path / "split").iterdir()
    assert split.name.startswith("linux_")
    assert (split / "b").read_text() == "b\n"


def test_a_mirror_of_the_files(pybuild: Pybuild, project: Path, tmp_path: Path) -> None:
    """mode=delete leaves the image's files and no others; a folder that somebody works in is refused."""
    out = tmp_path / "out"
    (out / "d/old").mkdir(parents=True)
    (out / "stale").touch()
    pybuild.build(project, "-o", f"type=local,dest={out},mode=delete")

    assert os.listdir(out / "d") == ["a"]
    assert not (out / "stale").exists()
    for place, cwd in ((out, out / "d"), (project, tmp_path), ("/", tmp_path)):
        failed = pybuild.build(project, "-o", f"type=local,dest={place},mode=delete", cwd=cwd, code=1)
        assert "error[invalid-output]" in failed.err
    assert (project / "Dockerfile").exists()


def test_standard_output(pybuild: Pybuild, project: Path) -> None:
    """`-o -` is a tar and nothing else, even with -q; what is said goes to standard error."""
    done = subprocess.run(
        [program(), "build", "-q", "-o", "-", str(project)],
        env=pybuild.env, capture_output=True, check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip

    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert "d/a" in tar.getnames()


def test_failures_leave_what_was_there(pybuild: Pybuild, write: Write, project: Path, tmp_path: Path) -> None:
    """A build or an output that fails does not cost the archive of yesterday."""
    good = tmp_path / "good.tar"
    good.write_text("good")
    broken = write("FROM busybox\nRUN false\n", name="broken")
    pybuild.build(broken, "-o", f"type=oci,dest={good}", code=1)
    pybuild.build(project, "-o", f"type=oci,dest={good},oci-mediatypes=false,compression=zstd", code=1)

    assert good.read_text() == "good"
    assert sorted(path.name for path in tmp_path.iterdir() if "partial" in path.name) == []
    pybuild.build(project, "-o", "type=tar,dest=/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_build_of_nothing_new_writes_next_to_nothing(
    pybuild: Pybuild, write: Write, tmp_path: Path
) -> None:
    """To the store and to what it leaves: a few rows and documents, though the image has many megabytes."""
    project = write("FROM busybox\nCOPY big /\n", {"big": random.Random(1).randbytes(8 << 20)})
    layout, log = tmp_path / "layout", tmp_path / "log"
    outputs = ("-t", "made", "-o", f"type=oci,tar=false,dest={layout}", "-o", "type=image,compression=zstd")
    pybuild.build(project, *outputs)
    calls = "write,pwrite64,writev,pwritev,copy_file_range,sendfile,ftruncate"
    pybuild.build(project, *outputs, prefix=strace("-y", "-o", str(log), "-e", f"trace={calls}"))
    done = re.findall(r"\([0-9]+<([^>]*)>.* = ([0-9]+)$", log.read_text(), flags=re.MULTILINE)
    written = [
        (path, int(size)) for path, size in done if path.startswith((str(pybuild.root), str(tmp_path)))
    ]

    assert sum(size for _, size in written) < 256 << 10
    assert not any("blobs/sha256" in path for path, _ in written)


def test_cacheonly(pybuild: Pybuild, project: Path) -> None:
    """The steps are there for the next build; an image is not."""
    pybuild.build(project, "-t", "made", "-o", "type=cacheonly")

    assert "made" not in _names(pybuild)
    (state,) = [s for name, s in pybuild.build(project).steps.items() if name.endswith("COPY a /d/a")]
    assert state == "CACHED"


def test_push_with_metadata(pybuild: Pybuild, other: Pybuild, project: Path, tmp_path: Path) -> None:
    """--push leaves the image in registry and store; the metadata names what the registry has."""
    with FakeRegistry() as registry:
        name = f"{registry.host}/team/app:1"
        iid, about = tmp_path / "iid", tmp_path / "about.json"
        pybuild.build(
            project, "-t", name, "--push", "--annotation", "org.test=x", "--metadata-file", about,
            "--iidfile", iid,
        )  # fmt: skip
        document = json.loads(about.read_text())
        raw = registry.manifest("team/app", document["containerimage.digest"])

        image = pybuild.inspect(name)["Id"]
        assert iid.read_text() == document["containerimage.config.digest"] == image
        assert document["containerimage.descriptor"]["digest"] == document["containerimage.digest"]
        assert document["containerimage.descriptor"]["size"] == len(raw)
        assert document["image.name"] == name
        assert document["buildx.build.ref"].count("/") == 2
        assert json.loads(raw)["annotations"] == {"org.test": "x"}
        other("pull", name)
        assert other.run(name, "cat", "/b") == "b\n"


def test_metadata_has_warnings_if_asked(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """As BuildKit writes them, when buildx's variable says so."""
    project, about = write("FROM busybox\nWORKDIR there\n"), tmp_path / "about.json"
    pybuild.build(project, "--metadata-file", about)
    assert "buildx.build.warnings" not in json.loads(about.read_text())
    pybuild.build(project, "--metadata-file", about, env={"BUILDX_METADATA_WARNINGS": "1"})
    (warning,) = json.loads(about.read_text())["buildx.build.warnings"]

    assert b64decode(warning["short"]).startswith(b"WorkdirRelativePath: ")
    assert warning["url"].endswith("/rule/workdir-relative-path/")
    assert warning["sourceInfo"]["filename"] == "Dockerfile"
    assert warning["range"][0]["start"]["line"] == 2


def test_push_of_estargz(pybuild: Pybuild, other: Pybuild, project: Path, tmp_path: Path) -> None:
    """Layers say where their index is; the image that is pulled has the files, and keeps its digest."""
    with FakeRegistry() as registry:
        name, about = f"{registry.host}/team/app:1", tmp_path / "about.json"
        output = f"type=image,name={name},push=true,compression=estargz,force-compression=true"
        pybuild.build(project, "-o", output, "--metadata-file", about)
        document = json.loads(about.read_text())
        manifest = json.loads(registry.manifest("team/app", "1"))
        other("pull", name)

        for layer in manifest["layers"]:
            blob = registry.blob("team/app", layer["digest"])
            toc_at, said = int(blob[-35:-19], 16), layer["annotations"]
            plain = gzip.decompress(blob)
            assert said["io.containers.estargz.uncompressed-size"] == str(len(plain))
            toc = gzip.decompress(blob[toc_at:])[512:].partition(b"\0")[0]
            assert said["containerd.io/snapshot/stargz/toc.digest"] == str(Digest.of(toc))
        assert other.run(name, "cat", "/b") == "b\n"
        assert other.inspect(name)["Id"] == document["containerimage.config.digest"]
        pybuild.build(project, "-o", output, "--metadata-file", about)
        assert json.loads(about.read_text())["containerimage.digest"] == document["containerimage.digest"]


def test_push_by_digest(pybuild: Pybuild, project: Path, tmp_path: Path) -> None:
    """Under no tag, and found by the digest that the metadata gives."""
    with FakeRegistry() as registry:
        output = f"type=image,name={registry.host}/team/app,push=true,push-by-digest=true"
        pybuild.build(project, "-o", output, "--metadata-file", tmp_path / "about.json")
        digest = json.loads((tmp_path / "about.json").read_text())["containerimage.digest"]

        assert registry.has("team/app", digest)
        assert not registry.has("team/app", "latest")
        tagged = output.replace("team/app", "team/app:1")
        assert "error[tagged-digest]" in pybuild.build(project, "-o", tagged, code=1).err


def test_names_by_digest(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """name-canonical finds the image by its digest too, and dangling-name-prefix one that has no name."""
    about = tmp_path / "about.json"

    def digest_of(output: str, text: str) -> str:
        pybuild.build(write(f"FROM busybox\nLABEL a={text}\n"), "-o", output, "--metadata-file", about)
        found: str = json.loads(about.read_text())["containerimage.digest"]
        return found

    one = digest_of("type=image,name=r.test/app:1,name-canonical=true", "1")
    two = digest_of("type=image,dangling-name-prefix=r.test/anonymous", "2")
    three = digest_of("type=image,name=named,dangling-name-prefix=r.test/anonymous", "3")

    assert pybuild.inspect(f"r.test/app@{one}")["RepoTags"] == ["r.test/app:1"]
    assert pybuild.inspect(f"r.test/anonymous@{two}")["RepoTags"] == []
    assert pybuild.inspect("named")["RepoDigests"] == []
    assert "image-not-found" in pybuild("inspect", f"r.test/anonymous@{three}", code=1).err


def test_push_to_an_insecure_registry(pybuild: Pybuild, project: Path) -> None:
    """Its certificate is nobody's; registry.insecure takes it, for this output alone."""
    with FakeRegistry(tls=True) as registry:
        output = f"type=registry,name={registry.host}/app"
        (pybuild.home / "config.toml").write_text(f'[registry."{registry.host}"]\ninsecure = false\n')
        failed = pybuild.build(project, "-o", output, code=1)
        assert not registry.has("app", "latest")
        pybuild.build(project, "-o", f"{output},registry.insecure=true")

        assert "certificate" in failed.err
        assert registry.has("app", "latest")


def test_load_into_a_daemon(pybuild: Pybuild, other: Pybuild, project: Path, tmp_path: Path) -> None:
    """It gets a docker-archive with plain layers; where none answers, that is said by its address."""
    daemon = FakeDaemon()
    with serving(daemon, tmp_path / "socket") as host:
        built = pybuild.build(project, "-t", "made:v1", "--load", env={"DOCKER_HOST": host})
    (tmp_path / "sent.tar").write_bytes(daemon.loaded[0])
    failed = pybuild.build(project, "-t", "made:v1", "--load", env={"DOCKER_HOST": host}, code=1)

    assert read_archive(tmp_path / "sent.tar").digest == built.image
    other("load", "-i", tmp_path / "sent.tar")
    assert other.run("made:v1", "cat", "/b") == "b\n"
    assert pybuild.inspect("made:v1")["Id"] == built.image
    assert "error[daemon-unavailable]" in failed.err
    assert host in failed.err


def test_what_makes_no_sense_builds_nothing(pybuild: Pybuild, project: Path) -> None:
    """Mistakes are found before the first step."""
    for options, code in (
        (["--push"], "nothing-to-push"),
        (["--annotation", "index:a=b"], "invalid-annotation"),
        (["-o", "type=oic,dest=x"], "invalid-output"),
        (["-o", "type=oci,dest=x,compression=lz4"], "unknown-compression"),
        (["-o", "type=image,compression=estargz,oci-mediatypes=false"], "needs-oci-types"),
        (["-o", "type=image,compression=estargz,compression-level=10"], "unsupported"),
        (["-o", "type=image,compression-level=77"], "unsupported"),
        (["-o", "type=image,oci-mediatypes=false", "--annotation", "a=b"], "needs-oci-types"),
    ):
        failed = pybuild.build(project, *options, code=1)

        assert f"error[{code}]" in failed.err
        assert failed.steps == {}
