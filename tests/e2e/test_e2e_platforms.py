"""Builds for several platforms: the graph that they share, the index, and where it goes."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.core.platform import Platform
from tests.support.cli import Pybuild
from tests.support.registry import FakeRegistry
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

# What runs runs here; what it makes is for the target.
_DOCKERFILE = """\
FROM --platform=$BUILDPLATFORM busybox AS base
RUN echo shared > /shared
FROM --platform=$BUILDPLATFORM base AS build
ARG TARGETPLATFORM TARGETARCH TARGETVARIANT BUILDARCH
RUN echo "$TARGETPLATFORM $TARGETARCH $TARGETVARIANT" > /out && test -n "$BUILDARCH"
FROM scratch
ARG TARGETARCH
LABEL arch=$TARGETARCH
COPY --from=build /out /shared /
"""
_PLATFORMS = ("--platform", "linux/amd64,linux/arm64", "--platform=linux/arm/v7", "--platform", "arm64")
_TEXTS = {
    "linux/amd64": "linux/amd64 amd64 \n",
    "linux/arm64": "linux/arm64 arm64 \n",
    "linux/arm/v7": "linux/arm/v7 arm v7\n",
}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def project(write: Write) -> Path:
    return write(_DOCKERFILE)


@pytest.fixture
def other(tmp_path: Path) -> Pybuild:
    return Pybuild(tmp_path / "other", tmp_path / "other-home")


def _platform(entry: Any) -> str:
    return "/".join(
        entry["platform"][key] for key in ("os", "architecture", "variant") if key in entry["platform"]
    )


def test_each_platform_is_built_and_what_they_share_once(
    pybuild: Pybuild, project: Path, tmp_path: Path
) -> None:
    """Every platform has its arguments and its folder; steps say for which platform they are."""
    done = pybuild.build(
        project, *_PLATFORMS, "-o", tmp_path / "out", "-o", f"type=tar,dest={tmp_path}/t.tar"
    )
    runs = [name for name in done.steps if " RUN " in name]

    folders = {platform: platform.replace("/", "_") for platform in _TEXTS}
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(folders.values())
    for platform, folder in folders.items():
        assert (tmp_path / "out" / folder / "out").read_text() == _TEXTS[platform]
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert {name for name in tar.getnames() if "/" not in name} == set(folders.values())
        assert all(tar.getmember(f"{folder}/shared").isreg() for folder in folders.values())
    assert sum("echo shared" in name for name in runs) == 1
    assert sum("> /out" in name for name in runs) == 3
    assert {name.partition(" ")[0] for name in done.steps if "COPY --from=build" in name} == {
        f"[{platform}" for platform in _TEXTS
    }
    assert set(pybuild.build(project, *_PLATFORMS, "-o", "type=cacheonly").steps.values()) == {"CACHED"}


def test_pushed_index(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, project: Path, tmp_path: Path
) -> None:
    """The name leads to an index with a manifest for each platform, annotated as asked."""
    name = f"{registry.host}/team/app:1"
    about = tmp_path / "about.json"
    pybuild.build(
        project, *_PLATFORMS, "-t", name, "--push", "--metadata-file", about,
        "--annotation", "index:of=all",
        "--annotation", "manifest[linux/arm64],manifest-descriptor[linux/arm64]:of=one",
    )  # fmt: skip
    raw = registry.manifest("team/app", "1")
    index = json.loads(raw)
    document = json.loads(about.read_text())

    assert [_platform(entry) for entry in index["manifests"]] == list(_TEXTS)
    assert index["annotations"] == {"of": "all"}
    assert [entry.get("annotations") for entry in index["manifests"]] == [None, {"of": "one"}, None]
    manifests = [json.loads(registry.manifest("team/app", entry["digest"])) for entry in index["manifests"]]
    assert [manifest.get("annotations") for manifest in manifests] == [None, {"of": "one"}, None]
    assert registry.manifest("team/app", document["containerimage.digest"]) == raw
    assert document["containerimage.descriptor"]["mediaType"] == index["mediaType"]
    assert "containerimage.config.digest" not in document
    for platform in _TEXTS:
        other("pull", "--platform", platform, name)
        assert other.inspect(name)["Config"]["Labels"] == {"arch": platform.split("/")[1]}


def test_pushed_manifest_list(pybuild: Pybuild, registry: FakeRegistry, project: Path) -> None:
    """Without OCI types it is Docker's list; by digest alone if that is asked for."""
    output = f"type=image,name={registry.host}/app:1,push=true,oci-mediatypes=false"
    pybuild.build(project, *_PLATFORMS, "-o", output)
    listed = json.loads(registry.manifest("app", "1"))

    assert listed["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert {e["mediaType"] for e in listed["manifests"]} == {
        "application/vnd.docker.distribution.manifest.v2+json"
    }
    pybuild.build(project, *_PLATFORMS, "-o", f"type=registry,name={registry.host}/other,push-by-digest=true")
    assert not registry.has("other", "latest")


