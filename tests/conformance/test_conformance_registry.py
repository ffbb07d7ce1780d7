"""Pushes and pulls with Debian's docker-registry, and with skopeo and buildah at the other end."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Pybuild
from tests.support.docker_registry import KINDS, PASSWORD, Buildah, Server, ready, serving, tool
from tests.support.stores import Write

pytestmark = pytest.mark.conformance

# With a layer that goes in chunks.
_DOCKERFILE = "FROM busybox\nRUN head -c 9000000 /dev/urandom > /noise && md5sum /noise > /sum\nCOPY a /a\n"


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with serving(request.param, tmp_path / "registry") as running:
        yield running


def test_round_trip(pybuild: Pybuild, write: Write, server: Server, tmp_path: Path) -> None:
    """Ours is pulled by skopeo and by us; skopeo's copy of it is pulled by us and is the same image."""
    name = f"{server.host}/team/app:1"
    pybuild.build(write(_DOCKERFILE, {"a": "a\n"}), "-t", name)
    if server.kind == "htpasswd":
        assert "registry-denied" in pybuild("push", name, code=1).err
        refused = pybuild("login", "-u", "me", "--password-stdin", server.host, input=b"wrong", code=1)
        assert "error[login-refused]" in refused.err
    said = ready(pybuild, server)("push", name).out.split()
    tool("skopeo", "copy", *server.skopeo("src"), f"docker://{name}", f"dir:{tmp_path}/copied")
    manifest = json.loads((tmp_path / "copied/manifest.json").read_bytes())

    assert len(manifest["layers"]) == 3
    assert said[2] == f"sha256:{hashlib.sha256((tmp_path / 'copied/manifest.json').read_bytes()).hexdigest()}"

    other = ready(Pybuild(tmp_path / "other", tmp_path / "other-home"), server)
    other("pull", name)
    assert "OK" in other.run(name, "md5sum", "-c", "/sum")
    assert other.inspect(name)["Id"] == pybuild.inspect(name)["Id"]

    # From one repository into another: mounted, and the digest stays.
    other("tag", name, f"{server.host}/again/app:3")
    assert other("push", f"{server.host}/again/app:3").out.split()[2] == said[2]

    # Another form of the same image, pushed by skopeo.
    theirs = f"{server.host}/theirs/app:2"
    tool(
        "skopeo",
        "copy",
        "--format",
        "v2s2",
        *server.skopeo("dest"),
        f"dir:{tmp_path}/copied",
        f"docker://{theirs}",
    )
    other("rmi", name, f"{server.host}/again/app:3")
    other("pull", theirs)
    assert "OK" in other.run(theirs, "md5sum", "-c", "/sum")


# How skopeo writes an image to a registry.
_FORMS = {
    "docker-gzip": ["--format", "v2s2", "--dest-compress-format", "gzip"],
    "oci-gzip": ["--format", "oci", "--dest-compress-format", "gzip"],
    "oci-zstd": ["--format", "oci", "--dest-compress-format", "zstd"],
}


