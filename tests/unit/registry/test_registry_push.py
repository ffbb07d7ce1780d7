"""Blobs and manifests on their way to a registry that is as bad as asked."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from builder.core.descriptor import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.errors import Cancelled, PybuildError
from builder.core.job import Cancel
from builder.core.reference import Reference
from builder.registry.auth import Authenticator, merged_scopes
from builder.registry.config import RegistryConfig
from builder.registry.credentials import CredentialStore
from builder.registry.exchange import Exchange
from builder.registry.interface import (
    BlobPlaced,
    PushRefused,
    RegistryDenied,
    RegistryUnavailable,
)
from builder.registry.pusher import HttpRegistryPusher
from builder.registry.retry import Retry
from builder.registry.transport import Transport
from builder.registry.upload import Sizes
from tests.support.faulty import all_of
from tests.support.registry import TLS_PEM, FakeRegistry

SMALL = random.Random(1).randbytes(900)  # goes in one request
LARGE = random.Random(2).randbytes(19_000)  # in five chunks
SIZES = Sizes(whole=1000, chunk=4000, smallest=500)


def descriptor_of(data: bytes) -> Descriptor:
    return Descriptor(media_type=OCI_LAYER_GZIP, digest=Digest.of(data), size=len(data))


class Pusher:
    """A client of one registry, perhaps with a login for it; writes down how long it would have slept."""

    def __init__(self, registry: FakeRegistry, *, login: bool = False, config: str = "") -> None:
        self.naps: list[float] = []
        self.seen: list[int] = []
        self.reference = Reference.parse(f"{registry.host}/app:1")
        transport, retry = Transport(), Retry(sleep=self.naps.append)
        auth = base64.b64encode(b"me:hunter2").decode()
        store = CredentialStore({"auths": {registry.host: {"auth": auth}} if login else {}})
        exchange = Exchange(
            RegistryConfig.parse(config.encode()), transport, Authenticator(transport, store, retry), retry
        )
        self.client = HttpRegistryPusher(exchange, sizes=SIZES)

    def push(self, data: bytes, *, mount_from: str = "", cancel: Cancel | None = None) -> BlobPlaced:
        def open_at(offset: int) -> io.BytesIO:
            return io.BytesIO(data[offset:])

        return self.client.push_blob(
            self.reference,
            descriptor_of(data),
            open_at,
            mount_from=mount_from,
            progress=lambda current, _: self.seen.append(current),
            cancel=cancel,
        )


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


def kinds(registry: FakeRegistry) -> list[str]:
    return [request.method for request in registry.log]


def test_small_blob_goes_in_one_request(registry: FakeRegistry) -> None:
    """HEAD, POST, PUT; where the registry said, with its query."""
    assert Pusher(registry).push(SMALL) is BlobPlaced.UPLOADED
    digest = str(Digest.of(SMALL)).replace(":", "%3A")
    assert registry.requests == [
        f"HEAD /v2/app/blobs/{Digest.of(SMALL)}",
        "POST /v2/app/blobs/uploads/",
        f"PUT /v2/app/blobs/uploads/session-1?_state=a%2Fb&n=1&digest={digest}",
    ]
    assert registry.blob("app", Digest.of(SMALL)) == SMALL


def test_large_blob_goes_in_chunks(registry: FakeRegistry) -> None:
    """Each says where it belongs; progress ends at the size."""
    pusher = Pusher(registry)

    assert pusher.push(LARGE) is BlobPlaced.UPLOADED
    assert kinds(registry) == ["HEAD", "POST", *["PATCH"] * 5, "PUT"]
    ranges = [r.headers["content-range"] for r in registry.log if r.method == "PATCH"]
    assert ranges == ["0-3999", "4000-7999", "8000-11999", "12000-15999", "16000-18999"]
    assert pusher.seen == sorted(pusher.seen)
    assert pusher.seen[-1] == len(LARGE)
    assert registry.blob("app", Digest.of(LARGE)) == LARGE


def test_empty_query_of_a_location(registry: FakeRegistry) -> None:
    """The digest becomes the only parameter."""
    registry.uploads.query = ""
    Pusher(registry).push(SMALL)

    assert registry.requests[-1].startswith("PUT /v2/app/blobs/uploads/session-1?digest=sha256%3A")


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_known_blob_is_not_sent(registry: FakeRegistry, data: bytes) -> None:
    """One HEAD is all."""
    registry.push_blob("app", data)

    assert Pusher(registry).push(data) is BlobPlaced.EXISTS
    assert kinds(registry) == ["HEAD"]


def test_mount_sends_no_byte(registry: FakeRegistry) -> None:
    """What another repository has is mounted from there."""
    registry.push_blob("team/base", LARGE)

    assert Pusher(registry).push(LARGE, mount_from="team/base") is BlobPlaced.MOUNTED
    assert registry.requests[1:] == [
        f"POST /v2/app/blobs/uploads/?mount={Digest.of(LARGE).algorithm}%3A{Digest.of(LARGE).hex}"
        "&from=team%2Fbase"
    ]
    assert registry.has("app", Digest.of(LARGE))


def test_mount_that_is_not_done_becomes_an_upload(registry: FakeRegistry) -> None:
    """202 opens an upload at once; a refusal of the mount is not one of the push."""
    assert Pusher(registry).push(LARGE, mount_from="nosuch") is BlobPlaced.UPLOADED
    assert kinds(registry).count("POST") == 1

    registry.fail("mount=", 403)
    assert Pusher(registry).push(SMALL, mount_from="secret") is BlobPlaced.UPLOADED


def test_token_is_for_both_repositories_of_a_mount(registry: FakeRegistry) -> None:
    """It may pull and push here, and pull there."""
    registry.require_token("me", "hunter2")
    registry.push_blob("base", SMALL)

    assert Pusher(registry, login=True).push(SMALL, mount_from="base") is BlobPlaced.MOUNTED
    tokens = [path for path in registry.requests if "/token" in path]
    assert tokens == [
        "GET /token?service=fake&scope=repository%3Aapp%3Apull%2Cpush",
        "GET /token?service=fake&scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Abase%3Apull",
    ]


def test_scopes() -> None:
    """A reader takes what a challenge says; a writer gets what he needs besides."""
    assert merged_scopes("repository:mirror/app:pull", "repository:app:pull") == [
        "repository:mirror/app:pull"
    ]
    assert merged_scopes("repository:app:pull", "repository:app:pull,push") == ["repository:app:pull,push"]
    assert merged_scopes("", "repository:app:pull") == ["repository:app:pull"]
    assert merged_scopes("repository:app:pull,push", "repository:app:pull,push repository:b:pull") == [
        "repository:app:pull,push",
        "repository:b:pull",
    ]


class Fault(NamedTuple):
    name: str
    set: Callable[[FakeRegistry], object]


def setting(name: str, value: object) -> Callable[[FakeRegistry], object]:
    return lambda registry: setattr(registry.uploads, name, value)


def appending(then: Callable[[FakeRegistry], object]) -> Callable[[FakeRegistry], object]:
    """For a registry that appends whatever it is sent."""

    return all_of(setting("checks_ranges", False), then)


def forgetting(registry: FakeRegistry) -> None:
    """In the middle, all uploads are gone."""

    def change(answer: object) -> object:
        registry.uploads.forget()
        return answer

    registry.change("PATCH", change, times=1)  # type: ignore[arg-type] # an Answer goes through


HTML = b"<html><body>Bad gateway \x1b[31m</body></html>"
SURVIVABLE = [
    Fault("post-503", lambda r: r.refuse("POST", 503, times=2)),
    Fault("head-500", lambda r: r.refuse("HEAD", 500, times=1)),
    Fault("patch-500", lambda r: r.refuse("PATCH", 500, times=2)),
    Fault("patch-502-html", lambda r: r.refuse("PATCH", 502, times=1, body=HTML)),
    Fault("patch-429", lambda r: r.refuse("PATCH", 429, times=1, headers={"Retry-After": "3"})),
    Fault("patch-408", lambda r: r.refuse("PATCH", 408, times=1)),
    Fault("patch-416", lambda r: r.refuse("PATCH", 416, times=1)),
    Fault("patch-404", lambda r: r.refuse("PATCH", 404, times=1)),
    Fault("put-503", lambda r: r.refuse("PUT", 503, times=1)),
    Fault("put-503-done", lambda r: r.fail("PUT", 503, times=1)),
    Fault("patch-503-done", lambda r: r.fail("PATCH", 503, times=1)),
    Fault("patch-503-done-appending", appending(lambda r: r.fail("PATCH", 503, times=1))),
    Fault("post-answer-lost", lambda r: r.drop("POST")),
    Fault("patch-answer-lost", lambda r: r.drop("PATCH")),
    Fault("patch-answer-lost-appending", appending(lambda r: r.drop("PATCH"))),
    Fault("put-answer-lost", lambda r: r.drop("PUT")),
    Fault("status-answer-lost", all_of(lambda r: r.drop("PATCH"), lambda r: r.drop("GET"))),
    Fault("chunk-cut", lambda r: r.cut_body("PATCH", 1500)),
    Fault("chunk-cut-at-once", lambda r: r.cut_body("PATCH", 0)),
    Fault("chunk-cut-after-one-byte", lambda r: r.cut_body("PATCH", 1)),
    Fault("chunk-cut-appending", appending(lambda r: r.cut_body("PATCH", 1500))),
    Fault("chunk-cut-after-one-byte-appending", appending(lambda r: r.cut_body("PATCH", 1))),
    Fault("whole-cut", lambda r: r.cut_body("PUT", 300)),
    Fault("whole-cut-appending", appending(lambda r: r.cut_body("PUT", 300))),
    Fault("uploads-forgotten", forgetting),
    Fault("no-chunks", setting("takes_chunks", False)),
    Fault("small-bodies", setting("largest_body", 700)),
    Fault("large-chunks-wanted", setting("chunk_min", "10000")),
    Fault("token-500", all_of(lambda r: r.require_token(), lambda r: r.fail("/token", 500, times=2))),
    Fault("token-429", all_of(lambda r: r.require_token(), lambda r: r.fail("/token", 429, times=1))),
    Fault("token-dropped", all_of(lambda r: r.require_token(), lambda r: r.drop("/token"))),
]


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("fault", SURVIVABLE, ids=lambda fault: fault.name)
def test_push_survives(registry: FakeRegistry, fault: Fault, data: bytes) -> None:
    """The blob is there in the end, and is the right one."""
    fault.set(registry)
    pusher = Pusher(registry)

    assert pusher.push(data) in (BlobPlaced.UPLOADED, BlobPlaced.EXISTS)
    assert registry.blob("app", Digest.of(data)) == data
    assert pusher.seen[-1] == len(data)


def test_only_what_is_missing_is_sent_again(registry: FakeRegistry) -> None:
    """After a cut the registry is asked what it has."""
    registry.cut_body("PATCH", 1500)
    Pusher(registry).push(LARGE)

    assert kinds(registry)[:5] == ["HEAD", "POST", "PATCH", "GET", "PATCH"]
    assert registry.log[4].headers["content-range"] == "1500-5499"
    assert sum(len(r.body) for r in registry.log if r.method == "PATCH") == len(LARGE)


def test_retry_after_is_honoured(registry: FakeRegistry) -> None:
    """As long as the registry says, and not shorter."""
    registry.refuse("PATCH", 429, times=1, headers={"Retry-After": "7"})
    pusher = Pusher(registry)
    pusher.push(LARGE)

    assert len(pusher.naps) == 1
    assert 7 <= pusher.naps[0] <= 8


@pytest.mark.parametrize(
    ("pattern", "status", "error"),
    [
        ("POST", 403, RegistryDenied),
        ("POST", 404, PushRefused),
        ("POST", 400, PushRefused),
        ("HEAD", 403, RegistryDenied),
        ("PUT", 400, PushRefused),
        ("PUT", 403, RegistryDenied),
        ("PATCH", 403, RegistryDenied),
    ],
)
def test_refusals_are_final(
    registry: FakeRegistry, pattern: str, status: int, error: type[PybuildError]
) -> None:
    """They are told in the registry's own words, after a single request of that kind."""
    body = b'{"errors": [{"code": "DENIED", "message": "requested access is \\u001b[1mdenied"}]}'
    registry.refuse(pattern, status, body=body)
    pusher = Pusher(registry)

    with pytest.raises(error) as caught:
        pusher.push(LARGE)
    assert kinds(registry).count(pattern) == 1
    assert pusher.naps == []
    if pattern != "HEAD":
        assert "requested access is [1mdenied" in caught.value.message
    assert not registry.has("app", Digest.of(LARGE))


