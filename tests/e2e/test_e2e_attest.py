"""`build --provenance` and `--sbom`: what is attached, where it goes, and that it tells no secret."""

from __future__ import annotations

import base64
import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Pybuild
from tests.support.registry import FakeRegistry
from tests.support.stores import Write, copy_store

pytestmark = pytest.mark.e2e

_PROVENANCE, _SBOM = "https://slsa.dev/provenance/v1", "https://spdx.dev/Document"
_STATUS = """\
Package: kept
Status: install ok installed
Architecture: all
Version: 1.0-1

Package: half
Status: deinstall ok config-files
Architecture: all
Version: 1.0-1
"""
_DOCKERFILE = """\
FROM busybox
ARG V=1
COPY root /
RUN --mount=type=secret,id=key cat /run/secrets/key > /dev/null; rm -r /site/gone-1.dist-info
WORKDIR /w
"""
_FILES = {
    "root/var/lib/dpkg/status": _STATUS,
    "root/etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "root/site/A_b-2.dist-info/METADATA": "Name: A_b\nVersion: 2\n\nText\n",
    "root/site/gone-1.dist-info/METADATA": "Name: gone\nVersion: 1\n",
    "root/app/node_modules/@s/c/package.json": '{"name": "@s/c", "version": "3.0.0", "license": "MIT"}',
}
_PURLS = [
    "pkg:deb/debian/kept@1.0-1?arch=all&distro=debian-12", "pkg:npm/%40s/c@3.0.0", "pkg:pypi/a-b@2",
]  # fmt: skip
_ALL = ("--provenance=max", "--sbom=true")
_CANARY = "hunter2-canary"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def project(write: Write) -> Path:
    return write(_DOCKERFILE, dict(_FILES))


