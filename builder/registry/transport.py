"""HTTP as registries need it: pools, TLS, proxies, and redirects that never carry credentials away.

urllib3 lives here, imported when the first request is made (87 ms). It neither retries nor redirects for us:
both decide about credentials and about what is told to people.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit, urlunsplit

from builder.core.patience import Patience
from builder.registry.answer import Answer, finish, translate
from builder.registry.certificates import Certificates
from builder.registry.config import Endpoint, is_loopback
from builder.registry.retry import EndpointFailed, Retry
from builder.registry.words import printable, secrets_of

if TYPE_CHECKING:
    import ssl

    import urllib3

MAX_REDIRECTS = 5
# Nothing, bytes, or what gives the pieces of a body anew for each time that it is sent; the header
# Content-Length then says how many bytes they are.
Body = bytes | Callable[[], Iterable[bytes]] | None


class Request(NamedTuple):
    """``is_verified``: the answer's digest is known, so it may come from anywhere, over anything."""

    endpoint: Endpoint
    method: str
    url: str
    headers: Mapping[str, str]
    body: Body = None
    is_verified: bool = False
    may_redirect: bool = True
    is_stored: bool = False  # registries hash a body, or move it to where it stays, before they answer


class Transport:
    """Connection pools, by TLS settings and proxy; thread-safe, opens nothing before the first request."""

    def __init__(
        self,
        *,
        proxies: Mapping[str, str] | None = None,
        user_agent: str = "pybuild",
        patience: Patience | None = None,
        ca_bundle: str = "",
    ) -> None:
        """``proxies`` are HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in either case.

        ``ca_bundle`` is a file of certificates that are trusted beside the system's.
        """
        self._proxies = {k.lower(): v for k, v in (proxies or {}).items()}
        self._user_agent = user_agent
        self._patience = patience or Patience()
        self._ca_bundle = ca_bundle
        self._pools: dict[tuple[str, bool, str, Certificates, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Drop idle connections."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.clear()

    def open(self, request: Request) -> Answer:
        """Send and follow redirects. Any status but 3xx is an answer. Raises EndpointFailed."""
        url, headers = request.url, dict(request.headers)
        headers.setdefault("User-Agent", self._user_agent)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(request, url, headers)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or location is None:
                is_foreign = not is_at(url, request.endpoint)
                return Answer(
                    response, urlsplit(url).netloc, is_foreign, self._patience, url, _secrets(request)
                )
            finish(response)
            following = redirected(request, url, location)
            if response.status < 307 and request.method not in ("GET", "HEAD"):
                # What is sent after these is anybody's guess (RFC 9110 section 15.4).
                raise EndpointFailed(
                    request.endpoint, f"it redirects a {request.method} with {response.status}, not with 307"
                )
            if _origin(following) != _origin(url):
                headers.pop("Authorization", None)
            url = following
        raise EndpointFailed(request.endpoint, f"more than {MAX_REDIRECTS} redirects")

    def _send(self, request: Request, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        import urllib3

        silence_s = self._patience.stored_s if request.is_stored else self._patience.silence_s
        timeout = urllib3.Timeout(connect=self._patience.connect_s, read=silence_s)
        body = request.body if request.body is None or isinstance(request.body, bytes) else request.body()
        try:
            pool = self._pool(request.endpoint, url)
            return pool.request(
                request.method,
                url,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=timeout,
            )
        except (urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            raise translate(request.endpoint, error, host=urlsplit(url).netloc) from error

    def _pool(self, endpoint: Endpoint, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        # Its own certificate rules are for the registry; where it redirects to, the system's rules hold.
        is_own = _authority(url) == _authority(f"{endpoint.scheme}://{endpoint.host}")
        is_verified = endpoint.is_verified if is_own else True
        ca = (endpoint.ca if is_own else "") or self._ca_bundle
        certificates = endpoint.certificates if is_own else Certificates()
        proxy = self._proxy(parts.scheme, parts.netloc, parts.hostname or "")
        key = (parts.scheme, is_verified, ca, certificates, proxy)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                needs_tls = "https" in (parts.scheme, urlsplit(proxy).scheme)
                context = None
                if needs_tls:
                    context = _tls(endpoint, certificates, is_verified=is_verified, ca=ca)
                from builder.registry.pools import new_pool

                pool = self._pools[key] = new_pool(context, proxy)
            return pool

    def _proxy(self, scheme: str, netloc: str, hostname: str) -> str:
        if is_loopback(netloc) or _is_exempt(hostname, netloc, self._proxies.get("no_proxy", "")):
            return ""
        proxy = self._proxies.get(f"{scheme}_proxy") or self._proxies.get("all_proxy", "")
        return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def transport_and_retry(
    proxies: Mapping[str, str] | None, patience: Patience | None, ca_bundle: str
) -> tuple[Transport, Retry]:
    """As patient as that; None: the usual."""
    patience = patience or Patience()
    transport = Transport(proxies=proxies, patience=patience, ca_bundle=ca_bundle)
    return transport, Retry(sleep=patience.sleep)


def _secrets(request: Request) -> tuple[str, ...]:
    form = request.body if isinstance(request.body, bytes) and not request.may_redirect else b""
    return secrets_of(request.headers.get("Authorization", ""), form)


def redirected(request: Request, url: str, location: str) -> str:
    """Where to go from ``url``; refuses what no registry has a reason for."""
    try:
        following = urljoin(url, location)
        parts = urlsplit(following)
        _authority(following)
    except ValueError as error:
        raise EndpointFailed(request.endpoint, "redirect to something that is no address") from error
    where = f"{parts.scheme}://{parts.hostname or ''}"
    if not request.may_redirect:
        raise EndpointFailed(request.endpoint, f"a request with credentials was redirected to {where}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointFailed(request.endpoint, f'redirect to an address of scheme "{parts.scheme[:20]}"')
    if parts.scheme == "http" and urlsplit(url).scheme == "https" and not request.is_verified:
        raise EndpointFailed(request.endpoint, f"redirect from https to {where}, where anybody could answer")
    # A user name in the address would become an Authorization header.
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_at(url: str, endpoint: Endpoint) -> bool:
    """Whether an address is of that very server: its scheme, its host, its port."""
    return _origin(url) == _origin(f"{endpoint.scheme}://{endpoint.host}")


def _origin(url: str) -> tuple[str, str]:
    return urlsplit(url).scheme, _authority(url)


def _authority(url: str) -> str:
    parts = urlsplit(url)
    return f"{(parts.hostname or '').lower()}:{parts.port or {'http': 80, 'https': 443}.get(parts.scheme)}"


def _tls(endpoint: Endpoint, certificates: Certificates, *, is_verified: bool, ca: str) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    if not is_verified:
        import urllib3

        # It would be printed for each request; the user's own configuration asked for this.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:
            reason = f'the certificates in "{ca}" cannot be read: {(error.strerror or str(error)).lower()}'
            raise EndpointFailed(endpoint, reason) from error
    try:
        certificates.load_into(context)
    except (OSError, ValueError) as error:
        reason = f"its certificates cannot be used: {printable(str(error))}"
        hint = f"look at {', '.join(_paths(certificates))}"
        raise EndpointFailed(endpoint, reason, hint=hint) from error
    return context


def _paths(certificates: Certificates) -> list[str]:
    return [*certificates.authorities, *(path for pair in certificates.clients for path in pair)]


def _is_exempt(hostname: str, netloc: str, no_proxy: str) -> bool:
    """``NO_PROXY``: hosts, ``.domain`` or ``domain`` with all below, ``host:port``, networks, or ``*``."""
    for entry in (e.strip().lower() for e in no_proxy.split(",")):
        if "/" in entry and _is_in_network(hostname, entry):
            return True
        bare = entry.removeprefix("*").removeprefix(".")
        if entry == "*" or (entry and entry == netloc.lower()):
            return True
        if bare and (hostname.lower() == bare or hostname.lower().endswith(f".{bare}")):
            return True
    return False


def _is_in_network(hostname: str, network: str) -> bool:
    """``10.0.0.0/8``: only addresses are compared, no name is looked up."""
    import ipaddress

    try:
        return ipaddress.ip_address(hostname) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
