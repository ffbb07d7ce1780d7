"""What a hostile registry, or somebody in between, may try; each rule has its attack here."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from builder.core.descriptor import OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest
from builder.core.errors import PybuildError
from builder.core.reference import Reference
from builder.registry.auth import Authenticator, check_realm
from builder.registry.client import HttpRegistryClient
from builder.registry.config import Endpoint, RegistryConfig
from builder.registry.credentials import CredentialStore
from builder.registry.exchange import Exchange
from builder.registry.interface import (
    InvalidManifest,
    Manifest,
    RegistryDenied,
    RegistryError,
    RegistryUnavailable,
)
from builder.registry.retry import EndpointFailed, Retry
from builder.registry.transport import Request, Transport, redirected
from builder.registry.words import registry_words
from tests.support.registry import TLS_PEM, Answer, FakeRegistry

BLOB = b"content" * 1000
DESCRIPTOR = Descriptor(media_type=OCI_LAYER_GZIP, digest=Digest.of(BLOB), size=len(BLOB))


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        server.push_image("app", "1", [BLOB], {})
        yield server


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        server.push_image("app", "1", [BLOB], {})
        yield server


def client_for(*hosts: str, config: str = "") -> HttpRegistryClient:
    auth = {"auth": base64.b64encode(b"me:hunter2").decode()}
    transport, retry = Transport(), Retry(sleep=lambda _: None)
    store = CredentialStore({"auths": dict.fromkeys(hosts, auth)})
    authenticator = Authenticator(transport, store, retry)
    return HttpRegistryClient(
        Exchange(RegistryConfig.parse(config.encode()), transport, authenticator, retry)
    )


def fetch(client: HttpRegistryClient, registry: FakeRegistry, descriptor: Descriptor = DESCRIPTOR) -> bytes:
    got: list[bytes] = []
    client.fetch_blob(Reference.parse(f"{registry.host}/app"), descriptor, got.append)
    return b"".join(got)


def manifest(client: HttpRegistryClient, registry: FakeRegistry) -> Digest:
    return client.fetch_manifest(Reference.parse(f"{registry.host}/app:1")).digest


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("login", ["basic", "token"])
def test_credentials_stay_behind_on_a_redirect(
    registry: FakeRegistry, other: FakeRegistry, status: int, login: str
) -> None:
    """Another port is another host: blobs come from there, without Authorization."""
    if login == "basic":
        registry.require_basic("me", "hunter2")
    else:
        registry.require_token("me", "hunter2")
    registry.redirect("GET /v2/app/blobs/", f"{other.url}*", status=status)
    client = client_for(registry.host, other.host)
    manifest(client, registry)

    assert fetch(client, registry) == BLOB
    assert "authorization" in registry.log[-1].headers
    assert len(other.log) == 1
    assert "authorization" not in other.log[0].headers


def test_credentials_survive_a_redirect_within_the_host(registry: FakeRegistry) -> None:
    """The same scheme, host and port."""
    registry.require_basic("me", "hunter2")
    registry.redirect("/blobs/", f"/v2/app/manifests/../blobs/{DESCRIPTOR.digest}", times=2)
    client = client_for(registry.host)
    manifest(client, registry)

    assert fetch(client, registry) == BLOB


def test_login_is_not_given_to_the_target_of_a_redirect(registry: FakeRegistry, other: FakeRegistry) -> None:
    """Its challenge is not answered, even if there is a login for it, nor with the registry's own."""
    other.require_basic("me", "hunter2")
    registry.redirect("/blobs/", f"{other.url}*")

    with pytest.raises(RegistryDenied, match=other.host):
        fetch(client_for(registry.host, other.host), registry)
    assert [r.headers.get("authorization") for r in other.log] == [None]


