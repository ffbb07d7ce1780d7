from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.core.digest import Digest, DigestMismatch
from builder.core.job import Job, Session
from builder.core.patience import Patience
from builder.registry.interface import WebTooLarge
from builder.registry.web import HttpWebClient
from builder.source.http import HttpFiles
from builder.source.interface import FilePin, RemoteFile, SourceChanged
from tests.support.local_store import Store, open_store
from tests.support.web import Reply, WebServer

_OLD = "Sun, 02 Feb 2020 00:00:00 GMT"
_NOW = {"Date": "Mon, 03 Feb 2020 00:00:00 GMT"}
_JOB = Job("test")


class Place(NamedTuple):
    server: WebServer
    store: Store
    noted: list[tuple[str, str]]

    def files(self, limit: int = 1 << 20) -> HttpFiles:
        """As a new build has it."""
        return HttpFiles(
            lambda: HttpWebClient.open(patience=Patience(sleep=lambda seconds: None)),
            self.store.database,
            self.store.state.scratch,
            lambda url, digest: self.noted.append((url, digest)),
            limit=limit,
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with WebServer.open() as server, open_store(tmp_path) as store:
        yield Place(server, store, [])


def build(place: Place, url: str, *, takes: bool = True) -> FilePin:
    """Pin, and fetch unless a record would have it."""
    files, file = place.files(), RemoteFile(url)
    pin = files.pin(file, "step", _JOB)
    if takes:
        path, taken = files.take(file, pin, "step", _JOB)
        assert Digest.of(path.read_bytes()) == taken.digest == pin.digest
        path.unlink()
    return pin


def test_fetched_once(place: Place) -> None:
    """What a pin had to fetch is what is taken; both steps of a build ask once."""
    place.server.answers["/f"] = Reply(200, b"one", {"Last-Modified": _OLD})
    pin = build(place, place.server.url("/f"))

    assert (pin.digest, pin.mtime_ns) == (Digest.of(b"one"), 1580601600 * 10**9)
    assert place.server.requests == ["GET /f"]
    assert place.noted == [(place.server.url("/f"), str(Digest.of(b"one")))]
    assert list(place.store.state.scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("headers", "condition"),
    [({"ETag": '"a"'}, "If-None-Match"), ({"Last-Modified": _OLD, **_NOW}, "If-Modified-Since")],
)
def test_unchanged(place: Place, headers: dict[str, str], condition: str) -> None:
    """A build after the first one asks whether the file is still the same, and fetches nothing."""
    place.server.answers["/f"] = lambda asked: (
        Reply(304) if asked.headers[condition] else Reply(200, b"one", headers)
    )
    first = build(place, place.server.url("/f"))
    second = build(place, place.server.url("/f"), takes=False)

    assert first == second
    assert place.server.requests == ["GET /f", "HEAD /f"]


def test_same_tag_without_304(place: Place) -> None:
    """A server that knows no conditions and names the same tag has the same file."""
    place.server.answers["/f"] = Reply(200, b"one", {"ETag": '"a"'})
    build(place, place.server.url("/f"))
    build(place, place.server.url("/f"), takes=False)

    assert place.server.requests == ["GET /f", "HEAD /f"]


def test_fresh_time_is_no_proof(place: Place) -> None:
    """A file that was just written may change again within the same second."""
    place.server.answers["/f"] = Reply(200, b"one", {"Last-Modified": _NOW["Date"], **_NOW})
    build(place, place.server.url("/f"))
    place.server.answers["/f"] = Reply(200, b"two", {"Last-Modified": _NOW["Date"], **_NOW})

    assert build(place, place.server.url("/f")).digest == Digest.of(b"two")
    assert place.server.requests == ["GET /f", "GET /f"]


def test_changed(place: Place) -> None:
    """A changed file is fetched."""
    place.server.answers["/f"] = Reply(200, b"one", {"ETag": '"a"'})
    build(place, place.server.url("/f"))
    place.server.answers["/f"] = Reply(200, b"two", {"ETag": '"b"'})

    assert build(place, place.server.url("/f")).digest == Digest.of(b"two")


def test_known_and_lost(place: Place) -> None:
    """A file that is unchanged and no longer in the store is fetched again."""
    place.server.answers["/f"] = lambda asked: (
        Reply(304) if asked.headers["If-None-Match"] else Reply(200, b"one", {"ETag": '"a"'})
    )
    build(place, place.server.url("/f"))
    build(place, place.server.url("/f"))

    assert place.server.requests == ["GET /f", "HEAD /f", "GET /f"]


def test_changed_meanwhile(place: Place) -> None:
    """A file that changes between the question and the fetch is no result."""
    place.server.answers["/f"] = lambda asked: (
        Reply(304) if asked.headers["If-None-Match"] else Reply(200, b"two", {"ETag": '"a"'})
    )
    build(place, place.server.url("/f"))
    files, file = place.files(), RemoteFile(place.server.url("/f"))
    pin = files.pin(file, "step", _JOB)
    place.server.answers["/f"] = Reply(200, b"three")

    with pytest.raises(SourceChanged):
        files.take(file, pin, "step", _JOB)


def test_checksum_asks_nobody(place: Place) -> None:
    """With a checksum the key needs no request, and the bytes are checked when they come."""
    place.server.answers["/f"] = Reply(200, b"one")
    files = place.files()
    file = RemoteFile(place.server.url("/f"), Digest.of(b"one"))
    pin = files.pin(file, "step", _JOB)

    assert pin == FilePin(Digest.of(b"one"))
    assert place.server.asked == []
    assert files.take(file, pin, "step", _JOB)[0].read_bytes() == b"one"


def test_wrong_checksum(place: Place) -> None:
    """Other bytes than the checksum says are an error, and leave nothing."""
    place.server.answers["/f"] = Reply(200, b"evil")
    files = place.files()
    file = RemoteFile(place.server.url("/f"), Digest.of(b"one"))

    with pytest.raises(DigestMismatch):
        files.take(file, files.pin(file, "step", _JOB), "step", _JOB)
    assert list(place.store.state.scratch.iterdir()) == []


def test_limit(place: Place) -> None:
    """A huge body ends at the limit and leaves nothing."""
    place.server.answers["/f"] = Reply(200, b"x" * 100)

    with pytest.raises(WebTooLarge):
        place.files(limit=10).pin(RemoteFile(place.server.url("/f")), "step", _JOB)
    assert list(place.store.state.scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("HTTP_AUTH_TOKEN", b"canary\n", "Bearer canary"),
        ("HTTP_AUTH_HEADER", b"Basic canary\r\nX-Evil: 1", "Basic canary"),
    ],
)
def test_secrets(place: Place, name: str, value: bytes, sent: str) -> None:
    """A secret for the host goes to that host, in one header; only its name is known afterwards."""
    place.server.answers["/f"] = Reply(302, headers={"Location": place.server.url("/g", host="localhost")})
    place.server.answers["/g"] = Reply(200, b"one")
    secret = f"{name}_127.0.0.1:{place.server.port}"
    job = Job("test", Session(secrets={secret: lambda: value}))
    file = RemoteFile(place.server.url("/f"))
    files = place.files()
    files.pin(file, "step", job)

    assert [each.headers["Authorization"] for each in place.server.asked] == [sent, None]
    assert files.key_names(file, job) == (secret,)
    assert b"canary" not in place.store.state.database.read_bytes()


def test_addresses_are_not_kept(place: Place) -> None:
    """The store remembers addresses by digest only: they may hold keys."""
    place.server.answers["/f"] = Reply(200, b"one", {"ETag": '"a"'})
    build(place, place.server.url("/f?token=canary"))
    wal = place.store.state.database.with_name(place.store.state.database.name + "-wal")

    assert b"canary" not in place.store.state.database.read_bytes() + wal.read_bytes()
    assert "canary" not in str(place.noted)