def _statements(registry: FakeRegistry, name: str, index: dict[str, Any]) -> dict[str, Any]:
    """By predicate type, after checking how they hang together."""
    image, said = index["manifests"]
    manifest = json.loads(registry.manifest(name, said["digest"]))
    config = json.loads(registry.blob(name, manifest["config"]["digest"]))

    assert said["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert said["annotations"] == {
        "vnd.docker.reference.digest": image["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    }
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    found = {}
    for layer in manifest["layers"]:
        statement = json.loads(registry.blob(name, layer["digest"]))
        assert layer["mediaType"] == "application/vnd.in-toto+json"
        assert layer["annotations"] == {"in-toto.io/predicate-type": statement["predicateType"]}
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        found[statement["predicateType"]] = statement
    return found


def _purls(sbom: dict[str, Any]) -> list[str]:
    return sorted(
        reference["referenceLocator"]
        for package in sbom["predicate"]["packages"]
        for reference in package.get("externalRefs", ())
    )


def test_attached_in_a_registry(
    pybuild: Pybuild, project: Path, registry: FakeRegistry, tmp_path: Path
) -> None:
    """As Docker attaches them; a pull takes the image alone, and it runs."""
    (tmp_path / "key").write_text(_CANARY)
    name = f"{registry.host}/team/app:1"
    pybuild.build(
        project, "-t", name, "--push", *_ALL, "--build-arg", "V=7", "--metadata-file", tmp_path / "meta.json",
        "--secret", f"id=key,src={tmp_path}/key",
    )  # fmt: skip
    raw = registry.manifest("team/app", "1")
    index = json.loads(raw)
    statements = _statements(registry, "team/app", index)
    metadata = json.loads((tmp_path / "meta.json").read_text())

    subject = {
        "name": f"pkg:docker/{registry.host}/team/app@1?platform={index['manifests'][0]['platform']['os']}%2F"
        f"{index['manifests'][0]['platform']['architecture']}",
        "digest": {"sha256": index["manifests"][0]["digest"].removeprefix("sha256:")},
    }
    assert {kind: statement["subject"] for kind, statement in statements.items()} == {
        _PROVENANCE: [subject], _SBOM: [subject],
    }  # fmt: skip
    assert _purls(statements[_SBOM]) == _PURLS
    said = statements[_PROVENANCE]["predicate"]
    request = said["buildDefinition"]["externalParameters"]["request"]
    assert request["args"]["build-arg:V"] == "7"
    assert request["secrets"] == [{"id": "key", "optional": True}]
    info = said["runDetails"]["metadata"]["buildkit_metadata"]
    assert base64.b64decode(info["source"]["infos"][0]["data"]).decode() == _DOCKERFILE
    manifest = json.loads(registry.manifest("team/app", index["manifests"][0]["digest"]))
    assert max(info["layers"].values(), key=lambda chains: len(chains[0])) == [manifest["layers"]]
    assert _CANARY not in json.dumps(statements)
    assert metadata["containerimage.digest"] == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert metadata["containerimage.config.digest"] == pybuild.inspect(name)["Id"]
    described = metadata["buildx.build.provenance"]
    assert (
        described["runDetails"]["metadata"]["invocationId"] == said["runDetails"]["metadata"]["invocationId"]
    )
    assert "buildConfig" not in described["buildDefinition"]["internalParameters"]

    other = Pybuild(tmp_path / "other", tmp_path / "other-home")
    other("pull", name)
    assert other.inspect(name)["Id"] == pybuild.inspect(name)["Id"]
    assert other.run(name, "cat", "/etc/os-release").startswith("ID=debian")


def test_push_afterwards(pybuild: Pybuild, project: Path, registry: FakeRegistry) -> None:
    """What was built with them is pushed with them, the newest, after a collection too."""
    name = f"{registry.host}/team/app:1"
    pybuild.build(project, "-t", name, "--sbom=true", "--provenance=min")
    zstd = "type=image,compression=zstd"
    pybuild.build(project, "-t", name, "--provenance=mode=min,builder-id=https://ci.example/2", "-o", zstd)
    pybuild("image", "prune", "-f")
    assert pybuild("images", "--digests", "--format", "{{.Digest}}", name).out.split() == ["<none>"]
    digest = pybuild("push", name).out.split()[2]
    index = json.loads(registry.manifest("team/app", "1"))
    statements = _statements(registry, "team/app", index)

    assert list(statements) == [_PROVENANCE]
    assert statements[_PROVENANCE]["predicate"]["runDetails"]["builder"]["id"] == "https://ci.example/2"
    assert digest == f"sha256:{hashlib.sha256(registry.manifest('team/app', '1')).hexdigest()}"
    pybuild.build(project, "-t", name)
    pybuild("push", name)
    assert "layers" in json.loads(registry.manifest("team/app", "1"))


def test_as_an_artifact(pybuild: Pybuild, project: Path, registry: FakeRegistry, tmp_path: Path) -> None:
    """With oci-artifact=true the manifest names its subject and has no config; a pull takes the image."""
    name = f"{registry.host}/team/app:1"
    pybuild.build(project, "-t", name, "--sbom=true", "-o", "type=registry,oci-artifact=true")
    image, said = json.loads(registry.manifest("team/app", "1"))["manifests"]
    manifest = json.loads(registry.manifest("team/app", said["digest"]))

    assert manifest["artifactType"] == "application/vnd.docker.attestation.manifest.v1+json"
    assert manifest["subject"] == {key: image[key] for key in ("mediaType", "digest", "size")}
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert base64.b64decode(manifest["config"]["data"]) == b"{}"
    assert said["annotations"]["vnd.docker.reference.digest"] == image["digest"]
    statement = json.loads(registry.blob("team/app", manifest["layers"][0]["digest"]))
    assert _purls(statement) == _PURLS
    other = Pybuild(tmp_path / "other", tmp_path / "other-home")
    other("pull", name)
    assert other.inspect(name)["Id"] == pybuild.inspect(name)["Id"]


def test_nothing_unless_asked(pybuild: Pybuild, project: Path, registry: FakeRegistry) -> None:
    """A plain push is a manifest; so is one with everything switched off."""
    for options in ((), ("--provenance=false", "--sbom=false", "--attest", "type=sbom,disabled=true")):
        pybuild.build(project, "-t", f"{registry.host}/app:1", "--push", *options)

        assert "layers" in json.loads(registry.manifest("app", "1"))


def test_the_same_bytes_elsewhere(pybuild: Pybuild, project: Path, base_store: Path, tmp_path: Path) -> None:
    """With SOURCE_DATE_EPOCH another store, time and folder give the same index, statements included."""
    other = Pybuild(copy_store(base_store, tmp_path / "other"), tmp_path / "other-home")
    found = []
    for number, command in enumerate((pybuild, other)):
        layout = tmp_path / f"layout{number}"
        options = ("-t", "app:1", "-o", f"type=oci,tar=false,dest={layout}", "--rewrite-timestamp", *_ALL)
        command.build(project, *options, env={"SOURCE_DATE_EPOCH": "1700000000"})
        found.append(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])

    assert found[0] == found[1]


def test_files_get_files(pybuild: Pybuild, project: Path, tmp_path: Path) -> None:
    """Beside a folder's and in a tar; their subjects are the files, and an own file is not written over."""
    out = tmp_path / "out"
    pybuild.build(
        project, "--provenance=mode=min,filename=how.json", "--sbom=true", "-o", out,
        "-f", project / "Dockerfile",
        "-o", f"type=tar,dest={tmp_path}/out.tar,attestation-prefix=said-",
    )  # fmt: skip
    sbom, how = (json.loads((out / name).read_text()) for name in ("sbom.spdx.json", "how.json"))
    digests = {subject["name"]: subject["digest"]["sha256"] for subject in how["subject"]}

    assert _purls(sbom) == _PURLS
    assert digests["var/lib/dpkg/status"] == hashlib.sha256(_STATUS.encode()).hexdigest()
    assert "how.json" not in digests
    assert str(tmp_path) not in json.dumps(how)
    with tarfile.open(tmp_path / "out.tar") as tar:
        names = set(tar.getnames())
    assert {"said-how.json", "said-sbom.spdx.json", "var/lib/dpkg/status"} < names
    inline = tmp_path / "inline"
    pybuild.build(project, "--provenance=mode=min,inline-only=true", "-o", inline)
    assert not (inline / "provenance.json").exists()
    (project / "root/sbom.spdx.json").write_text("mine")
    failed = pybuild.build(project, "--sbom=true", "-o", out, code=1)
    assert "error[attestation-in-the-way]" in failed.err
    assert json.loads((out / "sbom.spdx.json").read_text()) == sbom


def test_several_platforms(pybuild: Pybuild, write: Write, registry: FakeRegistry, tmp_path: Path) -> None:
    """Each image has its own; in one folder the platform is part of the names."""
    name = f"{registry.host}/team/app:1"
    project = write(
        "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /\n", {"amd64/one": "1", "arm64/two": "2"}
    )
    out = tmp_path / "out"
    pybuild.build(
        project, "-t", name, "--platform", "linux/amd64,linux/arm64", "--push", "--provenance=min",
        "-o", f"type=local,dest={out},platform-split=false", "--metadata-file", tmp_path / "meta.json",
    )  # fmt: skip
    one, two, *said = json.loads(registry.manifest("team/app", "1"))["manifests"]

    assert [entry["annotations"]["vnd.docker.reference.digest"] for entry in said] == [
        one["digest"], two["digest"],
    ]  # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == [
        "one", "provenance.linux_amd64.json", "provenance.linux_arm64.json", "two",
    ]  # fmt: skip
    assert {key for key in json.loads((tmp_path / "meta.json").read_text()) if "provenance" in key} == {
        "buildx.build.provenance/linux/amd64", "buildx.build.provenance/linux/arm64",
    }  # fmt: skip