def test_credentials_do_not_come_back(registry: FakeRegistry, other: FakeRegistry) -> None:
    """Host → elsewhere → host: what was dropped stays dropped."""
    registry.require_basic("me", "hunter2")
    client = client_for(registry.host)
    manifest(client, registry)
    registry.redirect("/blobs/", f"{other.url}*", times=1)
    other.redirect("/blobs/", f"{registry.url}*")

    with pytest.raises(RegistryError):
        fetch(client, registry)
    assert "authorization" not in registry.log[-1].headers


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://x.example/",
        "gopher://127.0.0.1/",
        "http://",
        "http://[::1/",
        "http://x.example:99999999/",
    ],
)
def test_redirects_to_no_web_server_are_refused(registry: FakeRegistry, location: str) -> None:
    """Not followed, and no crash."""
    registry.redirect("/blobs/", location)

    with pytest.raises(RegistryUnavailable, match="redirect"):
        fetch(client_for(), registry)


def test_redirect_loop_ends(registry: FakeRegistry) -> None:
    """After five."""
    registry.redirect("/blobs/", f"{registry.url}*")

    with pytest.raises(RegistryUnavailable, match="more than 5 redirects"):
        fetch(client_for(), registry)
    assert len(registry.log) == 6


def test_userinfo_in_a_redirect_is_no_login(registry: FakeRegistry, other: FakeRegistry) -> None:
    """Nobody plants an Authorization header, and the name is in no message."""
    registry.redirect("/blobs/", f"http://evil:hunter2@{other.host}*", times=1)
    other.fail("/blobs/", 403)

    with pytest.raises(RegistryDenied) as caught:
        fetch(client_for(), registry)
    assert "authorization" not in other.log[0].headers
    assert "hunter2" not in caught.value.message


def request(url: str, *, is_verified: bool, may_redirect: bool = True) -> Request:
    endpoint = Endpoint("https", "r.example")
    return Request(endpoint, "GET", url, {}, is_verified=is_verified, may_redirect=may_redirect)


def test_https_to_http_only_for_content_with_a_known_digest() -> None:
    """By tag, an answer over http could be anybody's."""
    url = "https://r.example/v2/a/blobs/x"

    assert redirected(request(url, is_verified=True), url, "http://cdn.example/x") == "http://cdn.example/x"
    with pytest.raises(EndpointFailed, match="anybody could answer"):
        redirected(request(url, is_verified=False), url, "http://cdn.example/x")


def test_https_to_http_drops_credentials_over_the_wire(other: FakeRegistry) -> None:
    """The same name at another scheme is another server."""
    with FakeRegistry(tls=True) as secure:
        secure.push_image("app", "1", [BLOB], {})
        secure.require_basic("me", "hunter2")
        secure.redirect("/blobs/", f"{other.url}*")
        client = client_for(secure.host, config=f'[registry."{secure.host}"]\nca = "{TLS_PEM}"')
        manifest(client, secure)

        assert fetch(client, secure) == BLOB
        assert "authorization" in secure.log[-1].headers
        assert "authorization" not in other.log[0].headers
        secure.redirect("/manifests/", f"{other.url}*")
        with pytest.raises(RegistryUnavailable, match="redirect from https"):
            manifest(client, secure)


# Token servers


