"""Loading into a Docker daemon: what it answers, and where none does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.core.errors import Unsupported
from builder.exporter.daemon import DaemonRefused, DaemonUnavailable, load_into_daemon
from tests.support.engine_api import FakeDaemon, serving


def _write(sink: Callable[[bytes], object]) -> None:
    sink(b"an ")
    sink(b"")
    sink(b"archive")


def test_archive_arrives(tmp_path: Path) -> None:
    """In pieces, and whole."""
    daemon = FakeDaemon()
    with serving(daemon, tmp_path / "socket") as host:
        load_into_daemon(host, _write)

    assert daemon.loaded == [b"an archive"]
    assert daemon.requests == ["POST /images/load?quiet=1 HTTP/1.1"]


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (500, b'{"message":"no space left"}', "no space left"),
        (200, b'{"stream":"x"}\n{"error":"bad layer","errorDetail":{}}\n', "bad layer"),
        (404, b"<html>", "404"),
    ],
)
def test_refusals(tmp_path: Path, status: int, answer: bytes, reason: str) -> None:
    """The daemon's own words, also where it began well."""
    with (
        serving(FakeDaemon(status, answer), tmp_path / "socket") as host,
        pytest.raises(DaemonRefused, match=reason),
    ):
        load_into_daemon(host, _write)


@pytest.mark.parametrize("host", ["unix://{}/nothing", "tcp://127.0.0.1:1", "tcp://x:y"])
def test_nobody_answers(tmp_path: Path, host: str) -> None:
    """It says where it looked."""
    place = host.format(tmp_path)
    with pytest.raises(DaemonUnavailable) as caught:
        load_into_daemon(place, _write)

    assert place in caught.value.message


def test_hosts_that_are_not_built() -> None:
    """By their scheme."""
    with pytest.raises(Unsupported, match="ssh"):
        load_into_daemon("ssh://host", _write)
