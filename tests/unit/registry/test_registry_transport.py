"""TLS, plain HTTP, proxies, and what a client costs before it is used."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from builder.core.descriptor import OCI_LAYER_GZIP, Descriptor
from builder.core.digest import Digest
from builder.core.errors import Cancelled
from builder.core.job import Cancel
from builder.core.patience import Patience
from builder.core.reference import Reference
from builder.registry.client import HttpRegistryClient
from builder.registry.config import RegistryConfig
from builder.registry.interface import RegistryUnavailable
from builder.registry.transport import Transport
from tests.support.registry import TLS_PEM, FakeRegistry

BLOB = b"content" * 1000
DESCRIPTOR = Descriptor(media_type=OCI_LAYER_GZIP, digest=Digest.of(BLOB), size=len(BLOB))


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        server.push_image("app", "1", [BLOB], {})
        yield server


def client_for(*, config: str = "", proxies: dict[str, str] | None = None) -> HttpRegistryClient:
    parsed = RegistryConfig.parse(config.encode())
    return HttpRegistryClient.open(config=parsed, proxies=proxies, patience=Patience(sleep=lambda _: None))


def manifest(client: HttpRegistryClient, registry: FakeRegistry) -> Digest:
    return client.fetch_manifest(Reference.parse(f"{registry.host}/app:1")).digest


def test_certificate_is_checked() -> None:
    """An unknown certificate is final, and the message says what to configure."""
    with FakeRegistry(tls=True) as secure:
        secure.push_image("app", "1", [], {})
        config = f'[registry."{secure.host}"]\ninsecure = false'

        with pytest.raises(RegistryUnavailable, match=r"TLS failed: .*certificate") as caught:
            manifest(client_for(config=config), secure)
        assert caught.value.hint is not None
        assert "ca" in caught.value.hint
        assert secure.log == []


def test_configured_ca_and_insecure() -> None:
    """Either makes a self-signed registry work."""
    with FakeRegistry(tls=True) as secure:
        secure.push_image("app", "1", [], {})
        for setting in (f'ca = "{TLS_PEM}"', "insecure = true"):
            manifest(client_for(config=f'[registry."{secure.host}"]\n{setting}'), secure)
        assert len(secure.log) == 2


def test_insecure_falls_back_to_plain_http(registry: FakeRegistry) -> None:
    """A registry without TLS that the user vouches for."""
    manifest(client_for(config=f'[registry."{registry.host}"]\ninsecure = true'), registry)

    assert registry.requests == ["GET /v2/app/manifests/1"]


def test_missing_ca_file_is_named() -> None:
    """The path is the user's mistake, not the registry's."""
    with FakeRegistry(tls=True) as secure, pytest.raises(RegistryUnavailable, match=r"/no/such\.pem"):
        manifest(client_for(config=f'[registry."{secure.host}"]\nca = "/no/such.pem"'), secure)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_is_used_with_its_login(variable: str) -> None:
    """For other machines; its password goes to it alone."""
    with FakeRegistry() as proxy:
        proxy.push_image("app", "1", [], {})
        client = client_for(
            config='[registry."m.lab:80"]\ninsecure = true\n[registry."r.lab"]\nmirrors = ["http://m.lab:80"]',
            proxies={variable: f"http://me:hunter2@{proxy.host}", "HTTPS_PROXY": f"http://{proxy.host}"},
        )
        client.fetch_manifest(Reference.parse("r.lab/app:1"))
        proxy.fail("GET", 403)
        proxy.fail("CONNECT", 403)

        # A proxy gets the whole address as the path.
        assert proxy.requests[0] == "GET http://m.lab:80/v2/app/manifests/1"
        login = "Basic " + base64.b64encode(b"me:hunter2").decode()
        assert proxy.log[0].headers["proxy-authorization"] == login
        with pytest.raises(RegistryUnavailable, match="the proxy does not connect") as caught:
            client.fetch_manifest(Reference.parse("r.lab/app:1"))
        assert "hunter2" not in caught.value.message


def test_proxy_is_not_used_for_this_machine_or_exempt_hosts(registry: FakeRegistry) -> None:
    """Loopback never, and what NO_PROXY names."""
    with FakeRegistry() as proxy:
        proxies = {"HTTP_PROXY": proxy.url, "HTTPS_PROXY": proxy.url, "NO_PROXY": "a.example, .b.example"}
        manifest(client_for(proxies=proxies), registry)
        transport = Transport(proxies=proxies)

        def proxied(host: str) -> bool:
            name = host.partition(":")[0]
            return bool(transport._proxy("https", host, name))

        assert not proxied("a.example")
        assert not proxied("x.a.example:5000")
        assert not proxied("x.b.example")
        assert proxied("ab.example")
        assert proxied("a.example.org")
        assert proxy.log == []


def test_nothing_is_opened_before_the_first_request() -> None:
    """Making a client is free: urllib3 and ssl come with the first request."""
    code = (
        "import sys; from builder.registry.client import HttpRegistryClient; HttpRegistryClient.open();"
        "print(sorted({'urllib3', 'msgspec', 'ssl', 'http.client', 'subprocess', 'json'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize("tls", [False, True])
def test_cancel_wakes_a_reader_that_waits(tls: bool) -> None:
    """A server that stops sending holds nobody: no timeout is waited for."""
    released, cancel = threading.Event(), Cancel()
    with FakeRegistry(tls=tls) as server:
        server.push_blob("app", BLOB)
        length = {"Content-Length": str(len(BLOB))}
        server.change("/blobs/", lambda a: a._replace(headers=length, body=b"", hold=released))
        canceller = threading.Timer(0.05, cancel.cancel)
        canceller.start()
        client = client_for(config=f'[registry."{server.host}"]\nca = "{TLS_PEM}"' if tls else "")
        try:
            with pytest.raises(Cancelled):
                client.fetch_blob(
                    Reference.parse(f"{server.host}/app"), DESCRIPTOR, lambda _: None, cancel=cancel
                )
        finally:
            released.set()
            canceller.join()
