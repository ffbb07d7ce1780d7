"""`push` and `login` to registries that are as bad as they can be: all of the image, or one clear error.

Whatever happens: the registry keeps no wrong byte, no login went to anybody else, no manifest is there before
its blobs, and once the registry is well again, so is the push.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.core.digest import Digest
from tests.support.cli import BUG, write_project
from tests.support.driven import Driven
from tests.support.faulty import Endless, Fault, Trickle, all_of, head, raw, reset, spoken
from tests.support.images import layer_of
from tests.support.processes import assert_intact
from tests.support.registry import Answer, FakeRegistry
from tests.support.stores import copy_store

pytestmark = pytest.mark.e2e

_PASSWORD = "hunter2-canary"
_WORDS = "this registry is a museum"
_ERROR = json.dumps({"errors": [{"code": "UNSUPPORTED", "message": _WORDS}]}).encode()
_HEAD, _POST, _PATCH, _PUT = "HEAD .*/blobs/", "POST .*/uploads/", "PATCH ", "PUT .*/uploads/"
_MANIFEST = "PUT .*/manifests/"
_BASE = random.Random(1).randbytes(2000)
# Goes in chunks, and is not compressible.
_NOISE = random.Random(2).randbytes(9 << 20)


class Place(NamedTuple):
    """A registry that has the base in another repository, another host, and the command with an image."""

    registry: FakeRegistry
    other: FakeRegistry
    command: Driven

    @property
    def name(self) -> str:
        return f"{self.registry.host}/team/app:1"


class Base(NamedTuple):
    registry: FakeRegistry
    store: Path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    """A store with one layer that was pulled and one that was built, ready to be pushed."""
    directory = tmp_path_factory.mktemp("push")
    with FakeRegistry() as registry:
        registry.push_image("base", "1", [layer_of({"base": _BASE})], {})
        command = Driven(directory / "store", directory / "home")
        context = write_project(
            directory / "context", f"FROM {registry.host}/base:1\nCOPY . /x\n", {"noise": _NOISE}
        )
        command("build", "--progress", "plain", "-t", f"{registry.host}/team/app:1", context)
        command("push", f"{registry.host}/team/app:1")
        yield Base(registry, command.root)


@pytest.fixture
def place(base: Base, tmp_path: Path) -> Iterator[Place]:
    registry = base.registry
    registry.heal()
    registry.uploads.reset()
    registry.empty("team/app")
    command = Driven(copy_store(base.store, tmp_path / "store"), tmp_path / "home")
    docker = command.home / ".docker/config.json"
    docker.parent.mkdir()
    auth = base64.b64encode(f"me:{_PASSWORD}".encode()).decode()
    docker.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
    with FakeRegistry() as other:
        yield Place(registry, other, command)


def _once(*patterns: str, status: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return all_of(*(_refusal(pattern, status, named, times=1) for pattern in patterns))


def _always(pattern: str, status: int, **headers: str) -> Fault:
    return _refusal(pattern, status, {name.replace("_", "-"): value for name, value in headers.items()})


def _refusal(pattern: str, status: int, headers: dict[str, str], *, times: int | None = None) -> Fault:
    return lambda r: r.refuse(pattern, status, times=times, headers=headers, body=_ERROR)


def _without(pattern: str, *names: str) -> Fault:
    gone = dict.fromkeys(names)
    return lambda r: r.change(pattern, lambda a: a._replace(headers={**a.headers, **gone}))


def _with(pattern: str, *, times: int | None = None, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda r: r.change(pattern, lambda a: a._replace(headers={**a.headers, **named}), times=times)


def _uploads(**settings: object) -> Fault:
    def set_them(registry: FakeRegistry) -> None:
        for name, value in settings.items():
            setattr(registry.uploads, name, value)

    return set_them


def _basic(registry: FakeRegistry) -> None:
    registry.require_basic("me", _PASSWORD)


def _token(registry: FakeRegistry) -> None:
    registry.require_token("me", _PASSWORD)


def _forgets_once(pattern: str) -> Fault:
    """What was sent so far is gone when this is asked for."""

    def set_it(registry: FakeRegistry) -> None:
        done: list[int] = []

        def forget(_: object) -> bool:
            if not done:
                done.append(1)
                registry.uploads.forget()
            return False

        registry.refuse(pattern, 404, when=forget)

    return set_it


SURVIVED: dict[str, Fault] = {
    "nothing-wrong": lambda r: None,
    "basic-login": _basic,
    "token-login": _token,
    "reset-before-the-head": all_of(
        *(spoken(what, reset(), times=1) for what in (_HEAD, _POST, _PATCH, _PUT, _MANIFEST))
    ),
    "reset-within-the-head": all_of(
        *(spoken(what, reset(b"HTTP/1.1 2"), times=1) for what in (_HEAD, _POST, _PATCH, _PUT, _MANIFEST))
    ),
    "closed-without-a-word": all_of(
        *(spoken(what, raw(), times=1) for what in (_HEAD, _POST, _PATCH, _PUT, _MANIFEST))
    ),
    "reset-while-sending": all_of(
        lambda r: r.cut_body(_PATCH, 3 << 20), lambda r: r.cut_body(_PATCH, 1 << 20)
    ),
    "stall-after-sending": spoken(_PATCH, Trickle(b"", b""), times=1),
    **{
        f"status-{status}": _once(_HEAD, _POST, _PATCH, _PUT, _MANIFEST, status=status)
        for status in (408, 429, 500, 502, 503, 504)
    },
    "retry-after": _once(_POST, status=429, Retry_After="3"),
    "401-in-the-middle": all_of(
        _token,
        lambda r: r.refuse(
            _PATCH, 401, times=1, headers={"WWW-Authenticate": f'Bearer realm="{r.url}/token",service="fake"'}
        ),
    ),
    "token-expired-at-once": all_of(_token, lambda r: setattr(r, "token_lifetime_s", 0)),
    "token-server-busy": all_of(_token, lambda r: r.fail("/token", 503, times=2)),
    "no-head": _always(_HEAD, 405),
    "head-says-another-length": lambda r: r.change(_HEAD, lambda a: Answer(200, {"Content-Length": "77"})),
    "mount-refused": _always("mount=", 403),
    "mount-unknown": _always("mount=", 404),
    "mount-not-allowed": _always("mount=", 405),
    "mount-ignored": _uploads(mounts=False),
    "mount-busy-once": _once("mount=", status=503),
    "no-chunks": _uploads(takes_chunks=False),
    "no-chunks-501": _always(_PATCH, 501),
    "no-chunks-400": _always(_PATCH, 400),
    "appends-whatever-comes": all_of(_uploads(checks_ranges=False), lambda r: r.cut_body(_PATCH, 1 << 20)),
    "small-bodies-only": _uploads(largest_body=4 << 20),
    "large-chunks-only": _uploads(chunk_min=str(32 << 20)),
    "416-once": _once(_PATCH, status=416),
    "bytes-lost": lambda r: r.cut_body(_PATCH, 5 << 20),
    "fewer-bytes-than-sent": lambda r: r.change(
        _PATCH, lambda a: a._replace(headers={**a.headers, "Range": "0-99"}), times=1
    ),
    "always-closed-after-a-chunk": spoken(_PATCH, raw()),
    "says-it-has-nothing": _with(_PATCH, Range="0-0"),
    "upload-forgotten-before-a-chunk": _forgets_once(_PATCH),
    "upload-forgotten-before-the-end": _forgets_once(_PUT),
    "no-location-after-a-chunk": _without(_PATCH, "Location"),
    "no-location-at-the-end": _without(_PUT, "Location", "Docker-Content-Digest"),
    "no-range": _without(_PATCH, "Range"),
    "no-digest-of-the-manifest": _without(_MANIFEST, "Docker-Content-Digest"),
    "absolute-location": lambda r: setattr(r.uploads, "base", r.url),
    "location-with-a-login": lambda r: setattr(r.uploads, "base", f"http://evil:{_PASSWORD}@{r.host}"),
    "uploads-redirected-to-itself": lambda r: r.redirect(_HEAD, f"{r.url}*", times=1),
}


@pytest.mark.parametrize("name", SURVIVED)
def test_push_survives(name: str, place: Place) -> None:
    """Every blob of the manifest is there, whole."""
    SURVIVED[name](place.registry)
    if "stall" in name:
        place.command.patience = place.command.patience._replace(stored_s=0.3)
    place.command("push", place.name)

    _check_pushed(place)
    _check_logins(place)
    if name == "retry-after":
        assert any(3 <= nap <= 4 for nap in place.command.naps)
    if name in ("nothing-wrong", "mount-busy-once"):
        assert not [line for line in place.registry.requests if line.startswith("PATCH")][1:]


def test_uploads_at_another_host_get_no_login(place: Place) -> None:
    """The blobs go there, as the registry wants it; its login does not."""
    place.registry.require_basic("me", _PASSWORD)
    place.other.uploads = place.registry.uploads
    place.registry.uploads.base = place.other.url
    place.command("push", place.name)

    _check_pushed(place)
    _check_logins(place)
    assert [r for r in place.other.log if r.method == "PUT"]


def test_redirected_uploads_get_no_login(place: Place) -> None:
    """The same, said with 307."""
    place.registry.require_basic("me", _PASSWORD)
    place.other.uploads = place.registry.uploads
    place.registry.redirect(_PUT, f"{place.other.url}*", is_early=True)
    place.registry.redirect(_PATCH, f"{place.other.url}*", is_early=True)
    place.command("push", place.name)

    _check_pushed(place)
    _check_logins(place)
    assert {r.method for r in place.other.log} >= {"PATCH", "PUT"}


class Failed(NamedTuple):
    break_it: Fault
    code: str
    words: str = ""
    attempts: int = 1  # of one kind, for each blob
    asked: str = _POST


UNAVAILABLE, DENIED, REFUSED, MISMATCH = (
    "registry-unavailable",
    "registry-denied",
    "push-refused",
    "digest-mismatch",
)
_HTML = b"<html><body>please log in to the hotel</body></html>"
FAILED: dict[str, Failed] = {
    "read-only-405": Failed(_always("POST|PUT|PATCH", 405), REFUSED, _WORDS),
    "read-only-403": Failed(_always("POST|PUT|PATCH", 403), DENIED, _WORDS),
    "read-only-400": Failed(_always(_POST, 400), REFUSED, _WORDS),
    "no-such-repository": Failed(_always(_POST, 404), REFUSED, _WORDS),
    "401-for-ever": Failed(_always(_POST, 401, WWW_Authenticate="Basic realm=x"), DENIED, "", 2),
    "wrong-login": Failed(lambda r: r.require_basic("me", "another"), DENIED, "", 2, _HEAD),
    **{
        f"status-{status}": Failed(_always(_POST, status), UNAVAILABLE, _WORDS, 5)
        for status in (408, 429, 500, 502, 503, 504, 507)
    },
    "retry-after-an-hour": Failed(_always(_POST, 429, Retry_After="3600"), UNAVAILABLE, _WORDS),
    "always-reset": Failed(spoken(_POST, reset()), UNAVAILABLE, "reset", 5),
    "stalls": Failed(spoken(_POST, Trickle(b"", b"")), UNAVAILABLE, "silent", 5),
    "error-stalls": Failed(
        spoken(_POST, Trickle(head("418 Teapot", Content_Length="99"), b"")), REFUSED, "418"
    ),
    "error-endless": Failed(spoken(_POST, Endless(head("418 Teapot"), b"x" * 65536)), REFUSED, "418"),
    "answer-endless": Failed(
        spoken(_POST, Endless(head("202 Accepted"), b"x" * 65536)), UNAVAILABLE, "where to upload to"
    ),
    "hotel": Failed(lambda r: r.fail(_POST, 200, body=_HTML), REFUSED, "200"),
    "no-location": Failed(_without(_POST, "Location"), UNAVAILABLE, "where to upload to"),
    "location-of-a-file": Failed(_with(_POST, Location="file:///etc/passwd"), UNAVAILABLE, "scheme"),
    "location-of-nothing": Failed(_with(_POST, Location="http://a b:x/?sig=secret"), UNAVAILABLE, "address"),
    "redirect-with-302": Failed(
        lambda r: r.redirect(_POST, f"{r.url}*", status=302, is_early=True), UNAVAILABLE, "not with 307"
    ),
    "redirect-loop": Failed(lambda r: r.redirect(_POST, f"{r.url}*"), UNAVAILABLE, "redirects", 6),
    "416-for-ever": Failed(_always(_PATCH, 416), REFUSED, "416", 5, _PATCH),
    "forgets-for-ever": Failed(_always(_PATCH, 404), REFUSED, _WORDS, 5, _PATCH),
    "has-more-than-was-sent": Failed(
        _with(_PATCH, Range=f"0-{1 << 40}"), UNAVAILABLE, "bytes of a blob", 5, _PATCH
    ),
    "413-for-ever": Failed(_always("PATCH|PUT", 413), REFUSED, _WORDS, 9, _PATCH),
    "digest-refused": Failed(_always(_PUT, 400), REFUSED, _WORDS, 1, _PUT),
    "digest-of-a-blob-lies": Failed(
        _with(_PUT, Docker_Content_Digest="sha256:" + "0" * 64), MISMATCH, "at the registry", 1, _PUT
    ),
    "digest-of-the-manifest-lies": Failed(
        _with(_MANIFEST, Docker_Content_Digest="sha256:" + "0" * 64), MISMATCH, "manifest", 1, _MANIFEST
    ),
    **{
        f"manifest-{status}": Failed(_always(_MANIFEST, status), code, _WORDS, attempts, _MANIFEST)
        for status, code, attempts in (
            (400, REFUSED, 1),
            (403, DENIED, 1),
            (404, REFUSED, 1),
            (405, REFUSED, 1),
            (413, REFUSED, 1),
            (415, REFUSED, 1),
            (429, UNAVAILABLE, 5),
            (500, UNAVAILABLE, 5),
        )
    },
    "manifest-redirected-with-302": Failed(
        lambda r: r.redirect(_MANIFEST, f"{r.url}*", status=302, is_early=True),
        UNAVAILABLE,
        "not with 307",
        1,
        _MANIFEST,
    ),
    "token-server-refuses": Failed(
        all_of(_token, lambda r: r.fail("/token", 401, body=_ERROR)), DENIED, _WORDS, 3, "/token"
    ),
    "token-for-reading-only": Failed(all_of(_token, _always(_POST, 403)), DENIED, _WORDS),
}


@pytest.mark.parametrize("name", FAILED)
def test_push_fails_well(name: str, place: Place) -> None:
    """One error, in the registry's own words, after no more tries than are worth it."""
    row = FAILED[name]
    row.break_it(place.registry)
    if "stalls" in name:
        place.command.patience = place.command.patience._replace(silence_s=0.15, document_s=0.3)
    err = place.command("push", place.name, code=1).err

    assert err.count("error[") == 1, err
    assert f"error[{row.code}]" in err, err
    assert row.words in err[err.index("error[") :], err
    assert BUG not in err
    assert "Traceback" not in err
    assert _PASSWORD not in err
    assert "secret" not in err
    asked = [line.partition("?")[0] for line in place.registry.requests if re.search(row.asked, line)]
    # Five blobs at a time, each with a session of its own.
    assert len(asked) <= row.attempts * (1 if row.asked == _MANIFEST else 4), asked
    assert "lies" in name or not place.registry.has("team/app", "1")
    _check_logins(place)
    for answer in place.registry.spoken:
        assert not isinstance(answer.speak, Endless) or answer.speak.was_left

    place.registry.heal()
    place.registry.uploads.reset()
    place.command("push", place.name)
    _check_pushed(place)


