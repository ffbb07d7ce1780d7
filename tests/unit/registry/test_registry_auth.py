"""Logins: challenges, tokens, Docker's config.json and its helpers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.core.descriptor import OCI_LAYER_GZIP, Descriptor
from builder.core.digest import Digest
from builder.core.reference import Reference
from builder.registry.auth import Authenticator, Challenge, parse_challenges
from builder.registry.client import HttpRegistryClient
from builder.registry.config import RegistryConfig
from builder.registry.credentials import HUB_KEY, Credential, CredentialStore
from builder.registry.exchange import Exchange
from builder.registry.interface import InvalidRegistryConfig, RegistryDenied, RegistryUnavailable
from builder.registry.retry import Retry
from builder.registry.transport import Transport
from tests.support.registry import Answer, FakeRegistry


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        server.push_image("app", "1", [], {})
        server.push_blob("app", b"blob")
        yield server


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def client_with(document: dict[str, object], clock: list[float] | None = None) -> HttpRegistryClient:
    now = clock if clock is not None else [0.0]
    transport, retry = Transport(), Retry(sleep=lambda _: None)
    store = CredentialStore(document)
    authenticator = Authenticator(transport, store, retry, clock=lambda: now[0])
    return HttpRegistryClient(Exchange(RegistryConfig(), transport, authenticator, retry))


def pull(client: HttpRegistryClient, registry: FakeRegistry) -> None:
    reference = Reference.parse(f"{registry.host}/app:1")
    client.fetch_manifest(reference)
    blob = Descriptor(media_type=OCI_LAYER_GZIP, digest=Digest.of(b"blob"), size=4)
    client.fetch_blob(reference, blob, lambda _: None)


def test_anonymous_token(registry: FakeRegistry) -> None:
    """Asked for once, with service and scope, and used for everything of the repository."""
    registry.require_token()
    pull(client_with({}), registry)

    assert registry.requests == [
        "GET /v2/app/manifests/1",
        "GET /token?service=fake&scope=repository%3Aapp%3Apull",
        "GET /v2/app/manifests/1",
        f"GET /v2/app/blobs/{Digest.of(b'blob')}",
    ]
    assert "authorization" not in registry.log[1].headers


def test_token_with_a_login(registry: FakeRegistry) -> None:
    """The password goes to the token server, the token to the registry."""
    registry.require_token("me", "pass:word")
    pull(client_with({"auths": {registry.host: auth("me", "pass:word")}}), registry)

    sent = [r.headers.get("authorization", "").partition(" ")[0] for r in registry.log]
    assert sent == ["", "Basic", "Bearer", "Bearer"]


def test_refresh_token(registry: FakeRegistry) -> None:
    """An identity token is traded by POST, and is in no address."""
    registry.require_token("nobody", refresh_token="r3fr3sh")
    pull(client_with({"auths": {registry.host: {"identitytoken": "r3fr3sh"}}}), registry)

    assert registry.requests[1] == "POST /token"
    assert b"grant_type=refresh_token" in registry.log[1].body
    assert not any("r3fr3sh" in r.path for r in registry.log)


def test_ready_bearer_token(registry: FakeRegistry) -> None:
    """A registrytoken is used as it is."""
    registry.require_token()
    registry.accept_token("ready")
    pull(client_with({"auths": {registry.host: {"registrytoken": "ready"}}}), registry)

    assert not any("/token" in line for line in registry.requests)


def test_basic(registry: FakeRegistry) -> None:
    """Only after the registry asked for it."""
    registry.require_basic("me", "hunter2")
    pull(client_with({"auths": {registry.host: auth("me", "hunter2")}}), registry)

    assert ["authorization" in r.headers for r in registry.log] == [False, True, True]


def test_expired_token_is_replaced_without_being_sent(registry: FakeRegistry) -> None:
    """The clock tells, some seconds ahead."""
    registry.require_token()
    clock = [1000.0]
    client = client_with({}, clock)
    pull(client, registry)
    clock[0] += registry.token_lifetime_s - 5
    registry.revoke_tokens()
    registry.log.clear()
    pull(client, registry)

    assert "authorization" not in registry.log[0].headers
    assert sum("/token" in line for line in registry.requests) == 1


def test_revoked_token_is_replaced(registry: FakeRegistry) -> None:
    """A 401 to a token that should live means: another one."""
    registry.require_token()
    client = client_with({})
    pull(client, registry)
    registry.revoke_tokens()
    pull(client, registry)

    assert sum("/token" in line for line in registry.requests) == 2


def test_wrong_login_is_denied_once(registry: FakeRegistry) -> None:
    """No second try, the server's words, and not the password."""
    registry.require_token("me", "right")
    client = client_with({"auths": {registry.host: auth("me", "hunter2")}})

    with pytest.raises(RegistryDenied) as caught:
        pull(client, registry)
    assert "no token from" in caught.value.message
    assert "incorrect username or password" in caught.value.message
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"
    assert sum("/token" in line for line in registry.requests) == 1