def test_pushes_of_others_are_pulled_and_run(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Docker's form and OCI's, gzip and zstd, by skopeo; what buildah commits; their digests stay."""
    pybuild.build(write(_DOCKERFILE.replace("9000000", "9000"), {"a": "a\n"}), "-t", "made:1")
    pybuild("save", "--format", "oci-dir", "-o", tmp_path / "layout", "made:1")
    buildah = Buildah(tmp_path / "buildah")
    with serving("htpasswd", tmp_path / "registry") as server:
        names = {
            form: f"{server.host}/theirs/{form}:1" for form in (*_FORMS, "buildah-oci", "buildah-docker")
        }
        for form, options in _FORMS.items():
            into = [*server.skopeo("dest"), *options]
            tool("skopeo", "copy", *into, f"oci:{tmp_path}/layout:1", f"docker://{names[form]}")
        container = buildah("from", f"oci:{tmp_path}/layout:1")
        buildah("config", "--label", "by=buildah", container)
        login = ["--tls-verify=false", f"--creds=me:{PASSWORD}"]
        for form, format in (("buildah-oci", "oci"), ("buildah-docker", "docker")):
            buildah("commit", "--format", format, container, form)
            buildah("push", *login, form, f"docker://{names[form]}")
        for form, name in names.items():
            # One store would have each layer once, in the first form that came.
            other = ready(Pybuild(tmp_path / form, tmp_path / "other-home"), server)
            raw = tool("skopeo", "inspect", "--raw", *login, f"docker://{name}")
            digest = f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
            other("pull", name)

            assert f"{name.removesuffix(':1')}@{digest}" in other.inspect(name)["RepoDigests"]
            assert "OK" in other.run(name, "md5sum", "-c", "/sum")
            again = f"{server.host}/again/{form}:1"
            other("tag", name, again)
            assert other("push", again).out.split()[2] == digest
            if form.startswith("buildah"):
                assert other.inspect(name)["Config"]["Labels"]["by"] == "buildah"


def test_indexes_of_others_are_pulled(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Copied whole by skopeo, in either form: this machine's image is taken."""
    pybuild.build(write("FROM busybox\nCOPY a /a\n", {"a": "ours\n"}), "-t", "ours:1")
    pybuild("save", "--format", "oci-dir", "-o", tmp_path / "layout", "ours:1")
    path = tmp_path / "layout/index.json"
    document = json.loads(path.read_text())
    mine = document["manifests"][0]
    # The same manifest under the name of another platform, first: it must not be taken for that.
    foreign = {**mine, "platform": {"os": "linux", "architecture": "s390x"}}
    index: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [foreign, {**mine, "platform": mine.get("platform") or _this_platform(pybuild)}],
    }
    for entry in index["manifests"]:
        entry.pop("annotations", None)
    raw = json.dumps(index).encode()
    digest = hashlib.sha256(raw).hexdigest()
    (tmp_path / f"layout/blobs/sha256/{digest}").write_bytes(raw)
    document["manifests"] = [
        {
            "mediaType": index["mediaType"],
            "digest": f"sha256:{digest}",
            "size": len(raw),
            "annotations": {"org.opencontainers.image.ref.name": "all"},
        }
    ]
    path.write_text(json.dumps(document))
    with serving("plain", tmp_path / "registry") as server:
        for form in ("oci", "v2s2"):
            name = f"{server.host}/indexes/{form}:1"
            into = ["--all", "--format", form, *server.skopeo("dest")]
            tool("skopeo", "copy", *into, f"oci:{tmp_path}/layout:all", f"docker://{name}")
            other = Pybuild(tmp_path / f"other-{form}", tmp_path / "other-home")
            other("pull", name)

            assert other.run(name, "cat", "/a") == "ours\n"


def test_ours_in_buildah(pybuild: Pybuild, write: Write, server: Server, tmp_path: Path) -> None:
    """Pulled from each kind of registry under the digest that push printed, with its files."""
    name = f"{server.host}/team/app:1"
    pybuild.build(write("FROM busybox\nCOPY a /a\nLABEL x=y\n", {"a": "a\n"}), "-t", name)
    digest = ready(pybuild, server)("push", name).out.split()[2]
    buildah = Buildah(tmp_path / "buildah")
    buildah("pull", *server.buildah(), name)
    found = json.loads(buildah("inspect", "--type", "image", name))
    root = Path(buildah("mount", buildah("from", name)))

    assert found["FromImageDigest"] == digest
    assert found["OCIv1"]["config"]["Labels"] == {"x": "y"}
    assert (root / "a").read_text() == "a\n"