@pytest.mark.parametrize("status", [401, 403])
def test_login_is_refused_once(status: int, place: Place) -> None:
    """With the registry's words; the password is kept nowhere, and the old one stays."""
    path = place.command.home / ".docker/config.json"
    before = path.read_bytes()
    place.registry.require_token("me", "another")
    place.registry.fail("/token", status, body=_ERROR)
    err = place.command("login", "-u", "me", "-p", "new-canary", place.registry.host, code=1).err

    assert "error[login-refused]" in err
    assert _WORDS in err
    assert "canary" not in err
    assert sum("/token" in line for line in place.registry.requests) == 1
    assert path.read_bytes() == before


def test_login_waits_for_a_busy_registry(place: Place) -> None:
    """It and its token server are asked again, as by push and pull."""
    place.registry.require_token("me", _PASSWORD)
    place.registry.fail("GET /v2/$", 503, times=1)
    place.registry.fail("/token", 429, times=2, headers={"Retry-After": "5"})
    place.command("login", "-u", "me", "-p", _PASSWORD, place.registry.host)

    assert [round(nap) for nap in place.command.naps[1:]] == [5, 5]


def _check_pushed(place: Place) -> None:
    registry = place.registry
    document = json.loads(registry.manifest("team/app", "1"))
    for entry in (document["config"], *document["layers"]):
        blob = registry.blob("team/app", entry["digest"])
        assert entry["size"] == len(blob)
        assert entry["digest"] == str(Digest.of(blob))
    assert len(document["layers"]) == 2
    assert_intact(place.command.root)


def _check_logins(place: Place) -> None:
    assert not [request for request in place.other.log if "authorization" in request.headers]
    for request in place.registry.log:
        assert _PASSWORD not in request.path
        assert base64.b64encode(f"evil:{_PASSWORD}".encode()).decode() not in str(request.headers)
