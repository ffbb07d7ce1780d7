"""`pull` and `build` from registries that are as bad as they can be: right bytes, or one clear error.

A row is a fault, and what becomes of it. Whatever that is: no wrong byte is in the store, no login went to
anybody else, and once the registry is well again, so is the pull.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.core.descriptor import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from tests.support.cli import BUG, write_project
from tests.support.driven import Driven
from tests.support.faulty import Endless, Fault, Speaker, Trickle, all_of, head, raw, reset, spoken
from tests.support.images import layer_of
from tests.support.processes import assert_intact
from tests.support.registry import Answer, FakeRegistry

pytestmark = pytest.mark.e2e

_PASSWORD = "hunter2-canary"
_WORDS = "come back on tuesday"
_ERROR = json.dumps({"errors": [{"code": "BUSY", "message": _WORDS}]}).encode()
_MANIFEST, _BLOB, _TOKEN = "GET .*/manifests/1", "GET .*/blobs/", "/token"


def _layer(name: str, content: bytes) -> bytes:
    return gzip.compress(layer_of({name: content}), mtime=0)


_SMALL = _layer("a", b"a\n")
# Larger than what one read brings, and than what counts as progress.
_LARGE = _layer("b", random.Random(1).randbytes(3 << 20))


class Place(NamedTuple):
    """A registry with an image, another host beside it, and the command with a login for the first."""

    registry: FakeRegistry
    other: FakeRegistry
    command: Driven

    @property
    def name(self) -> str:
        return f"{self.registry.host}/app:1"

    @property
    def blobs(self) -> Path:
        return self.command.root / "content-v1/blobs/sha256"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FakeRegistry() as registry, FakeRegistry() as other:
        for server in (registry, other):
            server.push_image("app", "1", [_SMALL, _LARGE], {})
        command = Driven(tmp_path / "store", tmp_path / "home")
        docker = command.home / ".docker/config.json"
        docker.parent.mkdir()
        auth = base64.b64encode(f"me:{_PASSWORD}".encode()).decode()
        docker.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
        yield Place(registry, other, command)


def _fails(pattern: str, status: int, *, times: int | None = None, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda r: r.fail(pattern, status, times=times, headers=named, body=_ERROR)


def _body(pattern: str, body: bytes) -> Fault:
    return lambda r: r.change(pattern, lambda answer: answer._replace(body=body))


def _headers(pattern: str, **headers: str | None) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda r: r.change(pattern, lambda a: a._replace(headers={**a.headers, **named}))


def _basic(registry: FakeRegistry) -> None:
    registry.require_basic("me", _PASSWORD)


def _token(registry: FakeRegistry) -> None:
    registry.require_token("me", _PASSWORD)


def _resumed(after: int, change: Callable[[Answer], Answer] = lambda answer: answer) -> Fault:
    """The large layer breaks off once; ``change`` is for the answer that has the rest."""

    def set_both(registry: FakeRegistry) -> None:
        cuts = [after]

        def meddle(answer: Answer) -> Answer:
            if answer.status == 206:
                return change(answer)
            return answer._replace(cut=cuts.pop()) if cuts and len(answer.body) == len(_LARGE) else answer

        registry.change(_BLOB, meddle)

    return set_both


# What works in spite of all, after at most so many requests of each kind for one thing.
SURVIVED: dict[str, Fault] = {
    "reset-before-the-head": all_of(*(spoken(what, reset(), times=1) for what in (_MANIFEST, _BLOB))),
    "reset-within-the-head": all_of(
        *(spoken(what, reset(b"HTTP/1.1 200 OK\r\nContent-Le"), times=1) for what in (_MANIFEST, _BLOB))
    ),
    "reset-within-the-body": all_of(
        *(spoken(what, reset(head(Content_Length="900"), b"half"), times=1) for what in (_MANIFEST,)),
    ),
    "closed-within-the-head": all_of(
        *(spoken(what, raw(b"HTTP/1.1 200 OK\r\nContent-Le"), times=1) for what in (_MANIFEST, _BLOB))
    ),
    "closed-without-a-word": all_of(lambda r: r.drop(_MANIFEST), lambda r: r.drop(_BLOB)),
    "no-http": spoken(_MANIFEST, raw(b"SSH-2.0-OpenSSH_9.2\r\n"), times=1),
    "manifest-cut": lambda r: r.truncate(_MANIFEST, 20),
    "blobs-cut": lambda r: r.truncate(_BLOB, 20, times=4),
    "large-blob-cut": _resumed(1 << 20),
    "large-blob-cut-and-no-ranges": all_of(lambda r: setattr(r, "serves_ranges", False), _resumed(2 << 20)),
    **{
        f"status-{status}-once": all_of(_fails(_MANIFEST, status, times=1), _fails(_BLOB, status, times=2))
        for status in (408, 429, 500, 502, 503, 504, 599)
    },
    "retry-after-seconds": _fails(_MANIFEST, 429, times=2, Retry_After="7"),
    "retry-after-date": lambda r: r.fail(
        _MANIFEST, 503, times=1, headers={"Retry-After": formatdate(time.time() + 9, usegmt=True)}
    ),
    "retry-after-nonsense": _fails(_MANIFEST, 503, times=2, Retry_After="soon"),
    "416-on-resume": _resumed(2 << 20, lambda _: Answer(416)),
    "other-part-on-resume": _resumed(
        2 << 20, lambda a: a._replace(headers={**a.headers, "Content-Range": "bytes 5-9/99"})
    ),
    "no-content-range-on-resume": _resumed(2 << 20, lambda a: a._replace(headers={})),
    "no-length": _headers(".", Content_Length=None, Connection="close"),
    "no-announced-digest": lambda r: setattr(r, "sends_digest_header", False),
    "answer-in-chunks": lambda r: r.change(
        _MANIFEST,
        lambda a: a._replace(
            headers={**a.headers, "Content-Length": None, "Transfer-Encoding": "chunked"},
            body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(a.body), a.body),
        ),
    ),
    "basic-login": _basic,
    "token-login": _token,
    "token-server-busy": all_of(_token, _fails(_TOKEN, 503, times=2), _fails(_TOKEN, 429, times=1)),
    "token-server-resets": all_of(_token, spoken(_TOKEN, reset(), times=1)),
    "token-cut": all_of(_token, lambda r: r.truncate(_TOKEN, 9)),
    "token-expired-at-once": all_of(_token, lambda r: setattr(r, "token_lifetime_s", 0)),
    "token-refused-once": all_of(
        _token,
        lambda r: r.refuse(
            _BLOB, 401, times=1, headers={"WWW-Authenticate": f'Bearer realm="{r.url}/token",service="fake"'}
        ),
    ),
    "stall-once": all_of(*(spoken(what, Trickle(head(), b""), times=1) for what in (_MANIFEST, _BLOB))),
    "trickle-once": spoken(_MANIFEST, Trickle(head()), times=1),
}


@pytest.mark.parametrize("name", SURVIVED)
def test_pull_survives(name: str, place: Place) -> None:
    """Every blob is there, and is the one that it should be; no waiting that nobody asked for."""
    SURVIVED[name](place.registry)
    _hurry(place, name)
    place.command("pull", place.name)

    _check_pulled(place)
    _check_store(place)
    if name == "retry-after-seconds":
        assert [7 <= nap <= 8 for nap in place.command.naps] == [True, True]
    if name == "retry-after-date":
        assert 6 <= place.command.naps[0] <= 10
    assert len(place.command.naps) <= 8


class Failed(NamedTuple):
    """``words`` are in the error; ``attempts`` is how often the thing in question may be asked for."""

    break_it: Fault
    code: str
    words: str = ""
    attempts: int = 1
    asked: str = _MANIFEST


def _forever(what: str, speak: Speaker, code: str, words: str = "", attempts: int = 5) -> Failed:
    return Failed(spoken(what, speak), code, words, attempts, what)


_HTML = b"<html><body>please log in to the hotel</body></html>"
UNAVAILABLE, DENIED, MISMATCH = "registry-unavailable", "registry-denied", "digest-mismatch"
FAILED: dict[str, Failed] = {
    "always-reset": _forever(_MANIFEST, reset(), UNAVAILABLE, "reset"),
    "always-reset-within-the-head": _forever(_MANIFEST, reset(b"HTTP/1.1 200 O"), UNAVAILABLE),
    "always-closed": _forever(_MANIFEST, raw(), UNAVAILABLE, "broke"),
    "always-cut": Failed(lambda r: r.truncate(_MANIFEST, 9, times=None), UNAVAILABLE, "broke", 5),
    "blob-always-cut": Failed(
        lambda r: r.truncate("GET .*/blobs/", 9, times=None), UNAVAILABLE, "", 5, _BLOB
    ),
    "stalls": _forever(_MANIFEST, Trickle(head(Content_Length="90"), b""), UNAVAILABLE, "silent"),
    "stalls-before-the-head": _forever(_MANIFEST, Trickle(b"", b""), UNAVAILABLE, "silent"),
    "manifest-trickles": _forever(_MANIFEST, Trickle(head(Content_Length="9999")), UNAVAILABLE, "bytes in"),
    "head-trickles": _forever(_MANIFEST, Trickle(b"HTTP/1.1 200 OK\r\nX: ", b"x"), UNAVAILABLE, "silent"),
    "blob-trickles": _forever(_BLOB, Trickle(head()), UNAVAILABLE, "bytes in"),
    "error-trickles": _forever(
        _MANIFEST, Trickle(head("418 Teapot", Content_Length="9999")), UNAVAILABLE, "418 Teapot", 1
    ),
    "not-http": _forever(_MANIFEST, raw(b"220 mail ready\r\n"), UNAVAILABLE),
    "thousand-headers": _forever(
        _MANIFEST, raw(b"HTTP/1.1 200 OK\r\n", b"".join(b"X-%d: 1\r\n" % n for n in range(1000))), UNAVAILABLE
    ),
    "endless-header": _forever(_MANIFEST, Endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 9999), UNAVAILABLE),
    "endless-headers": _forever(_MANIFEST, Endless(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n" * 99), UNAVAILABLE),
    "endless-manifest": _forever(_MANIFEST, Endless(head(), b"{" * 65536), UNAVAILABLE, "longer than", 1),
    "endless-manifest-in-chunks": _forever(
        _MANIFEST,
        Endless(head(Transfer_Encoding="chunked"), b"10000\r\n%s\r\n" % (b"{" * 65536)),
        UNAVAILABLE,
        "longer than",
        1,
    ),
    "endless-line-of-a-chunk": _forever(
        _MANIFEST, Endless(head(Transfer_Encoding="chunked"), b"0" * 65536), UNAVAILABLE
    ),
    "endless-blob": _forever(_BLOB, Endless(head(), b"\0" * 65536), MISMATCH, "bytes", 1),
    "endless-error": _forever(
        _MANIFEST, Endless(head("418 Teapot"), b"x" * 65536), UNAVAILABLE, "418 Teapot", 1
    ),
    **{
        f"status-{status}": Failed(_fails(_MANIFEST, status), UNAVAILABLE, _WORDS, 5)
        for status in (408, 429, 500, 502, 503, 504)
    },
    **{
        f"status-{status}": Failed(_fails(_MANIFEST, status), UNAVAILABLE, _WORDS)
        for status in (400, 402, 405, 410, 418, 451)
    },
    "status-403": Failed(_fails(_MANIFEST, 403), DENIED, _WORDS),
    "status-404": Failed(_fails(_MANIFEST, 404), "manifest-not-found", _WORDS),
    "blob-404": Failed(_fails(_BLOB, 404), "blob-not-in-registry", _WORDS, 1, _BLOB),
    "blob-403": Failed(_fails(_BLOB, 403), DENIED, _WORDS, 1, _BLOB),
    "status-204": Failed(_fails(_MANIFEST, 204), UNAVAILABLE, "204"),
    "status-304": Failed(_fails(_MANIFEST, 304), UNAVAILABLE, "304"),
    "redirect-to-nowhere": Failed(_fails(_MANIFEST, 307), UNAVAILABLE, "307"),
    "retry-after-an-hour": Failed(_fails(_MANIFEST, 429, Retry_After="3600"), UNAVAILABLE, _WORDS),
    "error-of-html": Failed(lambda r: r.fail(_MANIFEST, 403, body=_HTML), DENIED, "403"),
    "error-with-escapes": Failed(
        lambda r: r.fail(_MANIFEST, 403, body=b'{"message": "a\\u001b[2Jb\\r\\nc"}'), DENIED, "a [2Jb c"
    ),
    "401-for-ever": Failed(
        lambda r: r.fail(_MANIFEST, 401, headers={"WWW-Authenticate": "Basic realm=x"}), DENIED, "", 2
    ),
    "401-without-a-challenge": Failed(_fails(_MANIFEST, 401), DENIED),
    "401-negotiate": Failed(_fails(_MANIFEST, 401, WWW_Authenticate="Negotiate"), DENIED, "no kind of login"),
    "token-of-no-use": Failed(
        all_of(
            _token,
            lambda r: r.fail(
                _MANIFEST, 401, headers={"WWW-Authenticate": f'Bearer realm="{r.url}/token",service="x"'}
            ),
        ),
        DENIED,
        "",
        2,
    ),
    **{
        f"token-server-{status}": Failed(
            all_of(_token, _fails(_TOKEN, status)), code, _WORDS, attempts, _TOKEN
        )
        for status, code, attempts in (
            (400, DENIED, 1),
            (401, DENIED, 1),
            (403, DENIED, 1),
            (404, UNAVAILABLE, 1),
            (429, UNAVAILABLE, 5),
            (500, UNAVAILABLE, 5),
            (503, UNAVAILABLE, 5),
        )
    },
    "token-server-of-html": Failed(
        all_of(_token, _body(_TOKEN, _HTML)), UNAVAILABLE, "unreadable", 1, _TOKEN
    ),
    "token-endless": Failed(
        all_of(_token, spoken(_TOKEN, Endless(head(), b" " * 9999))), UNAVAILABLE, "longer than", 1, _TOKEN
    ),
    "token-trickles": Failed(
        all_of(_token, spoken(_TOKEN, Trickle(head()))), UNAVAILABLE, "bytes in", 5, _TOKEN
    ),
    "token-is-a-number": Failed(
        all_of(_token, _body(_TOKEN, b'{"token": 5}')), UNAVAILABLE, "no token", 1, _TOKEN
    ),
    "token-with-a-header": Failed(
        all_of(_token, _body(_TOKEN, b'{"token": "a\\r\\nX: b"}')),
        UNAVAILABLE,
        "characters",
        1,
        _TOKEN,
    ),
    "realm-of-a-file": Failed(
        lambda r: r.require_token("me", _PASSWORD, realm="file:///etc/passwd"), UNAVAILABLE, "not safe", 1
    ),
    "realm-in-the-clear": Failed(
        lambda r: r.require_token("me", _PASSWORD, realm="http://auth.example/token"),
        UNAVAILABLE,
        "not safe",
    ),
    "redirect-loop": Failed(lambda r: r.redirect(_MANIFEST, f"{r.url}*"), UNAVAILABLE, "redirects", 6),
    "redirect-to-a-file": Failed(
        lambda r: r.redirect(_MANIFEST, "file:///etc/passwd"), UNAVAILABLE, "scheme"
    ),
    "redirect-to-no-address": Failed(
        lambda r: r.redirect(_MANIFEST, "http://a b:x/?sig=secret-canary"), UNAVAILABLE, "no address"
    ),
    "redirect-to-a-strange-host": Failed(
        lambda r: r.redirect(_BLOB, "http://a b/?sig=secret-canary"), UNAVAILABLE, "", 9, _BLOB
    ),
    "blob-altered": Failed(lambda r: r.corrupt(_BLOB), MISMATCH, "", 1, _BLOB),
    "announced-digest-of-others": Failed(
        _headers(_MANIFEST, Docker_Content_Digest="sha256:" + "0" * 64), MISMATCH
    ),
    "announced-digest-is-none": Failed(
        _headers(_MANIFEST, Docker_Content_Digest="sha256:../../etc"), "invalid-manifest", "bad digest"
    ),
    "length-of-a-blob-lies": Failed(
        lambda r: r.change(
            _BLOB, lambda a: a._replace(headers={"Content-Length": str(len(a.body) - 1)}, body=a.body[:-1])
        ),
        MISMATCH,
        "bytes",
        1,
        _BLOB,
    ),
    "html-in-place-of-the-manifest": Failed(
        lambda r: r.fail(_MANIFEST, 200, headers={"Content-Type": "text/html"}, body=_HTML),
        "invalid-manifest",
    ),
    "manifest-as-html": Failed(
        lambda r: r.change(_MANIFEST, lambda a: a._replace(headers={"Content-Type": "text/html"})),
        "unsupported-manifest",
        "text/html",
    ),
    "manifest-compressed": Failed(
        lambda r: r.change(
            _MANIFEST, lambda a: a._replace(headers={"Content-Encoding": "gzip"}, body=gzip.compress(a.body))
        ),
        "invalid-manifest",
    ),
}


@pytest.mark.parametrize("name", FAILED)
def test_pull_fails_well(name: str, place: Place) -> None:
    """One error with its code, the registry's own text, and no more tries than are worth it."""
    row = FAILED[name]
    row.break_it(place.registry)
    _hurry(place, name)
    _check_failed(place, row, place.command("pull", place.name, code=1).err)

    for speaker in _speakers(place.registry):
        assert not isinstance(speaker, Endless) or speaker.was_left
    place.registry.heal()
    place.command("pull", place.name)
    _check_pulled(place)


