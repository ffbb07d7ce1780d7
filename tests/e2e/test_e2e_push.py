"""`push`, `login` and `logout`, and `pull` of what was pushed, with a registry in this process."""

from __future__ import annotations

import base64
import json
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.core.descriptor import OCI_LAYER_GZIP
from tests.support.cli import BUG, Pybuild, finish
from tests.support.faulty import Fault, all_of
from tests.support.registry import FakeRegistry
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_DOCKERFILE = "FROM busybox\nCOPY a b /\nRUN echo c > /c\n"
_PASSWORD = "hunter2-canary"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def image(pybuild: Pybuild, write: Write, registry: FakeRegistry) -> str:
    """An image whose name is at the registry, with one layer that goes in chunks."""
    noise = bytes(range(256)) * 16 + random.Random(1).randbytes(9 << 20)
    name = f"{registry.host}/team/app:1"
    pybuild.build(write(_DOCKERFILE, {"a": "a\n", "b": noise}), "-t", name)
    return name


@pytest.fixture
def other(tmp_path: Path) -> Pybuild:
    return Pybuild(tmp_path / "other", tmp_path / "other-home")


def _helper(directory: Path) -> str:
    """A credential helper that keeps everything in one file; the PATH that has it."""
    directory.mkdir()
    program = directory / "docker-credential-fake"
    program.write_text(f"#!/bin/sh\necho \"$1\" >> {directory}/verbs\ncat > {directory}/$1.in\n"
                       f"[ $1 != get ] || cat {directory}/store.in\n")  # fmt: skip
    program.chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


def test_pushed_image_is_pulled_and_runs(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, image: str
) -> None:
    """The digest that is printed is the registry's; a second push sends nothing but the manifest."""
    said = pybuild("push", image).out.split()
    manifest = json.loads(registry.manifest("team/app", "1"))

    assert said[:2] == ["1:", "digest:"]
    assert registry.manifest("team/app", said[2]) == registry.manifest("team/app", "1")
    assert said[3:] == ["size:", str(len(registry.manifest("team/app", "1")))]
    assert {layer["mediaType"] for layer in manifest["layers"]} == {OCI_LAYER_GZIP}
    assert registry.requests[-1] == "PUT /v2/team/app/manifests/1"
    assert pybuild.inspect(image)["RepoDigests"] == [f"{registry.host}/team/app@{said[2]}"]

    registry.log.clear()
    assert pybuild("push", "-q", image).out == f"{image}\n"
    assert {r.method for r in registry.log[:-1]} == {"HEAD"}

    other("pull", image)
    assert other.run(image, "cat", "/a", "/c") == "a\nc\n"
    assert other.inspect(image)["Id"] == pybuild.inspect(image)["Id"]


def test_pulled_layers_are_mounted_and_keep_their_digests(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, image: str
) -> None:
    """Under another name of that registry: nothing is sent twice, and the manifest stays the same."""
    digest = pybuild("push", image).out.split()[2]
    other("pull", image)
    copied = f"{registry.host}/copy:2"
    other("tag", image, copied)
    registry.log.clear()

    assert other("push", copied).out.split()[2] == digest
    layers = json.loads(registry.manifest("team/app", "1"))["layers"]
    assert sum("mount=" in line for line in registry.requests) == len(layers)
    assert not [r for r in registry.log if r.method == "PATCH"]


def test_all_tags(pybuild: Pybuild, registry: FakeRegistry, image: str) -> None:
    """Those of the repository, and no others."""
    pybuild("tag", image, f"{registry.host}/team/app:2")
    pybuild("tag", image, f"{registry.host}/team/appendix:3")
    said = pybuild("push", "--all-tags", f"{registry.host}/team/app").out

    assert [line.partition(":")[0] for line in said.splitlines()] == ["1", "2"]
    assert not registry.has("team/appendix", "3")
    assert "leave out" in pybuild("push", "-a", image, code=1).err
    assert "image-not-found" in pybuild("push", f"{registry.host}/nosuch", code=1).err


def test_pull_says_what_docker_says(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, image: str
) -> None:
    """The digest of the registry, whether anything is new, and last the full name; with -q only that."""
    digest = pybuild("push", image).out.split()[2]
    first, second = other("pull", image).out, other("pull", image).out

    assert first.splitlines() == [
        "1: Pulling from team/app", f"Digest: {digest}", f"Status: Downloaded newer image for {image}", image,
    ]  # fmt: skip
    assert second.splitlines()[2:] == [f"Status: Image is up to date for {image}", image]
    assert other("pull", "-q", "--disable-content-trust", image).out == f"{image}\n"
    assert "unsupported" in other("pull", "--disable-content-trust=false", image, code=1).err
    assert "unsupported" in pybuild("push", "--disable-content-trust=false", image, code=1).err


