"""`index create` and `index inspect`: with registries in this process, and no store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Pybuild
from tests.support.registry import FakeRegistry
from tests.support.stores import Write

pytestmark = pytest.mark.e2e


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def other_registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


def _image(registry: FakeRegistry, name: str, architecture: str, text: str = "", **more: Any) -> str:
    """One for linux/ARCHITECTURE under the tag of that name; its digest."""
    layers = [b"shared".ljust(1024, b"\0"), f"{architecture} {text}".encode().ljust(1024, b"\0")]
    return str(registry.push_image(name, architecture, layers, {"architecture": architecture, **more}))


def _listed(registry: FakeRegistry, name: str, tag: str) -> dict[str, str]:
    """The digests of an index by architecture."""
    index = json.loads(registry.manifest(name, tag))
    return {entry["platform"]["architecture"]: entry["digest"] for entry in index["manifests"]}


def test_images_of_two_registries_become_one_name(
    pybuild: Pybuild, registry: FakeRegistry, other_registry: FakeRegistry
) -> None:
    """Within a registry blobs are mounted, between two they are copied, and a second time nothing is."""
    amd, arm = _image(registry, "built/here", "amd64"), _image(other_registry, "built/there", "arm64")
    sources = (f"{registry.host}/built/here:amd64", f"{other_registry.host}/built/there@{arm}")
    name = f"{registry.host}/app:1"
    said = pybuild("index", "create", "-t", name, *sources).out.split()

    assert _listed(registry, "app", "1") == {"amd64": amd, "arm64": arm}
    assert registry.manifest("app", said[2]) == registry.manifest("app", "1")
    assert registry.manifest("app", arm) == other_registry.manifest("built/there", arm)
    for digest in (amd, arm):
        manifest = json.loads(registry.manifest("app", digest))
        assert all(registry.has("app", blob["digest"]) for blob in (*manifest["layers"], manifest["config"]))
    assert sum("mount=" in line for line in registry.requests) == 3

    registry.log.clear()
    pybuild("index", "create", "-t", name, *sources)
    assert not [line for line in registry.requests if line.startswith(("POST", "PATCH"))]
    assert {line.partition(" ")[0] for line in other_registry.requests} == {"GET"}


def test_append_replaces_what_is_for_the_same_platform(pybuild: Pybuild, registry: FakeRegistry) -> None:
    """What is for others stays; attestations go with their image."""
    old, arm = _image(registry, "app", "amd64", "old"), _image(registry, "app", "arm64")
    said = registry.push_image("app", None, [], {"architecture": "unknown", "os": "unknown"})
    entries = [
        {"mediaType": _OCI_MANIFEST, "digest": digest, "size": 1, "platform": platform, **more}
        for digest, platform, more in (
            (old, {"os": "linux", "architecture": "amd64"}, {}),
            (arm, {"os": "linux", "architecture": "arm64"}, {}),
            (
                str(said),
                {"os": "unknown", "architecture": "unknown"},
                {"annotations": {"vnd.docker.reference.digest": old}},
            ),
        )
    ]
    registry.push_manifest(
        "app", "1", {"schemaVersion": 2, "mediaType": _OCI_INDEX, "manifests": entries}, _OCI_INDEX
    )
    new = _image(registry, "app", "amd64", "new")
    name = f"{registry.host}/app:1"
    done = pybuild("index", "create", "-t", name, "--append", new)

    assert _listed(registry, "app", "1") == {"amd64": new, "arm64": arm}
    assert old in done.err


def test_annotations_platforms_and_copies(pybuild: Pybuild, registry: FakeRegistry, tmp_path: Path) -> None:
    """An index alone stays byte for byte; annotations, or a choice of platforms, make another."""
    for architecture in ("amd64", "arm64"):
        _image(registry, "app", architecture)
    host = registry.host
    pybuild("index", "create", "-t", f"{host}/app:1", f"{host}/app:amd64", f"{host}/app:arm64")
    pybuild("index", "create", "-t", f"{host}/copy:1", "-t", f"{host}/copy:2", f"{host}/app:1")
    about = tmp_path / "about.json"
    pybuild(
        "index", "create", "-t", f"{host}/noted", f"{host}/app:1", "--annotation", "a=b", "--annotation",
        "manifest-descriptor[linux/arm64]:c=d", "--metadata-file", about,
    )  # fmt: skip
    pybuild("index", "create", "-t", f"{host}/arm", f"{host}/app:1", "-p", "linux/arm64")
    pybuild("index", "create", "-t", f"{host}/alone", f"{host}/app:amd64", "--prefer-index=false")

    assert registry.manifest("copy", "1") == registry.manifest("copy", "2") == registry.manifest("app", "1")
    noted = json.loads(registry.manifest("noted", "latest"))
    assert noted["annotations"] == {"a": "b"}
    assert [entry.get("annotations") for entry in noted["manifests"]] == [None, {"c": "d"}]
    assert registry.has("noted", json.loads(about.read_text())["containerimage.digest"])
    assert list(_listed(registry, "arm", "latest")) == ["arm64"]
    assert registry.manifest("alone", "latest") == registry.manifest("app", "amd64")
    assert "invalid-annotation" in pybuild(
        "index", "create", "--dry-run", f"{host}/app:1", "--annotation", "manifest:a=b", code=1
    ).err  # fmt: skip


def test_builds_by_digest_are_merged(
    pybuild: Pybuild, write: Write, registry: FakeRegistry, tmp_path: Path
) -> None:
    """What each build wrote to its metadata file is a source."""
    project = write("FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY a /\n", {"a": "a"})
    options: list[str | Path] = []
    for architecture in ("amd64", "arm64"):
        file = tmp_path / f"{architecture}.json"
        output = f"type=registry,name={registry.host}/app,push-by-digest=true"
        pybuild.build(project, "--platform", architecture, "-o", output, "--metadata-file", file)
        options += ["-f", file]
    shown = pybuild("index", "create", "--dry-run", *options).out
    assert not registry.has("app", "1")
    pybuild("index", "create", "-t", f"{registry.host}/app:1", *options)

    assert json.loads(shown) == json.loads(registry.manifest("app", "1"))
    template = (
        "{{range $p, $image := .Image}}{{$p}}={{$image.Config.Labels.arch}} {{end}}{{.Manifest.MediaType}}"
    )
    assert pybuild("index", "inspect", f"{registry.host}/app:1", "--format", template).out.split() == [
        "linux/amd64=amd64", "linux/arm64=arm64", _OCI_INDEX
    ]  # fmt: skip
    assert pybuild("index", "inspect", "--raw", f"{registry.host}/app:1").out.encode() == registry.manifest(
        "app", "1"
    )
    lines = pybuild("index", "inspect", f"{registry.host}/app:1").out.splitlines()
    assert [line for line in lines if "Platform" in line] == [
        "  Platform:  linux/amd64",
        "  Platform:  linux/arm64",
    ]


def test_docker_manifests_make_a_manifest_list(pybuild: Pybuild, registry: FakeRegistry) -> None:
    """As Docker has it; the configuration says what each is for, versions of Windows included."""
    registry.push_image("app", "linux", [b"x" * 512], {}, docker_media_types=True)
    registry.push_image(
        "app", "windows", [b"y" * 512], {"os": "windows", "os.version": "10.0.1"}, docker_media_types=True
    )
    names = [f"{registry.host}/app:{tag}" for tag in ("linux", "windows")]
    pybuild("index", "create", "-t", f"{registry.host}/app:1", *names)
    listed = json.loads(registry.manifest("app", "1"))

    assert listed["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert [entry["platform"] for entry in listed["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "amd64", "os": "windows", "os.version": "10.0.1"},
    ]


def test_copies_survive_breaks_and_never_hold_a_wrong_byte(
    pybuild: Pybuild, registry: FakeRegistry, other_registry: FakeRegistry
) -> None:
    """A transfer that breaks goes on; wrong bytes are an error, and leave nothing under the name."""
    _image(other_registry, "there", "arm64")
    source = f"{other_registry.host}/there:arm64"
    other_registry.truncate("GET .*/blobs/", 100)
    other_registry.fail("GET .*/blobs/", 503, times=1)
    registry.drop("PUT .*/blobs/")
    pybuild("index", "create", "-t", f"{registry.host}/broken:1", source)
    assert _listed(registry, "broken", "1").keys() == {"arm64"}

    other_registry.heal()
    (layer, _) = json.loads(other_registry.manifest("there", "arm64"))["layers"]
    other_registry.corrupt(f"GET .*/blobs/{layer['digest']}")
    said = pybuild("index", "create", "-t", f"{registry.host}/wrong:1", source, code=1).err
    assert "error[digest-mismatch]" in said
    assert not registry.has("wrong", "1")
    assert not registry.has("wrong", layer["digest"])


def test_what_a_registry_says_does_not_write_on_the_terminal(
    pybuild: Pybuild, registry: FakeRegistry
) -> None:
    """Controls are written out."""
    hostile = "\x1b[2J\r\u202e"
    entry = {
        "mediaType": _OCI_MANIFEST, "digest": _image(registry, "app", "amd64"), "size": 1,
        "platform": {"os": hostile, "architecture": "amd64"}, "annotations": {hostile: hostile},
    }  # fmt: skip
    index = {"schemaVersion": 2, "mediaType": _OCI_INDEX, "manifests": [entry], "annotations": {"a": hostile}}
    registry.push_manifest("app", "1", index, _OCI_INDEX)
    said = pybuild("index", "inspect", f"{registry.host}/app:1").out

    assert said.count("\\x1b[2J") == 4
    assert not {"\x1b", "\r", "\u202e"} & set(said)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-t", "HOST/app:1"], "invalid-option"),
        (["HOST/app:1"], "invalid-option"),
        (["--dry-run", "{}"], "invalid-source"),
        (["--dry-run", "sha256:" + "0" * 64], "invalid-source"),
        (["--dry-run", "HOST/none:1"], "manifest-not-found"),
        (["-t", "HOST/app:1", "--append", "HOST/none:1"], "manifest-not-found"),
        (["-t", "HOST/app:1", "-f", "/nonexistent"], "invalid-option"),
    ],
)
def test_refusals(words: list[str], code: str, pybuild: Pybuild, registry: FakeRegistry) -> None:
    """Before anything is pushed."""
    said = pybuild("index", "create", *(word.replace("HOST", registry.host) for word in words), code=1).err

    assert f"error[{code}]" in said
    assert not [line for line in registry.requests if not line.startswith("GET")]


_OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