@pytest.mark.parametrize(
    ("break_it", "tries"),
    [
        (lambda r: r.refuse("POST", 500), 5),
        (lambda r: r.drop("POST", times=None), 5),
        (lambda r: r.refuse("PATCH", 404), 5),
        (lambda r: r.refuse("PATCH", 416), 5),
        (all_of(lambda r: r.require_token(), lambda r: r.fail("/token", 503)), 5),
        (lambda r: r.fail("PATCH", 202, headers={"Range": "0-0"}), 5),
        (lambda r: r.fail("PATCH", 202, headers={"Range": "0-999999"}), 5),
    ],
    ids=["post-500", "post-dropped", "patch-404", "patch-416", "token-503", "no-progress", "too-much"],
)
def test_gives_up(registry: FakeRegistry, break_it: Callable[[FakeRegistry], object], tries: int) -> None:
    """Nobody is asked for ever."""
    break_it(registry)
    pusher = Pusher(registry)

    with pytest.raises((RegistryUnavailable, PushRefused)):
        pusher.push(LARGE)
    assert len(pusher.naps) == tries - 1
    assert not registry.has("app", Digest.of(LARGE))


def test_wrong_digest_of_an_answer(registry: FakeRegistry) -> None:
    """A registry that stored something else is not believed."""
    registry.fail("PUT", 201, headers={"Docker-Content-Digest": str(Digest.of(b"other"))})

    with pytest.raises(DigestMismatch):
        Pusher(registry).push(SMALL)