def test_what_takes_one_image_is_refused_before_anything_runs(
    pybuild: Pybuild, project: Path, tmp_path: Path
) -> None:
    """And so are files of several platforms in one folder."""
    for options, code in (
        (["-o", f"type=docker,dest={tmp_path}/x.tar"], "one-image-only"),
        (["--load"], "one-image-only"),
        (["-o", f"type=local,dest={tmp_path}/x,platform-split=false"], "platforms-collide"),
    ):
        failed = pybuild.build(project, *_PLATFORMS, *options, code=1)
        assert f"error[{code}]" in failed.err
    assert not list(tmp_path.glob("x*"))


def test_store_keeps_the_images_of_an_index_together(pybuild: Pybuild, project: Path) -> None:
    """A name stands for all of them, its copy too, and they go with the last of the two."""
    pybuild.build(project, *_PLATFORMS, "-t", "several:1")
    pybuild("tag", "several:1", "several:2")
    tree = pybuild("images", "--tree", "several").out.splitlines()
    (arm,) = pybuild("images", "-aq", "--no-trunc", "--filter", "label=arch=arm64").out.split()

    assert [line.split()[:2] for line in tree[2:5]] == [
        ["├─", "linux/amd64"], ["├─", "linux/arm64"], ["└─", "linux/arm/v7"]
    ]  # fmt: skip
    assert len(pybuild("images", "-q", "several").out.split()) == 2
    assert "<none>" not in pybuild("images").out
    assert "several:1" in pybuild("rmi", arm, code=1).err
    pybuild("image", "prune", "-f")
    pybuild("rmi", "several:1")
    assert len(pybuild("images", "--tree", "several:2").out.splitlines()) == 5
    assert pybuild("rmi", "several:2").out.count("Deleted: ") == 3
    assert pybuild("images", "-q", "--filter", "label=arch").out == ""


def test_stored_index_is_pushed_later(pybuild: Pybuild, registry: FakeRegistry, project: Path) -> None:
    """`push` sends all platforms; an index that a registry has stays the same, annotations included."""
    name = f"{registry.host}/app:1"
    pybuild.build(project, *_PLATFORMS, "-t", name)
    digest = pybuild("push", name).out.split()[2]

    index = json.loads(registry.manifest("app", digest))
    assert [_platform(entry) for entry in index["manifests"]] == list(_TEXTS)
    assert pybuild.inspect(name)["RepoDigests"] == [f"{registry.host}/app@{digest}"]

    noted, copy = (f"{registry.host}/{word}:1" for word in ("noted", "copy"))
    pybuild("rmi", name)
    pybuild.build(project, *_PLATFORMS, "-t", noted, "--push", "--annotation", "index:a=b")
    pybuild("tag", noted, copy)
    pybuild("push", copy)
    assert registry.manifest("copy", "1") == registry.manifest("noted", "1")


@pytest.mark.parametrize("form", ["save", "oci", "folder"])
def test_archived_index_is_loaded(
    form: str, pybuild: Pybuild, other: Pybuild, project: Path, tmp_path: Path
) -> None:
    """All platforms of it, under its name."""
    archive = tmp_path / "archive"
    if form == "save":
        pybuild.build(project, *_PLATFORMS, "-t", "several:1")
        pybuild("save", "-o", archive, "several:1")
    else:
        output = f"type=oci,dest={archive},tar={'true' if form == 'oci' else 'false'}"
        pybuild.build(project, *_PLATFORMS, "-t", "several:1", "-o", output)

    assert "Loaded image: several:1" in other("load", "-i", archive).out
    assert [line.split()[1] for line in other("images", "--tree").out.splitlines()[2:]] == list(_TEXTS)


