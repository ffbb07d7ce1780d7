"""--add-host."""

from __future__ import annotations

import pytest

from builder.core.hosts import InvalidHost, parse_host


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:10.0.0.1", ("db", "10.0.0.1")),
        ("db=10.0.0.1", ("db", "10.0.0.1")),
        ("db:2001:db8::1", ("db", "2001:db8::1")),
        ("db:[2001:db8::1]", ("db", "2001:db8::1")),
        ("db=[::1]", ("db", "::1")),
        ("db=::1", ("db", "::1")),
        ("host.docker.internal:host-gateway", ("host.docker.internal", "127.0.0.1")),
    ],
)
def test_hosts(text: str, expected: tuple[str, str]) -> None:
    """Both separators, both families, brackets or none; the gateway is this machine."""
    assert expected == parse_host(text)


@pytest.mark.parametrize(
    "text",
    ["", "db", "db:", ":10.0.0.1", "db:10.0.0", "db:other", "d b:10.0.0.1", "db\nx:10.0.0.1", "#:10.0.0.1"],
)
def test_no_hosts(text: str) -> None:
    """No text gets into /etc/hosts that is not one name and one address."""
    with pytest.raises(InvalidHost):
        parse_host(text)