def test_pull_of_all_tags(pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, image: str) -> None:
    """Each tag of the repository is here afterwards, and told of; the last line names the repository."""
    pybuild("push", image)
    repository = image.removesuffix(":1")
    for tag in ("2", "3"):
        pybuild("tag", image, f"{repository}:{tag}")
        pybuild("push", "-q", f"{repository}:{tag}")
    registry.tags_on_a_page = 2
    said = other("image", "pull", "-a", repository).out.splitlines()

    assert [line for line in said if "Pulling" in line] == [f"{n}: Pulling from team/app" for n in "123"]
    assert said[-2:] == [f"Status: Downloaded newer image for {repository}", repository]
    assert other.inspect(image)["RepoTags"] == [f"{repository}:{n}" for n in "123"]
    assert other("pull", "-aq", repository).out == f"{repository}\n"
    assert "leave out" in other("pull", "-a", image, code=1).err
    assert "manifest-not-found" in other("pull", "-a", f"{registry.host}/none", code=1).err


SURVIVED: dict[str, Fault] = {
    "reset-while-sending": lambda r: r.cut_body("PATCH", 1 << 20),
    "answers-lost": all_of(
        lambda r: r.drop("POST"),
        lambda r: r.drop("PATCH"),
        lambda r: r.drop("PUT .*blobs"),
        lambda r: r.drop("PUT .*manifests"),
    ),
    "busy": lambda r: r.refuse("POST|PATCH", 429, times=1, headers={"Retry-After": "0"}),
    "server-error": lambda r: r.refuse("PUT", 500, times=1, body=b"<html>oops</html>"),
    "range-refused": lambda r: r.refuse("PATCH", 416, times=1),
    "token-server-fails-once": all_of(
        lambda r: r.require_token("me", _PASSWORD), lambda r: r.fail("/token", 503, times=1)
    ),
}
FAILED: dict[str, tuple[Fault, str]] = {
    "denied": (lambda r: r.refuse("POST", 403), "registry-denied"),
    "refused": (lambda r: r.refuse("PUT .*manifests", 400, body=b'{"message": "no"}'), "push-refused"),
    "too-busy": (lambda r: r.refuse("POST", 429, headers={"Retry-After": "600"}), "registry-unavailable"),
    "wrong-digest": (
        lambda r: r.fail("PUT .*blobs", 201, headers={"Docker-Content-Digest": "sha256:" + 64 * "0"}),
        "digest-mismatch",
    ),
    "wrong-login": (lambda r: r.require_basic("me", "another"), "registry-denied"),
    "redirect-loop": (lambda r: r.redirect("POST", f"{r.url}*"), "registry-unavailable"),
}