@pytest.mark.parametrize(
    ("registry_url", "realm"),
    [
        ("https://r.example", "https://auth.example/token"),
        ("https://r.example", "https://r.example/token"),
        ("http://r.lab:5000", "http://r.lab:5000/token"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
        ("http://localhost:5000", "http://[::1]:5001/token"),
        ("http://r.lab:5000", "https://auth.example/token?x=1"),
    ],
)
def test_realms_that_may_see_a_login(registry_url: str, realm: str) -> None:
    """https anywhere; in the clear only the host that is spoken to in the clear anyway."""
    scheme, _, host = registry_url.partition("://")

    assert realm == check_realm(Endpoint(scheme, host), realm)


@pytest.mark.parametrize(
    ("registry_url", "realm"),
    [
        ("https://r.example", "http://auth.example/token"),
        ("https://r.example", "http://r.example/token"),
        ("https://r.example", "http://127.0.0.1/token"),
        ("http://r.lab:5000", "http://127.0.0.1/token"),
        ("http://r.lab:5000", "http://r.lab:5001/token"),
        ("http://127.0.0.1:5000", "http://169.254.169.254/latest/meta-data"),
        ("https://r.example", "file:///etc/passwd"),
        ("https://r.example", "//auth.example/token"),
        ("https://r.example", "/token"),
        ("https://r.example", ""),
        ("https://r.example", "https://"),
        ("https://r.example", "https://u:hunter2@auth.example/token"),
        ("https://r.example", "https://auth.example/\r\nX: y"),
        ("https://r.example", "https://auth.example:port/"),
        ("https://r.example", "https://[::1/"),
    ],
)
def test_realms_that_may_not(registry_url: str, realm: str) -> None:
    """A registry cannot send a login somewhere in the clear."""
    scheme, _, host = registry_url.partition("://")

    with pytest.raises(EndpointFailed) as caught:
        check_realm(Endpoint(scheme, host), realm)
    assert "hunter2" not in caught.value.message


def test_unsafe_realm_is_not_contacted(registry: FakeRegistry) -> None:
    """Refused before a byte leaves."""
    registry.require_token("me", "hunter2", realm="http://auth.example/token")

    with pytest.raises(RegistryUnavailable, match="not safe"):
        manifest(client_for(registry.host, "auth.example"), registry)
    assert len(registry.log) == 1


def test_token_server_gets_no_login_of_its_own_host(registry: FakeRegistry, other: FakeRegistry) -> None:
    """The login is the one for the registry that was named; without one, the request is anonymous."""
    registry.require_token(realm=f"{other.url}/token")

    with pytest.raises(RegistryDenied):
        manifest(client_for(other.host), registry)
    assert other.requests == ["GET /token?service=fake&scope=repository%3Aapp%3Apull"]
    assert "authorization" not in other.log[0].headers


def test_token_server_cannot_redirect_a_refresh_token(registry: FakeRegistry, other: FakeRegistry) -> None:
    """The token is in the body, which a 307 would carry along."""
    registry.require_token(refresh_token="r3fr3sh")
    registry.redirect("^POST /token", f"{other.url}/token")
    transport, retry = Transport(), Retry(sleep=lambda _: None)
    store = CredentialStore({"auths": {registry.host: {"identitytoken": "r3fr3sh"}}})
    client = HttpRegistryClient(
        Exchange(RegistryConfig(), transport, Authenticator(transport, store, retry), retry)
    )

    with pytest.raises(RegistryUnavailable, match="was redirected"):
        manifest(client, registry)
    assert other.log == []


def test_token_server_redirect_drops_the_password(registry: FakeRegistry, other: FakeRegistry) -> None:
    """GET follows, alone."""
    registry.require_token("me", "hunter2")
    registry.redirect("^GET /token", f"{other.url}/token")

    with pytest.raises(RegistryDenied):
        manifest(client_for(registry.host, other.host), registry)
    assert "authorization" not in other.log[0].headers


@pytest.mark.parametrize("token", ["a\\r\\nX-Evil: 1", "a b", "é", "a\\u0000"])
def test_token_cannot_inject_headers(registry: FakeRegistry, token: str) -> None:
    """Visible ASCII or nothing."""
    registry.require_token()
    registry.change("/token", lambda _: Answer(200, {}, b'{"token": "%s"}' % token.encode()))

    with pytest.raises(RegistryUnavailable, match="characters that no header may have"):
        manifest(client_for(), registry)


def test_challenge_that_never_ends(registry: FakeRegistry) -> None:
    """A registry that rejects each token it had issued is believed after the first."""
    registry.require_token()
    registry.fail("/manifests/", 401, headers={"WWW-Authenticate": f'Bearer realm="{registry.url}/token"'})

    with pytest.raises(RegistryDenied):
        manifest(client_for(), registry)
    assert len(registry.log) == 3


def test_one_registrys_login_is_not_sent_to_another(registry: FakeRegistry, other: FakeRegistry) -> None:
    """Nor to a mirror, which has its own."""
    other.require_basic("me", "hunter2")
    client = client_for(registry.host, config=f'[registry."{registry.host}"]\nmirrors = ["{other.url}"]')
    manifest(client, registry)

    assert [r.headers.get("authorization") for r in other.log] == [None]


# Content


@pytest.mark.parametrize(
    "announced", ["sha256:../../etc/passwd", "sha256:abc", "md5:" + "0" * 32, "", "x" * 9000]
)
def test_announced_digest_is_checked_before_use(registry: FakeRegistry, announced: str) -> None:
    """A digest becomes part of paths."""
    registry.change(
        "/manifests/", lambda a: a._replace(headers={**a.headers, "Docker-Content-Digest": announced})
    )
    client = client_for()

    with pytest.raises(InvalidManifest, match="bad digest"):
        manifest(client, registry)
    with pytest.raises(InvalidManifest, match="bad digest"):
        client.head_digest(Reference.parse(f"{registry.host}/app:1"))


def test_foreign_urls_are_ignored(registry: FakeRegistry, other: FakeRegistry) -> None:
    """A layer comes from the registry, whatever address its manifest brings along (CVE-2020-15157)."""
    layer = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": str(DESCRIPTOR.digest),
        "size": DESCRIPTOR.size,
        "urls": [f"{other.url}/steal"],
    }
    config = {"mediaType": "application/json", "digest": str(DESCRIPTOR.digest), "size": 1}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}
    registry.push_manifest("app", "f", document, OCI_MANIFEST)
    client = client_for(registry.host)
    value = client.fetch_manifest(Reference.parse(f"{registry.host}/app:f")).parse()
    assert isinstance(value, Manifest)

    assert fetch(client, registry, value.layers[0]) == BLOB
    assert other.log == []