def _hurry(place: Place, name: str) -> None:
    """Where waiting is what it is about."""
    if "stall" in name or "trickle" in name:
        place.command.patience = place.command.patience._replace(silence_s=0.15, document_s=0.3)


# -- documents ----------------------------------------------------------------------------------------------

Document = dict[str, object]


def _manifest(change: Callable[[Document], object]) -> Callable[[FakeRegistry], bytes]:
    """The image's manifest with something changed."""

    def make(registry: FakeRegistry) -> bytes:
        document: Document = json.loads(registry.manifest("app", "1"))
        change(document)
        return json.dumps(document).encode()

    return make


def _config(text: bytes, size: int | None = None) -> Callable[[FakeRegistry], bytes]:
    """The image's manifest with another config."""

    def make(registry: FakeRegistry) -> bytes:
        document = json.loads(registry.manifest("app", "1"))
        digest = registry.push_blob("app", text)
        document["config"].update(digest=str(digest), size=len(text) if size is None else size)
        return json.dumps(document).encode()

    return make


def _set(*path: str | int, to: object) -> Callable[[FakeRegistry], bytes]:
    def change(document: Document) -> None:
        at: object = document
        for key in path[:-1]:
            at = at[key]  # type: ignore[index]  # as deep as the manifest is
        at[path[-1]] = to  # type: ignore[index]

    return _manifest(change)