def _log_in(pybuild: Pybuild, host: str) -> None:
    path = pybuild.home / ".docker/config.json"
    path.parent.mkdir()
    auth = base64.b64encode(f"me:{_PASSWORD}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


@pytest.mark.parametrize("name", SURVIVED)
def test_push_survives_a_faulty_registry(
    name: str, pybuild: Pybuild, registry: FakeRegistry, image: str
) -> None:
    """Every blob of the manifest is there, and is what its digest says."""
    _log_in(pybuild, registry.host)
    SURVIVED[name](registry)
    pybuild("push", image)
    manifest = json.loads(registry.manifest("team/app", "1"))
    entries = [manifest["config"], *manifest["layers"]]

    assert [len(registry.blob("team/app", entry["digest"])) for entry in entries] == [
        entry["size"] for entry in entries
    ]


@pytest.mark.parametrize("name", FAILED)
def test_push_fails_well(name: str, pybuild: Pybuild, registry: FakeRegistry, image: str) -> None:
    """One error with its code, no manifest, no password in anything that is printed."""
    _log_in(pybuild, registry.host)
    break_it, code = FAILED[name]
    break_it(registry)
    outcome = pybuild("push", image, code=1)

    assert outcome.err.count("error[") == 1
    assert f"error[{code}]" in outcome.err
    assert BUG not in outcome.err
    assert _PASSWORD not in outcome.err + outcome.out
    assert not registry.has("team/app", "1")


def test_login_is_tried_and_kept(pybuild: Pybuild, registry: FakeRegistry, image: str) -> None:
    """A wrong password is not kept; the file is for its owner alone and keeps what it had."""
    registry.require_token("me", _PASSWORD)
    path = pybuild.home / ".docker/config.json"
    refused = pybuild("login", "-u", "me", "--password-stdin", registry.host, input=b"wrong\n", code=1)

    assert "error[login-refused]" in refused.err
    assert not path.exists()
    path.parent.mkdir()
    path.write_text('{"HttpHeaders": {"a": "b"}}')
    said = pybuild("login", "-u", "me", "--password-stdin", registry.host, input=_PASSWORD.encode())
    kept = json.loads(path.read_text())

    assert said.out == "Login Succeeded\n"
    assert _PASSWORD not in said.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept["HttpHeaders"] == {"a": "b"}
    assert base64.b64decode(kept["auths"][registry.host]["auth"]) == f"me:{_PASSWORD}".encode()
    pybuild("push", image)
    assert "existing credentials" in pybuild("login", registry.host).out

    assert "Removing" in pybuild("logout", registry.host).out
    assert json.loads(path.read_text()) == {"HttpHeaders": {"a": "b"}, "auths": {}}
    assert "Not logged in" in pybuild("logout", registry.host).out
    assert "registry-denied" in pybuild("push", image, code=1).err
    assert "login-incomplete" in pybuild("login", registry.host, code=1).err


def test_identity_token_is_kept_in_place_of_the_password(
    pybuild: Pybuild, registry: FakeRegistry, image: str
) -> None:
    """If the token server gives one, and it then does for a push."""
    registry.require_token("me", _PASSWORD, refresh_token="r3fr3sh")
    pybuild("login", "-u", "me", "--password-stdin", registry.host, input=_PASSWORD.encode())
    kept = json.loads((pybuild.home / ".docker/config.json").read_text())["auths"][registry.host]

    assert kept["identitytoken"] == "r3fr3sh"
    assert _PASSWORD not in base64.b64decode(kept["auth"]).decode()
    pybuild("push", image)


def test_login_goes_to_the_helper(
    pybuild: Pybuild, registry: FakeRegistry, image: str, tmp_path: Path
) -> None:
    """The file then names the registry and nothing more."""
    registry.require_basic("me", _PASSWORD)
    path = pybuild.home / ".docker/config.json"
    path.parent.mkdir()
    path.write_text('{"credsStore": "fake"}')
    pybuild.env["PATH"] = _helper(tmp_path / "helper") + ":" + pybuild.env["PATH"]
    said = pybuild("login", "-u", "me", "--password-stdin", registry.host, input=_PASSWORD.encode())

    assert json.loads(path.read_text()) == {"credsStore": "fake", "auths": {registry.host: {}}}
    assert "unencrypted" not in said.err
    pybuild("push", image)
    pybuild("logout", registry.host)
    assert (tmp_path / "helper/verbs").read_text().split() == ["store", "get", "erase"]


def test_logins_of_podman(pybuild: Pybuild, registry: FakeRegistry, image: str, tmp_path: Path) -> None:
    """Those for a part of a registry are for that part only."""
    registry.require_basic("me", _PASSWORD)
    auth = {"auth": base64.b64encode(f"me:{_PASSWORD}".encode()).decode()}
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {f"{registry.host}/team": auth}}))
    pybuild("tag", image, f"{registry.host}/others/app")

    pybuild("push", image, env={"REGISTRY_AUTH_FILE": str(path)})
    pybuild("push", f"{registry.host}/others/app", env={"REGISTRY_AUTH_FILE": str(path)}, code=1)
    assert not registry.has("others/app", "latest")


def _layers(registry: FakeRegistry) -> list[str]:
    return [layer["digest"] for layer in json.loads(registry.manifest("team/app", "1"))["layers"]]


def test_pull_goes_on_where_another_process_stopped(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, image: str
) -> None:
    """What is complete is not asked for again, of the rest what is missing; then it is all the same image."""
    pybuild("push", image)
    large = max(_layers(registry), key=lambda digest: len(registry.blob("team/app", digest)))
    registry.change(f"GET .*{large}", lambda a: a._replace(cut=5 << 20), times=1)
    registry.refuse(f"GET .*{large}", 403, times=1, when=lambda r: "range" in r.headers)
    assert "registry-denied" in other("pull", image, code=1).err
    registry.log.clear()
    other("pull", image)

    assert [(r.method, r.headers.get("range")) for r in registry.log if "/blobs/" in r.path] == [
        ("GET", None),  # the config
        ("GET", f"bytes={5 << 20}-"),
    ]
    assert other.run(image, "cat", "/a", "/c") == "a\nc\n"
    assert list((other.root / "partial-v1").iterdir()) == []


def test_pulls_at_one_time_fetch_each_layer_once(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, image: str
) -> None:
    """Whoever comes second waits for the first, and one that is killed is followed by the next."""
    pybuild("push", image)
    registry.log.clear()
    outcomes = [finish(process) for process in [other.start("pull", image) for _ in range(4)]]

    assert [outcome.code for outcome in outcomes] == [0] * 4, outcomes
    fetched = [r.path.rpartition("/")[2] for r in registry.log if r.method == "GET" and "/blobs/" in r.path]
    assert {layer: fetched.count(layer) for layer in _layers(registry)} == dict.fromkeys(_layers(registry), 1)
    assert other.run(image, "cat", "/a", "/c") == "a\nc\n"
    assert list((other.root / "partial-v1").iterdir()) == []


def test_damaged_beginning_is_fetched_again(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, image: str
) -> None:
    """As a loss of power leaves it; no wrong byte gets into the store."""
    pybuild("push", image)
    for number, digest in enumerate(_layers(registry)):
        kept = other.root / f"partial-v1/{digest.replace(':', '-')}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes([b"wrong", bytes(20 << 20), registry.blob("team/app", digest)][number])
    other("pull", image)

    assert other.run(image, "cat", "/a", "/c") == "a\nc\n"
