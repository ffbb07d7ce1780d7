from __future__ import annotations

from collections.abc import Iterator

import pytest

from builder.core.errors import Cancelled
from builder.core.job import Cancel
from builder.core.patience import Patience
from builder.registry.interface import WebDenied, WebFailed, WebNotFound, WebTooLarge
from builder.registry.web import HttpWebClient
from tests.support.web import Reply, WebServer

_LIMIT = 1 << 20


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer.open() as server:
        yield server


@pytest.fixture
def client() -> Iterator[HttpWebClient]:
    client = HttpWebClient.open(patience=Patience(sleep=lambda seconds: None))
    yield client
    client.close()


class Sink:
    """Keeps what the last try got."""

    def __init__(self) -> None:
        self.tries = 0
        self.data = b""

    def begin(self) -> Sink:
        self.tries += 1
        self.data = b""
        return self

    def __call__(self, data: bytes) -> None:
        self.data += data


def get(client: HttpWebClient, url: str, *, limit: int = _LIMIT, authorization: str = "") -> bytes:
    sink = Sink()
    client.get(url, {"Authorization": authorization} if authorization else {}, sink.begin, limit=limit)
    return sink.data


def test_get(server: WebServer, client: HttpWebClient) -> None:
    """A file comes with all its bytes, its headers, and word of how far it is."""
    server.answers["/f"] = Reply(200, b"data", {"ETag": '"1"'})
    seen: list[tuple[int, int]] = []
    sink = Sink()
    answer = client.get(
        server.url("/f"), {}, sink.begin, limit=4, progress=lambda now, size: seen.append((now, size))
    )

    assert (answer.status, answer.headers["etag"], sink.data, seen) == (200, '"1"', b"data", [(4, 4)])


def test_redirects_are_followed(server: WebServer, client: HttpWebClient) -> None:
    """A few redirects lead to the file; a circle of them is an error."""
    server.answers["/a"] = Reply(302, headers={"Location": "/b"})
    server.answers["/b"] = Reply(307, headers={"Location": server.url("/c")})
    server.answers["/c"] = Reply(200, b"c")
    server.answers["/loop"] = Reply(302, headers={"Location": "/loop"})

    assert get(client, server.url("/a")) == b"c"
    with pytest.raises(WebFailed, match="redirects"):
        get(client, server.url("/loop"))


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://h/x", "gopher://h", "data:,x", "https:///x"])
def test_hostile_redirects(server: WebServer, client: HttpWebClient, target: str) -> None:
    """A server cannot send us to anything that is not the web."""
    server.answers["/a"] = Reply(302, headers={"Location": target})

    with pytest.raises(WebFailed, match="redirect"):
        get(client, server.url("/a"))


def test_login_stays_at_its_host(server: WebServer, client: HttpWebClient) -> None:
    """An Authorization header follows a redirect within a host, and none to another one."""
    server.answers["/a"] = Reply(302, headers={"Location": "/b"})
    server.answers["/b"] = Reply(302, headers={"Location": server.url("/c", host="localhost")})
    server.answers["/c"] = Reply(200, b"c")
    get(client, server.url("/a"), authorization="Bearer canary")

    assert [each.headers["Authorization"] for each in server.asked] == [
        "Bearer canary",
        "Bearer canary",
        None,
    ]


def test_login_of_the_address(server: WebServer, client: HttpWebClient) -> None:
    """A login in the address becomes a header; messages do not show it."""
    url = server.url("/f").replace("://", "://user:canary@")
    with pytest.raises(WebNotFound) as caught:
        get(client, url)

    assert server.asked[0].headers["Authorization"] == "Basic dXNlcjpjYW5hcnk="
    assert server.asked[0].path == "/f"
    assert "canary" not in str(caught.value) + str(caught.value.hint)


@pytest.mark.parametrize(
    ("status", "kind"), [(404, WebNotFound), (410, WebNotFound), (401, WebDenied), (403, WebDenied)]
)
def test_refusals(server: WebServer, client: HttpWebClient, status: int, kind: type[WebFailed]) -> None:
    """What a server refuses is not asked for again."""
    server.answers["/f"] = Reply(status)
    with pytest.raises(kind):
        get(client, server.url("/f"))

    assert len(server.asked) == 1


def test_tries_again(server: WebServer, client: HttpWebClient) -> None:
    """A server that stumbles is asked again, and a body that was cut is begun anew."""
    replies = [Reply(503), Reply(200, b"half", length=8), Reply(200, b"complete")]
    server.answers["/f"] = lambda asked: replies.pop(0)

    assert get(client, server.url("/f")) == b"complete"


def test_truncated(server: WebServer, client: HttpWebClient) -> None:
    """A body that is always cut is an error, never a short file."""
    server.answers["/f"] = Reply(200, b"half", length=8)

    with pytest.raises(WebFailed, match="cannot fetch"):
        get(client, server.url("/f"))


def test_too_large(server: WebServer, client: HttpWebClient) -> None:
    """A size over the limit is refused before a byte is taken, one that was not announced on the way."""
    server.answers["/f"] = Reply(200, b"x" * 11)
    with pytest.raises(WebTooLarge):
        get(client, server.url("/f"), limit=10)
    server.answers["/f"] = Reply(
        200, b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n", {"Transfer-Encoding": "chunked"}
    )
    with pytest.raises(WebTooLarge):
        get(client, server.url("/f"), limit=10)


def test_conditions(server: WebServer, client: HttpWebClient) -> None:
    """304 is an answer, to GET and to HEAD; a refused HEAD says nothing."""
    server.answers["/f"] = Reply(304)
    sink = Sink()

    assert client.get(server.url("/f"), {"If-None-Match": "x"}, sink.begin, limit=1).status == 304
    answer = client.head(server.url("/f"), {"If-None-Match": "x"})
    assert answer is not None
    assert answer.status == 304
    server.answers["/f"] = Reply(405)
    assert client.head(server.url("/f"), {}) is None
    assert sink.tries == 0


def test_cancel(server: WebServer, client: HttpWebClient) -> None:
    """A job that is cancelled asks nobody any more."""
    cancel = Cancel()
    cancel.cancel()

    with pytest.raises(Cancelled):
        client.get(server.url("/f"), {}, Sink().begin, limit=1, cancel=cancel)
    assert server.asked == []
