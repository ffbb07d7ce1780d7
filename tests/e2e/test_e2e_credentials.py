"""Where logins go, as the servers see it: to the host that they were made for, and nowhere else."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.driven import Driven
from tests.support.images import layer_of
from tests.support.registry import TLS_PEM, Answer, FakeRegistry

pytestmark = pytest.mark.e2e

_PASSWORD = "hunter2-canary"
_LOGIN = "Basic " + base64.b64encode(f"me:{_PASSWORD}".encode()).decode()


class Place(NamedTuple):
    """A registry with an image, another server, and the command with a login for the first."""

    registry: FakeRegistry
    other: FakeRegistry
    command: Driven

    @property
    def config(self) -> Path:
        return self.command.home / ".docker/config.json"

    def log_in(self, *hosts: str) -> None:
        auth = {"auth": _LOGIN.removeprefix("Basic ")}
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(json.dumps({"auths": dict.fromkeys(hosts, auth)}))

    def configure(self, text: str) -> None:
        (self.command.home / "config.toml").write_text(text)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FakeRegistry() as registry, FakeRegistry() as other:
        registry.push_image("app", "1", [layer_of({"a": b"a"})], {})
        made = Place(registry, other, Driven(tmp_path / "store", tmp_path / "home"))
        made.log_in(registry.host)
        yield made


def _logins(server: FakeRegistry) -> set[str]:
    return {request.headers["authorization"] for request in server.log if "authorization" in request.headers}


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_proxy_of_the_environment(variable: str, place: Place) -> None:
    """Docker's names for it, in either case; its own login goes to it alone."""
    place.configure(
        '[registry."r.lab:80"]\ninsecure = true\n[registry."app.lab"]\nmirrors = ["http://r.lab:80"]\n'
    )
    place.other.push_image("app", "1", [layer_of({"a": b"a"})], {})
    proxy = f"http://me:{_PASSWORD}@{place.other.host}"
    place.command("pull", "app.lab/app:1", env={variable: proxy})

    assert place.other.requests[0] == "GET http://r.lab:80/v2/app/manifests/1"
    assert {request.headers.get("proxy-authorization") for request in place.other.log} == {_LOGIN}
    assert _logins(place.other) == set()


@pytest.mark.parametrize("exempt", ["192.0.2.7", "192.0.2.0/24", "a.lab, 192.0.0.0/16", "*", "192.0.2.7:80"])
def test_networks_that_need_no_proxy(exempt: str, place: Place) -> None:
    """A registry that is named by its address is not told to the proxy, nor is its login."""
    place.configure('[registry."192.0.2.7:80"]\ninsecure = true\n')
    place.log_in("192.0.2.7:80")
    place.command.patience = place.command.patience._replace(connect_s=0.05)
    env = {"HTTP_PROXY": place.other.url, "HTTPS_PROXY": place.other.url, "NO_PROXY": exempt}
    place.command("pull", "192.0.2.7:80/app:1", env=env, code=1)

    assert place.other.log == []


def test_token_server_of_another_host_in_the_clear(place: Place) -> None:
    """It is not asked, though it is where the registry sends us."""
    place.registry.require_token("me", _PASSWORD, realm="http://auth.lab/token")
    failed = place.command(
        "pull", f"{place.registry.host}/app:1", code=1, env={"HTTP_PROXY": place.other.url}
    )

    assert "which is not safe" in failed.err
    assert place.other.log == []


def test_login_of_one_port_is_not_for_another(place: Place) -> None:
    """They may be different people's; nor is one for a part of a registry for the rest."""
    place.other.push_image("app", "1", [layer_of({"a": b"a"})], {})
    place.other.require_basic("me", _PASSWORD)
    place.command("pull", f"{place.other.host}/app:1", code=1)
    place.log_in(f"{place.other.host}/team")
    place.command("pull", f"{place.other.host}/app:1", code=1)

    assert _logins(place.other) == set()
    place.other.push_image("team/app", "1", [layer_of({"a": b"a"})], {})
    place.command("pull", f"{place.other.host}/team/app:1")
    assert _logins(place.other) == {_LOGIN}


def test_login_is_not_sent_before_it_is_asked_for(place: Place) -> None:
    """A registry that lets anybody read hears of no name."""
    place.command("pull", f"{place.registry.host}/app:1")

    assert _logins(place.registry) == set()


def test_certificate_of_a_stranger_gets_no_login(place: Place) -> None:
    """And a registry with TLS is never asked in the clear instead."""
    with FakeRegistry(tls=True) as secure:
        secure.push_image("app", "1", [layer_of({"a": b"a"})], {})
        secure.require_basic("me", _PASSWORD)
        place.log_in(secure.host)
        place.configure(f'[registry."{secure.host}"]\ninsecure = false\n')
        failed = place.command("pull", f"{secure.host}/app:1", code=1)
        assert "TLS failed" in failed.err
        assert secure.log == []

        place.configure(f'[registry."{secure.host}"]\nca = "{TLS_PEM}"\n')
        place.command("pull", f"{secure.host}/app:1")
        assert _logins(secure) == {_LOGIN}


