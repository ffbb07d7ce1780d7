"""The registry tables of the configuration."""

from __future__ import annotations

import pytest

from builder.registry.config import Endpoint, RegistryConfig, is_loopback
from builder.registry.interface import InvalidRegistryConfig


def urls(toml: str, domain: str) -> list[str]:
    return [e.url for e in RegistryConfig.parse(toml.encode()).endpoints(domain)]


@pytest.mark.parametrize(
    ("domain", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("registry.lab:5000", "https://registry.lab:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ("localhost", "http://localhost"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.1.2.3", "http://127.1.2.3"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("localhost.evil.example", "https://localhost.evil.example"),
        ("127.0.0.1.evil.example:5000", "https://127.0.0.1.evil.example:5000"),
    ],
)
def test_without_configuration_only_this_machine_is_spoken_to_in_the_clear(domain: str, url: str) -> None:
    """HTTPS, unless the host is a loopback address by its spelling."""
    assert [url] == urls("", domain)


def test_mirrors_come_first_and_in_order() -> None:
    """Then the registry itself; a mirror may have a path, and a scheme only if need be."""
    toml = """
        [registry."docker.io"]
        mirrors = ["http://127.0.0.1:5000", "https://m.example/docker-hub/", "plain.example"]
        [other]
        table = "is not ours"
    """

    expected = [
        Endpoint("http", "127.0.0.1:5000", "", is_mirror=True),
        Endpoint("https", "m.example", "/docker-hub", is_mirror=True),
        Endpoint("https", "plain.example", "", is_mirror=True),
        Endpoint("https", "registry-1.docker.io"),
    ]
    assert expected == list(RegistryConfig.parse(toml.encode()).endpoints("docker.io"))


def test_insecure_tries_tls_without_certificate_check_then_plain_http() -> None:
    """What Docker's insecure-registries means."""
    endpoints = RegistryConfig.parse(b'[registry."r.lab:5000"]\ninsecure = true').endpoints("r.lab:5000")

    expected = [Endpoint("https", "r.lab:5000", is_verified=False), Endpoint("http", "r.lab:5000")]
    assert expected == list(endpoints)


def test_ca_and_secure_loopback() -> None:
    """A CA, or ``insecure = false``, means TLS even on this machine."""
    assert urls('[registry."localhost:5443"]\nca = "/ca.pem"', "localhost:5443") == ["https://localhost:5443"]
    assert urls('[registry."localhost:5443"]\ninsecure = false', "localhost:5443") == [
        "https://localhost:5443"
    ]


def test_a_mirror_has_the_settings_of_its_own_table() -> None:
    """Plain HTTP to another machine needs the word of the user."""
    toml = """
        [registry."docker.io"]
        mirrors = ["http://m.lab:5000"]
        [registry."m.lab:5000"]
        insecure = true
    """

    assert urls(toml, "docker.io") == ["http://m.lab:5000", "https://registry-1.docker.io"]


def test_docker_hub_has_one_name() -> None:
    """A table for its other names is found all the same."""
    assert len(urls('[registry."index.docker.io"]\nmirrors = ["m.example"]', "docker.io")) == 2


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[registry", "not valid TOML"),
        ("registry = 1", "should be tables"),
        ('registry."docker.io" = 1', "should be a table"),
        ('[registry."docker.io"]\nmirror = []', 'no setting "mirror"'),
        ('[registry."docker.io"]\nmirrors = "x"', "list of addresses"),
        ('[registry."docker.io"]\nmirrors = [1]', "list of addresses"),
        ('[registry."docker.io"]\ninsecure = "yes"', "true or false"),
        ('[registry."docker.io"]\nca = true', "PEM file"),
        ('[registry."docker.io"]\nmirrors = ["ftp://x.example"]', "address of a mirror"),
        ('[registry."docker.io"]\nmirrors = ["https://x.example/../.."]', "address of a mirror"),
        ('[registry."docker.io"]\nmirrors = ["https://x.example?q"]', "address of a mirror"),
        ('[registry."docker.io"]\nmirrors = ["http://m.lab:5000"]', "in the clear"),
        ('[registry."http://docker.io"]\ninsecure = true', "name of a registry"),
    ],
)
def test_mistakes_are_named(toml: str, says: str) -> None:
    """A configuration that would be half ignored is refused whole."""
    with pytest.raises(InvalidRegistryConfig, match=says):
        RegistryConfig.parse(toml.encode())


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    """Credentials belong into config.json, and never into a message."""
    with pytest.raises(InvalidRegistryConfig) as caught:
        RegistryConfig.parse(b'[registry."docker.io"]\nmirrors = ["https://me:hunter2@m.example"]')

    assert "hunter2" not in caught.value.message
    assert "m.example" in caught.value.message


@pytest.mark.parametrize(
    "host", ["127.0.0.1@evil.example", "localhost.", "127.0.0.1:5000/x", "0.0.0.0", "[::]"]
)
def test_near_loopback_is_not_loopback(host: str) -> None:
    """Only the whole spelling counts."""
    assert not is_loopback(host)
