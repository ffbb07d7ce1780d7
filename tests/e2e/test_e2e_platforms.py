"""Builds for several platforms: the graph that they share, the index, and where it goes."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