def test_warnings_of_a_broken_image(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """What cannot be read is said while building and in the document; the build goes on."""
    project = write("FROM scratch\nCOPY . /\n", {"var/lib/rpm/Packages": "bdb", "package-lock.json": "{"})
    built = pybuild.build(project, "--sbom=true", "-o", tmp_path / "out")
    document = json.loads((tmp_path / "out/sbom.spdx.json").read_text())["predicate"]

    assert "Berkeley DB" in built.err
    assert '"/package-lock.json" is no JSON' in built.err
    assert "Berkeley DB" in document["creationInfo"]["comment"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--sbom=true", "--load"], "one-image-only"),
        (["--provenance=true", "-o", "type=docker,dest=x.tar"], "one-image-only"),
        (["--provenance=true", "-o", "type=image,oci-mediatypes=false"], "needs-oci-types"),
        (["--sbom=generator=docker/scan"], "unsupported"),
        (["--provenance=mode=full"], "invalid-attestation"),
        (["--attest=type=vex"], "invalid-attestation"),
    ],
)
def test_refused_before_anything_runs(
    pybuild: Pybuild, project: Path, tmp_path: Path, options: list[str], code: str
) -> None:
    """What has no place for them, and what cannot be read."""
    failed = pybuild.build(project, *options, code=1, cwd=tmp_path)

    assert f"error[{code}]" in failed.err
    assert failed.steps == {}