def test_short_file_is_no_blob(registry: FakeRegistry) -> None:
    """What the store lost is not padded, and nothing is left at the registry."""
    pusher = Pusher(registry)

    with pytest.raises(DigestMismatch):
        pusher.client.push_blob(
            pusher.reference, descriptor_of(LARGE), lambda offset: io.BytesIO(LARGE[offset:-1])
        )
    assert not registry.has("app", Digest.of(LARGE))


def test_changed_file_is_refused_by_the_registry(registry: FakeRegistry) -> None:
    """The digest that is announced is that of the blob."""
    pusher = Pusher(registry)

    with pytest.raises(PushRefused, match="did not match"):
        pusher.client.push_blob(
            pusher.reference, descriptor_of(SMALL), lambda offset: io.BytesIO(bytes(len(SMALL)))
        )


def test_cancel_ends_a_push(registry: FakeRegistry) -> None:
    """Between two pieces."""
    cancel = Cancel()
    cancel.cancel()

    with pytest.raises(Cancelled):
        Pusher(registry).push(LARGE, cancel=cancel)
    assert registry.log == []


# Where credentials go


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("kind", ["basic", "token"])
def test_uploads_elsewhere_get_no_login(registry: FakeRegistry, kind: str, data: bytes) -> None:
    """Location may name another host: the bytes go there, the login does not."""
    with FakeRegistry() as other:
        other.uploads = registry.uploads
        registry.uploads.base = other.url
        if kind == "basic":
            registry.require_basic("me", "hunter2")
        else:
            registry.require_token("me", "hunter2")

        assert Pusher(registry, login=True).push(data) is BlobPlaced.UPLOADED
        assert {request.method for request in other.log} <= {"PATCH", "PUT"}
        assert [r.headers.get("authorization") for r in other.log] == [None] * len(other.log)
        assert registry.blob("app", Digest.of(data)) == data