@pytest.mark.parametrize("place_of", [".config/docker/certs.d", ".config/containers/certs.d"])
def test_certificates_of_docker_and_podman(place_of: str, place: Place) -> None:
    """Trusted for that host; the client's is shown to it, and not to where it redirects."""
    with (
        FakeRegistry(tls=True, knows_clients=True) as secure,
        FakeRegistry(tls=True, knows_clients=True) as other,
    ):
        for server in (secure, other):
            server.push_image("app", "1", [layer_of({"a": b"a"})], {})
        directory = place.command.home / place_of / secure.host
        directory.mkdir(parents=True)
        (directory / "ca.crt").write_bytes(TLS_PEM.read_bytes())
        (directory / "client.cert").write_bytes(TLS_PEM.read_bytes())
        failed = place.command("pull", f"{secure.host}/app:1", code=1)
        assert "certificates cannot be used" in failed.err
        assert str(directory / "client.key") in failed.err

        (directory / "client.key").write_bytes(TLS_PEM.read_bytes())
        secure.redirect("/blobs/", f"{other.url}*", times=9)
        failed = place.command("pull", f"{secure.host}/app:1", code=1)
        assert f"{other.host}: TLS failed" in failed.err
        assert other.log == []

        secure.heal()
        place.command("pull", f"{secure.host}/app:1")


def test_tls_is_not_given_up_for_a_registry_that_only_fails(place: Place) -> None:
    """Insecure is one whose certificate does not count: where TLS was spoken, the clear is not tried."""
    with FakeRegistry(tls=True) as secure:
        secure.push_image("app", "1", [layer_of({"a": b"a"})], {})
        secure.require_basic("me", _PASSWORD)
        secure.drop("/blobs/", times=None)
        place.log_in(secure.host)
        place.configure(f'[registry."{secure.host}"]\ninsecure = true\n')
        failed = place.command("pull", f"{secure.host}/app:1", code=1)

    assert f"http://{secure.host}" not in failed.err


@pytest.mark.parametrize("member", ["registrytoken", "identitytoken"])
def test_tokens_are_not_sent_elsewhere(member: str, place: Place) -> None:
    """A redirect loses them as it loses a password."""
    place.config.write_text(json.dumps({"auths": {place.registry.host: {member: _PASSWORD}}}))
    place.other.push_image("app", "1", [layer_of({"a": b"a"})], {})
    place.registry.require_token("me", "x", refresh_token=_PASSWORD)
    place.registry.accept_token(_PASSWORD)
    place.registry.redirect("/blobs/", f"{place.other.url}*")
    place.command("pull", f"{place.registry.host}/app:1")

    assert place.other.log
    assert _logins(place.other) == set()


def test_nothing_is_printed_of_a_login(place: Place) -> None:
    """Not even if the registry says it back, in a header or in an error."""
    place.registry.require_basic("me", _PASSWORD)

    def echo(answer: Answer) -> Answer:
        body = json.dumps({"message": f"{_PASSWORD}: you said {_LOGIN} {'x' * 280} {_LOGIN}"}).encode()
        return Answer(418, {"X-Said": _LOGIN}, body, reason=f"Teapot {_PASSWORD}")

    place.registry.change("/blobs/", echo)
    for mode in ("plain", "rawjson"):
        failed = place.command(
            "pull", f"{place.registry.host}/app:1", code=1, env={"BUILDKIT_PROGRESS": mode}
        )
        assert "418" in failed.err
        assert _LOGIN.removeprefix("Basic ")[:9] not in failed.err + failed.out
        assert "canary" not in failed.err + failed.out


def test_login_file_that_is_a_link(place: Place) -> None:
    """It stays one, as dotfiles are kept; what it leads to is for its owner alone."""
    kept = place.command.home / "dotfiles/docker.json"
    kept.parent.mkdir()
    kept.write_text('{"auths": {}, "detachKeys": "x"}')
    kept.chmod(0o644)
    place.config.unlink()
    place.config.symlink_to("../dotfiles/docker.json")
    # Of a login that was killed, by a process of the same number: in a container they are.
    (kept.parent / f".docker.json.{os.getpid()}").write_text("half")
    place.command("login", "-u", "me", "-p", _PASSWORD, place.registry.host)

    assert place.config.is_symlink()
    assert json.loads(kept.read_text())["detachKeys"] == "x"
    assert place.registry.host in json.loads(kept.read_text())["auths"]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "Removing" in place.command("logout", place.registry.host).out
    assert place.config.is_symlink()