def test_wrong_basic_login_is_denied(registry: FakeRegistry) -> None:
    """A login that was refused is not sent for ever."""
    registry.require_basic("me", "right")

    with pytest.raises(RegistryDenied, match="authentication required"):
        pull(client_with({"auths": {registry.host: auth("me", "wrong")}}), registry)
    assert len(registry.log) == 2


def test_basic_without_a_login_says_how_to_get_one(registry: FakeRegistry) -> None:
    """The hint is a command."""
    registry.require_basic("me", "x")

    with pytest.raises(RegistryDenied) as caught:
        pull(client_with({}), registry)
    assert "it wants a user name and password" in caught.value.message
    assert caught.value.hint is not None
    assert f"pybuild login {registry.host}" in caught.value.hint


def test_token_server_is_retried(registry: FakeRegistry) -> None:
    """It has bad moments like any other."""
    registry.require_token()
    registry.fail("/token", 503, times=2)
    pull(client_with({}), registry)

    assert sum("/token" in line for line in registry.requests) == 3


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": ""}', b"nope"])
def test_unusable_token_answer(registry: FakeRegistry, body: bytes) -> None:
    """A token server that gives none is told from one that says no."""
    registry.require_token()
    registry.change("/token", lambda _: Answer(200, {}, body))

    with pytest.raises(RegistryUnavailable, match="token server gave"):
        pull(client_with({}), registry)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a, b"'], [("basic", {"realm": "a, b"})]),
        (
            ['Bearer realm="https://t/x",service=s,Scope="repository:a:pull,push"'],
            [("bearer", {"realm": "https://t/x", "service": "s", "scope": "repository:a:pull,push"})],
        ),
        (
            ['Negotiate, Bearer realm="https://t" , error="x\\"y", Basic realm=z'],
            [
                ("negotiate", {}),
                ("bearer", {"realm": "https://t", "error": 'x"y'}),
                ("basic", {"realm": "z"}),
            ],
        ),
        (['Basic realm="a"', 'Bearer realm="b"'], [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        (['Bearer realm="first",realm="second"'], [("bearer", {"realm": "first"})]),
        (['Bearer realm="open'], None),
        (["=,=,,\"'"], None),
    ],
)
def test_parse_challenges(headers: list[str], expected: list[tuple[str, dict[str, str]]] | None) -> None:
    """Several challenges in one header or in several; broken ones are no error."""
    found = list(parse_challenges(headers))

    if expected is not None:
        assert [Challenge(scheme, parameters) for scheme, parameters in expected] == found


# config.json


def test_logins_are_found_under_every_spelling() -> None:
    """Docker has filed them under hosts and URLs over the years."""
    store = CredentialStore(
        {
            "auths": {
                HUB_KEY: auth("hub", "1"),
                "ghcr.io": {"username": "plain", "password": "2"},
                "https://quay.io/v1/": auth("old", "3"),
                "r.lab:5000": auth("port", "4\0\0"),
                "empty.example": {},
            }
        }
    )

    assert store.lookup("registry-1.docker.io") == Credential("hub", "1")
    assert store.lookup("ghcr.io") == Credential("plain", "2")
    assert store.lookup("quay.io") == Credential("old", "3")
    assert store.lookup("r.lab:5000") == Credential("port", "4")
    assert store.lookup("r.lab") is None
    assert store.lookup("empty.example") is None
    assert store.lookup("evil.example") is None