def test_error_body_is_capped_and_harmless(registry: FakeRegistry) -> None:
    """Terminal escapes and novels stay out of messages."""
    body = b'{"errors": [{"message": "\\u001b[2Jbad\\nworse\\u202e %s"}]}' % (b"x" * 5000)
    registry.fail("/manifests/", 400, body=body)

    with pytest.raises(RegistryUnavailable) as caught:
        manifest(client_for(), registry)
    assert "[2Jbad worse" in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600


def test_nothing_a_server_writes_reaches_the_terminal_raw(registry: FakeRegistry) -> None:
    """Reason phrase, redirect target, digest and media types are somebody else's text too."""
    registry.change("/manifests/", lambda _: Answer(400, reason="\x1b[2Jno"), times=1)
    registry.redirect("/manifests/", "evil\x1b[2J://x", times=1)
    registry.redirect("/manifests/", "http://x\x9b2J.invalid/", times=2)
    header = {"Docker-Content-Digest": "\x1b[2J"}
    registry.change("/manifests/", lambda a: a._replace(headers={**a.headers, **header}), times=1)
    registry.change(
        "/manifests/", lambda _: Answer(200, {"Content-Type": "\x1b[2J"}, b'{"schemaVersion": 2}')
    )

    for _ in range(5):
        with pytest.raises(PybuildError) as caught:
            manifest(client_for(), registry)
        assert caught.value.message.isprintable()
    assert len(registry.log) >= 5


@pytest.mark.parametrize("length", ["²", "-1", "x", "1" * 30])
def test_nonsense_in_content_length(registry: FakeRegistry, length: str) -> None:
    """Ends in an error that is ours."""
    registry.change("/blobs/", lambda a: a._replace(headers={"Content-Length": length}, cut=10))
    registry.redirect("/manifests/", "/elsewhere")
    registry.change("/elsewhere", lambda _: Answer(401, {"Content-Length": length}))

    with pytest.raises(PybuildError):
        fetch(client_for(), registry)
    with pytest.raises(PybuildError):
        manifest(client_for(), registry)


def test_huge_error_body_is_not_read(registry: FakeRegistry) -> None:
    """A megabyte of "no" is cut; what is left of it is not JSON, and is not shown."""
    registry.fail("/manifests/", 400, body=b'{"message": "' + b"x" * (1 << 20) + b'"}')

    with pytest.raises(RegistryUnavailable, match=r"400 Bad Request$"):
        manifest(client_for(), registry)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ""),
        (b"<html>nginx</html>", ""),
        (b"[" * 50_000, ""),
        (b'"text"', ""),
        (b'{"errors": null}', ""),
        (b'{"errors": [1, {"code": "DENIED"}, {"message": "no"}]}', "DENIED; no"),
        (b'{"details": "incorrect username or password"}', "incorrect username or password"),
    ],
)
def test_registry_words(body: bytes, words: str) -> None:
    """Only what the specification, or Docker Hub's token server, means for people."""
    assert words == registry_words(body)