def test_bases_of_every_platform_are_kept(
    pybuild: Pybuild, write: Write, registry: FakeRegistry, tmp_path: Path
) -> None:
    """The images of an index are fetched once, and all of them stay under its name."""
    manifests = [
        (
            registry.push_image("base", None, [_tar(f"for {architecture}")], {"architecture": architecture}),
            name,
        )
        for name, architecture in (("linux/amd64", "amd64"), ("linux/arm64", "arm64"))
    ]
    registry.push_index("base", "1", manifests)
    base = f"{registry.host}/base:1"
    project = write(f"FROM {base}\nCOPY a /a\n", {"a": "a\n"}, name="based")
    pybuild.build(project, *_PLATFORMS[:2], "-o", tmp_path / "out")

    assert (tmp_path / "out/linux_arm64/text").read_text() == "for arm64"
    assert (tmp_path / "out/linux_amd64/text").read_text() == "for amd64"
    registry.log.clear()
    pybuild.build(project, *_PLATFORMS[:2], "-o", "type=cacheonly")
    assert registry.log == []
    assert pybuild.inspect(base)["Architecture"] == Platform.host().architecture
    pybuild("pull", "--platform", "arm64", base)
    assert pybuild.inspect(base)["Architecture"] == "arm64"


def test_check_and_lock_look_at_every_platform(
    pybuild: Pybuild, write: Write, registry: FakeRegistry
) -> None:
    """A name that only one of them needs is locked; a mistake of all is one."""
    for architecture in ("amd64", "arm64"):
        registry.push_image(architecture, "1", [_tar("a")], {"architecture": architecture})
    project = write(f"ARG TARGETARCH\nFROM {registry.host}/$TARGETARCH:1\nCOPY a /\n", {"a": ""}, name="two")
    pybuild("lock", *_PLATFORMS[:2], project)

    locked = json.loads((project / "Dockerfile.lock").read_text())["images"]
    assert set(locked) == {f"{registry.host}/{architecture}:1" for architecture in ("amd64", "arm64")}
    (project / "Dockerfile").write_text("FROM scratch\nCOPPY a /\n")
    assert pybuild("check", *_PLATFORMS, project, code=1).out.count("error[") == 1


def test_every_platform_is_verified(pybuild: Pybuild, write: Write) -> None:
    """Each is built again, and compared with the image of the index that is for it."""
    text = "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETARCH\nRUN echo $TARGETARCH > /a\n"
    project = write(text)
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    options = ("--rewrite-timestamp", *_PLATFORMS[:2])
    pybuild.build(project, *options, "-t", "several", env=epoch)
    said = pybuild("verify", *options, "-t", "several", project, env=epoch).out.splitlines()

    assert said[::2] == ["linux/amd64:", "linux/arm64:"]
    assert [line.partition(":")[0] for line in said[1::2]] == ["identical", "identical"]
    assert said[1] != said[3]
    (project / "Dockerfile").write_text(
        f"{text}RUN [ $TARGETARCH = amd64 ] || cat /proc/sys/kernel/random/uuid > /when\n"
    )
    done = pybuild("verify", *options, project, env=epoch, code=1)
    assert "identical" in done.out.partition("linux/arm64:")[0]
    assert "/when: content" in done.out.partition("linux/arm64:")[2]


def test_platforms_that_nothing_emulates(pybuild: Pybuild, write: Write) -> None:
    """Each that a RUN is for is named before anything runs; without RUN it is built, and not run."""
    odd = ("--platform", f"{Platform.host()},linux/pdp11,linux/vax")
    project = write("FROM --platform=$BUILDPLATFORM busybox AS base\nFROM scratch\nCOPY --from=base / /\n")
    pybuild.build(project, *odd, "-t", "odd")
    (project / "Dockerfile").write_text((project / "Dockerfile").read_text() + "RUN touch /x\n")
    failed = pybuild.build(project, *odd, code=1)

    assert pybuild.run("odd", "uname", "-m") == f"{os.uname().machine}\n"
    assert "linux/vax" in pybuild("run", "--rm", "--platform", "linux/vax", "odd", "true", code=125).err
    assert failed.err.count("error[cannot-emulate]") == 2
    assert "Dockerfile:4" in failed.err
    assert "qemu-user-static" in failed.err
    assert not [state for state in failed.steps.values() if state == "DONE"]


def test_default_platform_of_the_environment(pybuild: Pybuild, project: Path) -> None:
    """As Docker's client reads it; an option counts more."""
    environment = {"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}
    pybuild.build(project, "-t", "one", env=environment)
    pybuild.build(project, "-t", "two", "--platform", "linux/amd64", env=environment)

    assert [pybuild.inspect(name)["Architecture"] for name in ("one", "two")] == ["arm64", "amd64"]


def _tar(text: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo("text")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return file.getvalue()