def test_config_file(tmp_path: Path) -> None:
    """None and a missing file mean: no logins."""
    path = tmp_path / "config.json"

    assert CredentialStore.load(None).lookup("x.example") is None
    assert CredentialStore.load(path).lookup("x.example") is None
    path.write_text(json.dumps({"auths": {"x.example": auth("a", "b")}}))
    assert CredentialStore.load(path).lookup("x.example") == Credential("a", "b")


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": [1]}', '{"credHelpers": 1}', "\udcff"])
def test_broken_config_file_is_named(tmp_path: Path, text: str) -> None:
    """And not quoted: it holds passwords."""
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(InvalidRegistryConfig):
        CredentialStore.load(path)


def test_broken_login_is_named_without_its_content() -> None:
    """The host is told, the bytes are not."""
    store = CredentialStore({"auths": {"x.example": {"auth": "hunter2!"}}})

    with pytest.raises(InvalidRegistryConfig, match=r"x\.example") as caught:
        store.lookup("x.example")
    assert "hunter2" not in caught.value.message


def test_a_login_is_not_shown_by_repr() -> None:
    """Not in tracebacks either."""
    assert "hunter2" not in repr(Credential("me", "hunter2"))


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``docker-credential-test`` on PATH; what it does is written by the test."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "docker-credential-test"


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("document", "host", "asked"),
    [
        ({"credsStore": "test"}, "x.example", "x.example"),
        (
            {"credsStore": "absent", "credHelpers": {"x.example:5000": "test"}},
            "x.example:5000",
            "x.example:5000",
        ),
        ({"credsStore": "test"}, "registry-1.docker.io", HUB_KEY),
        ({"credHelpers": {"docker.io": "test"}}, "registry-1.docker.io", HUB_KEY),
    ],
)
def test_helper_is_asked(helper: Path, document: dict[str, object], host: str, asked: str) -> None:
    """By ``get``, with the name on stdin; one of the host goes before the general one."""
    log = helper.with_name("asked")
    script(helper, f'echo "$1 $(cat)" >> {log}; echo \'{{"Username": "me", "Secret": "s"}}\'')
    store = CredentialStore(document)

    assert [store.lookup(host), store.lookup(host)] == [Credential("me", "s")] * 2
    assert log.read_text() == f"get {asked}\n"


def test_helper_may_give_an_identity_token(helper: Path) -> None:
    """The user name ``<token>`` says so."""
    script(helper, 'echo \'{"Username": "<token>", "Secret": "t"}\'')

    assert CredentialStore({"credsStore": "test"}).lookup("x.example") == Credential(refresh_token="t")


def test_helper_that_has_nothing_leaves_the_file(helper: Path) -> None:
    """Its "not found" is no problem, and older logins still count."""
    script(helper, "echo credentials not found in native keychain; exit 1")
    store = CredentialStore({"credsStore": "test", "auths": {"x.example": auth("a", "b")}})

    assert store.lookup("x.example") == Credential("a", "b")
    assert store.lookup("y.example") is None
    assert store.problems == {}


@pytest.mark.parametrize(
    "body", ["echo secret >&2; exit 3", "echo nonsense", "echo '[]'", "echo '{\"Username\": 1}'"]
)
def test_failing_helper_means_anonymous_and_is_remembered(helper: Path, body: str) -> None:
    """Public images need no login; what the helper printed may be secret."""
    script(helper, body)
    store = CredentialStore({"credsStore": "test"})

    assert store.lookup("x.example") is None
    assert '"docker-credential-test"' in store.problems["x.example"]
    assert "secret" not in store.problems["x.example"]


def test_missing_helper_is_in_the_hint_of_a_refusal(registry: FakeRegistry) -> None:
    """Copied config files name helpers of other machines."""
    registry.require_basic("me", "x")

    with pytest.raises(RegistryDenied) as caught:
        pull(client_with({"credsStore": "no-such-helper"}), registry)
    assert caught.value.hint is not None
    assert '"docker-credential-no-such-helper" is not installed' in caught.value.hint


@pytest.mark.parametrize("name", ["../evil", "a/b", "x y", "A", "a;b", "é", "a\n"])
def test_helper_names_are_restricted(name: str) -> None:
    """No path and no other program can be named."""
    with pytest.raises(InvalidRegistryConfig, match="credential helper"):
        CredentialStore({"credsStore": name}).lookup("x.example")