class Bad(NamedTuple):
    """A manifest, under which type, and the error that it is."""

    make: Callable[[FakeRegistry], bytes]
    code: str
    words: str = ""
    media_type: str = OCI_MANIFEST


def _index(*entries: object) -> Callable[[FakeRegistry], bytes]:
    def make(registry: FakeRegistry) -> bytes:
        return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()

    return make


def _entry(size: int = 5, **more: object) -> Document:
    return {"mediaType": OCI_MANIFEST, "digest": "sha256:" + "1" * 64, "size": size, **more}


def _indexed(**change: object) -> Callable[[FakeRegistry], bytes]:
    """An index that leads to the image, with a lie."""

    def make(registry: FakeRegistry) -> bytes:
        made = registry.manifest("app", "1")
        digest = registry.push_manifest("app", None, made, OCI_MANIFEST)
        entry = {"mediaType": OCI_MANIFEST, "digest": str(digest), "size": len(made), **change}
        return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()

    return make


def _nested(registry: FakeRegistry) -> bytes:
    inner = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    digest = registry.push_manifest("app", None, inner, OCI_INDEX)
    entry = {"mediaType": OCI_INDEX, "digest": str(digest), "size": len(inner)}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()


def _raw(data: bytes) -> Callable[[FakeRegistry], bytes]:
    return lambda _: data