def test_challenge_from_elsewhere_is_not_answered(registry: FakeRegistry) -> None:
    """Whoever takes the upload may not ask for the login of the registry."""
    with FakeRegistry() as other:
        other.uploads = registry.uploads
        other.require_basic("me", "hunter2")
        registry.uploads.base = other.url
        registry.require_basic("me", "hunter2")

        with pytest.raises(RegistryDenied):
            Pusher(registry, login=True).push(SMALL)
        assert [r.headers.get("authorization") for r in other.log] == [None]


def test_absolute_location_of_the_registry_itself(registry: FakeRegistry) -> None:
    """It is the same host: the login goes along."""
    registry.uploads.base = registry.url
    registry.require_basic("me", "hunter2")

    assert Pusher(registry, login=True).push(LARGE) is BlobPlaced.UPLOADED


def test_redirected_upload(registry: FakeRegistry) -> None:
    """307 sends the same bytes again, without the login; 302 would be a guess."""
    with FakeRegistry() as other:
        other.uploads = registry.uploads
        registry.require_basic("me", "hunter2")
        digest = str(Digest.of(SMALL)).replace(":", "%3A")
        elsewhere = f"{other.url}/v2/app/blobs/uploads/session-1?digest={digest}"
        registry.refuse("PUT", 307, headers={"Location": elsewhere}, times=1)

        assert Pusher(registry, login=True).push(SMALL) is BlobPlaced.UPLOADED
        assert [(r.method, r.body, r.headers.get("authorization")) for r in other.log] == [
            ("PUT", SMALL, None)
        ]

    registry.redirect("POST", f"{registry.url}*", status=302)
    with pytest.raises(RegistryUnavailable, match="redirects a POST with 302"):
        Pusher(registry, login=True).push(LARGE)