@pytest.mark.parametrize("way", ["auths", "credHelpers", "credsStore", "podman"])
def test_logins_of_others(way: str, pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Logins that docker, its helpers or podman keep are those that a push and a pull use."""
    auth = {"auth": base64.b64encode(f"me:{PASSWORD}".encode()).decode()}
    helper = tmp_path / "bin/docker-credential-fake"
    helper.parent.mkdir()
    helper.write_text(f"""#!/bin/sh\necho '{{"Username": "me", "Secret": "{PASSWORD}"}}'\n""")
    helper.chmod(0o755)
    with serving("htpasswd", tmp_path / "registry") as server:
        name = f"{server.host}/team/app:1"
        pybuild.build(write("FROM busybox\nCOPY a /a\n", {"a": "a\n"}), "-t", name)
        assert "error[registry-denied]" in pybuild("push", name, code=1).err
        document: object = {
            "auths": {"auths": {server.host: auth}},
            "credHelpers": {"credHelpers": {server.host: "fake"}},
            "credsStore": {"credsStore": "fake", "auths": {server.host: {}}},
            "podman": {"auths": {f"{server.host}/team": auth}},
        }[way]
        path = pybuild.home / ("auth.json" if way == "podman" else ".docker/config.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document))
        env = {"REGISTRY_AUTH_FILE": str(pybuild.home / "auth.json")}
        env["PATH"] = f"{helper.parent}:{pybuild.env['PATH']}"
        pybuild("push", name, env=env)
        pybuild("pull", name, env=env)
        if way == "auths":
            # What login writes is what the others read, and logout takes it away.
            pybuild("logout", server.host)
            pybuild("login", "-u", "me", "--password-stdin", server.host, input=PASSWORD.encode())
            tool("skopeo", "inspect", "--authfile", path, "--tls-verify=false", f"docker://{name}")
            pybuild("logout", server.host)
            assert json.loads(path.read_text())["auths"] == {}


def _this_platform(pybuild: Pybuild) -> dict[str, str]:
    found = pybuild.inspect("ours:1")
    return {"os": found["Os"], "architecture": found["Architecture"]}


def test_index_round_trip(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """skopeo copies ours whole, one platform of it unpacks with umoci, and what it pushes is merged."""
    with serving("htpasswd", tmp_path / "registry") as server:
        name = f"{server.host}/team/app:1"
        project = write("FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY a /a\n", {"a": "a\n"})
        ready(pybuild, server)
        pybuild.build(project, "--platform", "linux/amd64,linux/arm64", "-t", name, "--push")
        raw = pybuild("index", "inspect", "--raw", name).out
        tool("skopeo", "copy", "--all", *server.skopeo("src"), f"docker://{name}", f"oci:{tmp_path}/all:1")
        tool(
            "skopeo",
            "--override-arch",
            "arm64",
            "copy",
            *server.skopeo("src"),
            f"docker://{name}",
            f"oci:{tmp_path}/arm:1",
        )
        (copied,) = json.loads((tmp_path / "all/index.json").read_text())["manifests"]
        tool("umoci", "unpack", "--image", f"{tmp_path}/arm:1", tmp_path / "bundle")

        assert copied["digest"] == f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
        assert (tmp_path / "bundle/rootfs/a").read_text() == "a\n"

        for architecture in ("amd64", "arm64"):
            target = f"docker://{server.host}/theirs/{architecture}:1"
            pick = ["--override-arch", architecture, "copy"]
            tool("skopeo", *pick, *server.skopeo("dest"), f"oci:{tmp_path}/all:1", target)
        theirs = [f"{server.host}/theirs/{architecture}:1" for architecture in ("amd64", "arm64")]
        pybuild("index", "create", "-t", f"{server.host}/merged:1", *theirs)
        assert pybuild("index", "inspect", "--raw", f"{server.host}/merged:1").out == raw

        other = ready(Pybuild(tmp_path / "other", tmp_path / "other-home"), server)
        other("pull", "--platform", "arm64", f"{server.host}/merged:1")
        assert other.inspect(f"{server.host}/merged:1")["Config"]["Labels"] == {"arch": "arm64"}