INVALID, BROKEN, UNSUPPORTED = "invalid-manifest", "broken-image", "unsupported-manifest"
BAD: dict[str, Bad] = {
    "empty": Bad(_raw(b""), UNAVAILABLE, "empty"),
    "half-of-json": Bad(_raw(b'{"schemaVersion": 2, "config'), INVALID),
    "a-list": Bad(_raw(b"[]"), INVALID),
    "not-utf-8": Bad(_raw(b'{"schemaVersion": 2, "mediaType": "\xff"}'), INVALID),
    "deeply-nested": Bad(_raw(b'{"annotations": ' + b"[" * 200_000), INVALID),
    "huge-number": Bad(_raw(b'{"schemaVersion": 1' + b"0" * 9999 + b"}"), INVALID),
    "nothing-in-it": Bad(_raw(b'{"schemaVersion": 2}'), INVALID, "neither"),
    "huge": Bad(_set("annotations", to={"a": "x" * (5 << 20)}), UNAVAILABLE, "longer than"),
    "config-is-null": Bad(_set("config", to=None), INVALID),
    "layers-are-text": Bad(_set("layers", to="none"), INVALID),
    "negative-size": Bad(_set("layers", 0, "size", to=-1), INVALID, "-1 bytes"),
    "size-beyond-all-numbers": Bad(_set("layers", 0, "size", to=1 << 70), INVALID, "bytes"),
    "size-is-text": Bad(_set("layers", 0, "size", to="5"), INVALID),
    "digest-is-a-path": Bad(_set("layers", 0, "digest", to="sha256:../../../etc/passwd"), INVALID, "digest"),
    "digest-of-another-kind": Bad(_set("layers", 0, "digest", to="md5:" + "0" * 32), INVALID, "digest"),
    "index-and-manifest": Bad(_set("manifests", to=[]), INVALID, "at once"),
    "another-media-type-inside": Bad(_set("mediaType", to=OCI_INDEX), INVALID),
    "schema-1": Bad(
        _raw(b'{"schemaVersion": 1, "name": "app", "fsLayers": []}'),
        UNSUPPORTED,
        "schema 1",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    ),
    "artifact": Bad(_set("mediaType", to="application/vnd.cncf.helm.config.v1+json"), INVALID),
    "size-of-a-layer-too-small": Bad(_set("layers", 0, "size", to=5), MISMATCH, "5 bytes"),
    "size-of-a-layer-too-large": Bad(_set("layers", 0, "size", to=1 << 40), MISMATCH, "bytes"),
    "layer-of-unknown-type": Bad(_set("layers", 0, "mediaType", to="application/x-\x1b[2J"), BROKEN),
    "foreign-layer": Bad(
        _set("layers", 0, "mediaType", to="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        BROKEN,
        "foreign",
    ),
    "nondistributable-layer": Bad(
        _set("layers", 0, "mediaType", to="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        BROKEN,
    ),
    "encrypted-layer": Bad(_set("layers", 0, "mediaType", to=f"{OCI_LAYER_GZIP}+encrypted"), BROKEN),
    "one-layer-too-few": Bad(_manifest(lambda d: d["layers"].pop()), BROKEN, "diff IDs"),  # type: ignore[attr-defined]
    "config-is-html": Bad(_config(_HTML), BROKEN, "config"),
    "config-is-empty": Bad(_config(b""), BROKEN, "config"),
    "config-is-a-list": Bad(_config(b"[1]"), BROKEN),
    "config-without-platform": Bad(_config(b"{}"), BROKEN),
    "config-deeply-nested": Bad(_config(b"[" * 200_000), BROKEN),
    "config-with-escapes": Bad(
        _config(b'{"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ["\\u001b[2J"]}}'), BROKEN
    ),
    "config-of-a-terabyte": Bad(_set("config", "size", to=1 << 40), BROKEN, "config"),
    "config-too-large": Bad(_config(b" " * (17 << 20)), BROKEN, "config"),
    "empty-index": Bad(_index(), "no-matching-platform", "", OCI_INDEX),
    "index-of-attestations": Bad(
        _index(_entry(platform={"os": "unknown", "architecture": "unknown"})),
        "no-matching-platform",
        "",
        OCI_INDEX,
    ),
    "index-with-hostile-platforms": Bad(
        _index(*(_entry(platform={"os": "\x1b[2J\n", "architecture": "x" * 999}) for _ in range(999))),
        "no-matching-platform",
        "",
        OCI_INDEX,
    ),
    "index-with-platforms-of-numbers": Bad(_index(_entry(platform={"os": 5})), INVALID, "", OCI_INDEX),
    "index-of-what-is-not-there": Bad(_index(_entry()), "manifest-not-found", "", OCI_INDEX),
    "index-lies-about-the-size": Bad(_indexed(size=5), MISMATCH, "5 bytes", OCI_INDEX),
    "index-lies-about-the-type": Bad(
        _indexed(mediaType="application/vnd.docker.distribution.manifest.v2+json"), INVALID, "", OCI_INDEX
    ),
    "index-of-an-index": Bad(_nested, BROKEN, "another index", OCI_INDEX),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_documents(name: str, place: Place) -> None:
    """Named as what they are, under the tag that had a good image before, which stays as it was."""
    row = BAD[name]
    raw_manifest = place.registry.manifest("app", "1")
    place.registry.push_image("app", "1", [_layer("old", b"old")], {})
    place.command("pull", place.name)
    good = json.loads(place.command("inspect", place.name).out)[0]["Id"]
    place.registry.push_manifest("app", "1", raw_manifest, OCI_MANIFEST)
    place.registry.push_manifest("app", "1", row.make(place.registry), row.media_type)
    place.registry.log.clear()
    failed = place.command("pull", place.name, code=1)

    _check_failed(place, Failed(lambda r: None, row.code, row.words, 5), failed.err)
    assert json.loads(place.command("inspect", place.name).out)[0]["Id"] == good
    place.registry.push_manifest("app", "1", raw_manifest, OCI_MANIFEST)
    place.command("pull", place.name)
    _check_pulled(place)


def test_a_layer_that_is_there_twice_is_fetched_once(place: Place) -> None:
    """Steps that do nothing make the same layer."""
    place.registry.push_image("app", "1", [_SMALL] * 300 + [_LARGE], {})
    place.command("pull", place.name)

    _check_pulled(place)
    assert sum("/blobs/" in line for line in place.registry.requests) == 3


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_known_layer_comes_from_where_it_is(place: Place, *, is_gone: bool) -> None:
    """One image names a layer that its registry has not, or has wrong; another image then has it."""
    name = f"{place.other.host}/app:1"
    lie = _layer("b", b"a lie")
    document = json.loads(place.other.manifest("app", "1"))
    document["layers"][1].update(digest=str(place.other.push_blob("app", lie)), size=len(lie))
    place.other.push_manifest("app", "1", json.dumps(document).encode(), OCI_MANIFEST)
    if is_gone:
        place.other.fail(_BLOB, 404, body=_ERROR)
    context = write_project(place.command.home / "context", f"FROM {name}\nCOPY . /x\n")
    failed = place.command("build", "--progress", "plain", context, code=1)
    assert ("blob-not-in-registry" if is_gone else BROKEN) in failed.err

    write_project(context, f"FROM {place.name}\nCOPY . /x\n")
    place.command("build", "--progress", "plain", context)
    _check_store(place)
    place.command("pull", place.name)
    _check_pulled(place)


# -- what is checked of every row ---------------------------------------------------------------------------


def _check_failed(place: Place, row: Failed, err: str) -> None:
    assert err.count("error[") == 1, err
    assert f"error[{row.code}]" in err, err
    error = err[err.index("error[") :]
    assert row.words in error
    assert BUG not in err
    assert "Traceback" not in err
    assert _PASSWORD not in err
    assert "canary" not in err
    assert "\x1b" not in err
    assert len(error) < 3000
    asked = [line for line in place.registry.requests if _matches(row.asked, line)]
    most = max((asked.count(line) for line in asked), default=0)
    assert most <= row.attempts, asked
    _check_store(place)


def _check_store(place: Place) -> None:
    """No wrong byte in it, and no login with a stranger."""
    if (place.command.root / "pybuild-v1.sqlite").exists():
        assert_intact(place.command.root)
    assert not [request for request in place.other.log if "authorization" in request.headers]
    secret = base64.b64encode(f"me:{_PASSWORD}".encode()).decode()
    for request in place.registry.log:
        assert secret not in request.path
        assert _PASSWORD not in request.path


def _check_pulled(place: Place) -> None:
    """All of the image is in the store."""
    raw_manifest = place.registry.manifest("app", "1")
    document = json.loads(raw_manifest)
    for entry in (document["config"], *document["layers"]):
        stored = place.blobs / entry["digest"].partition(":")[2]
        assert stored.read_bytes() == place.registry.blob("app", entry["digest"])
    assert list((place.command.root / "partial-v1").iterdir()) == []


def _matches(pattern: str, line: str) -> bool:
    return re.search(pattern, line) is not None


def _speakers(registry: FakeRegistry) -> list[object]:
    return [answer.speak for answer in registry.spoken]
