"""The text of /etc/hosts and /etc/resolv.conf."""

from __future__ import annotations

import pytest

from builder.sandbox.files import hosts, is_systemd_stub, resolv_conf

_HOST = "# mine\nsearch example.org\nnameserver 127.0.0.1\nnameserver 192.0.2.1\noptions ndots:2\n"


def test_hosts():
    """BuildKit's two lines, then the extra ones in their order."""
    assert hosts("buildkitsandbox", ("192.0.2.2\tb", "192.0.2.1\ta")) == (
        "127.0.0.1\tlocalhost buildkitsandbox\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "192.0.2.2\tb\n"
        "192.0.2.1\ta\n"
    )


def test_host_network_keeps_the_text():
    """In the host's network even a loopback server can be reached, and the text stays."""
    assert resolv_conf(_HOST, is_host_network=True) == _HOST
    assert resolv_conf("nameserver ::1", is_host_network=True) == "nameserver ::1"


def test_loopback_servers_go():
    """In another network loopback servers are left out and the rest stays."""
    text = _HOST + "nameserver ::1\nnameserver 127.1.2.3\nnameserver ::1%lo\n"

    assert resolv_conf(text, is_host_network=False) == (
        "# mine\nsearch example.org\nnameserver 192.0.2.1\noptions ndots:2\n"
    )


@pytest.mark.parametrize(
    ("text", "is_host_network"),
    [("search a\n", True), ("search a\nnameserver 127.0.0.53\n", False), ("search a\n", False)],
)
def test_public_servers(text, is_host_network):
    """Where no server is left Docker's public ones are used."""
    expected = "search a\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"

    assert resolv_conf(text, is_host_network=is_host_network) == expected


def test_systemd_stub():
    """Only a file whose one server is the stub is systemd-resolved's."""
    assert is_systemd_stub("nameserver 127.0.0.53\noptions edns0\n")
    assert not is_systemd_stub("nameserver 127.0.0.53\nnameserver 192.0.2.1\n")
    assert not is_systemd_stub("")
