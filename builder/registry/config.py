"""Which hosts answer for a registry name, and how they may be spoken to.

[registry."docker.io"]
mirrors = ["http://127.0.0.1:5000", "https://mirror.example/docker-hub"]

[registry."registry.lab:5000"]
insecure = true             # no certificate check, and plain HTTP if there is no TLS

[registry."registry.corp"]
ca = "/etc/ssl/corp.pem"    # trusted in addition to the system's certificates
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from builder.core.reference import DEFAULT_DOMAIN, InvalidReference, Reference
from builder.registry.certificates import Certificates, certificates_for
from builder.registry.interface import InvalidRegistryConfig

# Docker Hub's name and the host that serves it (distribution/reference knows only the first).
_HUB_HOST = "registry-1.docker.io"
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?")
_MIRROR = re.compile(r"(?:(https?)://)?([^/?#@\s]+)((?:/[a-z0-9][a-z0-9._-]*)*)/?")


class Endpoint(NamedTuple):
    """One server that may have what a reference names."""

    scheme: str
    host: str  # with the port, if it was written
    prefix: str = ""  # "/docker-hub": goes between /v2 and the repository
    is_mirror: bool = False
    is_verified: bool = True  # False: any certificate will do
    ca: str = ""  # path of a PEM file
    certificates: Certificates = Certificates()

    @property
    def url(self) -> str:
        """For people; holds no secret."""
        return f"{self.scheme}://{self.host}{self.prefix}"


class RegistrySettings(NamedTuple):
    """One table of the configuration; ``insecure`` None: only if it is on this machine."""

    mirrors: tuple[str, ...] = ()
    insecure: bool | None = None
    ca: str = ""


class RegistryConfig:
    """The ``registry`` tables of the configuration file, and the ``certs.d`` of others."""

    def __init__(
        self,
        registries: Mapping[str, RegistrySettings] | None = None,
        certificates: Sequence[Path] = (),
    ) -> None:
        """``certificates`` are directories, see ``certificates.py``."""
        self._registries = dict(registries or {})
        self._certificates = tuple(certificates)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """TOML. Tables of other names are left to others. Raises InvalidRegistryConfig."""
        import tomllib

        try:
            document = tomllib.loads(data.decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidRegistryConfig(f"the registry configuration is not valid TOML: {error}") from error
        tables = document.get("registry", {})
        if not isinstance(tables, dict):
            raise InvalidRegistryConfig('"registry" should be tables', hint='write [registry."docker.io"]')
        config = cls({_domain(name): _settings(name, table) for name, table in tables.items()})
        for name in config._registries:
            config.endpoints(name)
        return config

    def with_insecure(self, domains: Iterable[str]) -> Self:
        """The same with these registries spoken to as if their tables said ``insecure = true``."""
        changed = {d: self._registries.get(d, RegistrySettings())._replace(insecure=True) for d in domains}
        return type(self)({**self._registries, **changed}, self._certificates)

    def with_certificates(self, directories: Sequence[Path]) -> Self:
        """The same with ``certs.d`` directories."""
        return type(self)(self._registries, directories)

    def endpoints(self, domain: str) -> tuple[Endpoint, ...]:
        """Where to ask for ``domain``, in order: its mirrors, then itself. Raises InvalidRegistryConfig."""
        settings = self._registries.get(domain, RegistrySettings())
        found = [e for mirror in settings.mirrors for e in self._mirror(mirror)]
        host = _HUB_HOST if domain == DEFAULT_DOMAIN else domain
        return (*found, *_own(self._certified(Endpoint("", host)), settings))

    def _certified(self, endpoint: Endpoint) -> Endpoint:
        try:
            return endpoint._replace(certificates=certificates_for(endpoint.host, self._certificates))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise InvalidRegistryConfig(
                f'the certificates for "{endpoint.host}" in "{error.filename}" cannot be read: {why}'
            ) from error

    def _mirror(self, text: str) -> tuple[Endpoint, ...]:
        match = _MIRROR.fullmatch(text)
        if match is None or not _is_host(match[2]):
            raise InvalidRegistryConfig(
                f'"{_without_userinfo(text)}" is not the address of a mirror',
                hint='write it as "https://host[:port]", without user name and password',
            )
        scheme, host, prefix = match[1] or "", match[2], match[3]
        settings = self._registries.get(_domain(host), RegistrySettings())
        mirror = self._certified(Endpoint(scheme, host, prefix, is_mirror=True))
        if not scheme:
            return _own(mirror, settings)
        if scheme == "http" and not is_loopback(host) and not settings.insecure:
            raise InvalidRegistryConfig(
                f'the mirror "{text}" would be spoken to in the clear',
                hint=f'use https, or allow it: [registry."{host}"] insecure = true',
            )
        return (mirror._replace(is_verified=not settings.insecure, ca=settings.ca),)


def is_loopback(host: str) -> bool:
    """Whether ``host[:port]`` is this machine, by its spelling alone."""
    return _LOOPBACK.fullmatch(host.lower()) is not None


def _own(endpoint: Endpoint, settings: RegistrySettings) -> tuple[Endpoint, ...]:
    """The schemes by which a host may be tried when none was written."""
    if settings.insecure:
        unverified = endpoint._replace(scheme="https", is_verified=False, ca=settings.ca)
        return (unverified, endpoint._replace(scheme="http"))
    has_own = bool(settings.ca or endpoint.certificates.authorities or endpoint.certificates.clients)
    if settings.insecure is None and not has_own and is_loopback(endpoint.host):
        return (endpoint._replace(scheme="http"),)
    return (endpoint._replace(scheme="https", ca=settings.ca),)


def _settings(name: str, table: object) -> RegistrySettings:
    if not isinstance(table, dict):
        raise InvalidRegistryConfig(f'registry "{name}" should be a table')
    for key in table:
        if key not in RegistrySettings._fields:
            known = ", ".join(RegistrySettings._fields)
            raise InvalidRegistryConfig(f'registry "{name}" has no setting "{key}"', hint=f"known: {known}")
    mirrors, insecure, ca = table.get("mirrors", []), table.get("insecure"), table.get("ca", "")
    if not isinstance(mirrors, list) or not all(isinstance(m, str) for m in mirrors):
        raise InvalidRegistryConfig(f'"mirrors" of registry "{name}" should be a list of addresses')
    if not isinstance(insecure, bool | None):
        raise InvalidRegistryConfig(f'"insecure" of registry "{name}" should be true or false')
    if not isinstance(ca, str):
        raise InvalidRegistryConfig(f'"ca" of registry "{name}" should be the path of a PEM file')
    return RegistrySettings(tuple(mirrors), insecure, ca)


def _domain(name: str) -> str:
    """The key under which references look: one name for Docker Hub, whatever it was called."""
    if name in (_HUB_HOST, "index.docker.io"):
        return DEFAULT_DOMAIN
    if not _is_host(name):
        raise InvalidRegistryConfig(
            f'"{_without_userinfo(name)}" is not the name of a registry',
            hint='write host or host:port, as in image names: [registry."registry.example:5000"]',
        )
    return name


def _is_host(text: str) -> bool:
    # "host" alone would be Docker Hub's user "host"; a mirror or a table names hosts only.
    candidate = text if any(c in text for c in ".:") or text == "localhost" else f"{text}:443"
    try:
        return Reference.parse(f"{candidate}/x/y").domain == candidate
    except InvalidReference:
        return False


def _without_userinfo(text: str) -> str:
    return re.sub(r"(^|://)[^/]*@", r"\1", text)[:200]