def test_location_in_the_clear_of_a_registry_with_tls() -> None:
    """A proxy that does TLS for a registry which does not know of it: the upload stays with TLS."""
    with FakeRegistry(tls=True) as secure:
        secure.uploads.base = f"http://{secure.host}"
        pusher = Pusher(secure, config=f'[registry."{secure.host}"]\nca = "{TLS_PEM}"\n')

        assert pusher.push(LARGE) is BlobPlaced.UPLOADED

        secure.uploads.base = "http://localhost:1"
        with pytest.raises(PybuildError, match="from https to http"):
            pusher.push(SMALL)


# Manifests


def manifest_of(registry: FakeRegistry) -> bytes:
    config = registry.push_blob("app", b"{}")
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": str(config), "size": 2},
        "layers": [],
    }
    return json.dumps(document).encode()


def test_manifest_by_tag_and_by_digest(registry: FakeRegistry) -> None:
    """The bytes that were given, under the name that was given."""
    raw = manifest_of(registry)
    pusher = Pusher(registry)
    digest = Digest.of(raw)

    assert pusher.client.push_manifest(pusher.reference, raw, OCI_MANIFEST) == digest
    assert registry.manifest("app", "1") == raw
    by_digest = pusher.reference.with_tag(None).with_digest(digest)
    assert pusher.client.push_manifest(by_digest, raw, OCI_MANIFEST) == digest
    assert registry.requests == ["PUT /v2/app/manifests/1", f"PUT /v2/app/manifests/{digest}"]
    with pytest.raises(DigestMismatch):
        pusher.client.push_manifest(by_digest, raw + b" ", OCI_MANIFEST)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("503", lambda r: r.refuse("PUT", 503, times=1)),
        Fault("429", lambda r: r.refuse("PUT", 429, times=1, headers={"Retry-After": "1"})),
        Fault("lost", lambda r: r.drop("PUT")),
        Fault("cut", lambda r: r.cut_body("PUT", 10)),
    ],
    ids=lambda fault: fault.name,
)
def test_manifest_survives(registry: FakeRegistry, fault: Fault) -> None:
    """It is put again: that changes nothing."""
    raw = manifest_of(registry)
    fault.set(registry)
    pusher = Pusher(registry)
    pusher.client.push_manifest(pusher.reference, raw, OCI_MANIFEST)

    assert registry.manifest("app", "1") == raw


def test_incomplete_image_is_refused(registry: FakeRegistry) -> None:
    """In the registry's words."""
    raw = manifest_of(registry)
    registry.forget("app", Digest.of(b"{}"))
    pusher = Pusher(registry)

    with pytest.raises(PushRefused, match="blob unknown to registry"):
        pusher.client.push_manifest(pusher.reference, raw, OCI_MANIFEST)


def test_mirrors_get_no_push(registry: FakeRegistry) -> None:
    """They are for reading."""
    with FakeRegistry() as mirror:
        config = f'[registry."{registry.host}"]\nmirrors = ["{mirror.url}"]\n'
        Pusher(registry, config=config).push(SMALL)

        assert mirror.log == []
        assert registry.has("app", Digest.of(SMALL))
