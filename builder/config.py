"""The settings of one command: flags over environment over file, read once, frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.core.errors import Kind, PybuildError

_SYSTEM_CONFIG = Path("/etc/pybuild/config.toml")


class CaBundleUnreadable(PybuildError):
    """--ca-bundle names no file with certificates."""

    kind = Kind.INVALID
    code = "ca-bundle-unreadable"

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(
            f'cannot use "{file}" as a bundle of certificates: {why}',
            hint="it is a PEM file, as openssl reads",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Where things are. Files that are named here need not exist."""

    root: Path  # the state directory
    registries: Path  # pybuild's config.toml
    docker_config: Path  # Docker's config.json, for credentials
    proxies: Mapping[str, str]
    podman_logins: tuple[Path, ...] = ()  # asked for what Docker's file lacks
    certificates: tuple[Path, ...] = ()  # the certs.d of Docker and podman
    ca_bundle: str = ""  # a file of certificates, trusted beside the system's; steps are shown it too
    path: str = os.defpath  # where programs of this machine are looked for

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str],
        *,
        root: Path | None = None,
        uid: int = 0,
        ca_bundle: Path | None = None,
    ) -> Config:
        """``root`` is the --root flag; then PYBUILD_ROOT; then the place that fits the user ``uid``."""
        home = Path(environ.get("HOME") or "/")
        if root is None:
            named = environ.get("PYBUILD_ROOT")
            root = Path(named) if named else _default_root(environ, home, uid)
        user_config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pybuild/config.toml"
        if environ.get("PYBUILD_CONFIG"):
            registries = Path(environ["PYBUILD_CONFIG"])
        else:
            registries = user_config if user_config.exists() else _SYSTEM_CONFIG
        docker = Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
        names = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
        proxies = {n: v for n in names if (v := environ.get(n) or environ.get(n.upper()))}
        bundle = ca_bundle or environ.get("PYBUILD_CA_BUNDLE")
        path = environ.get("PATH") or os.defpath
        return cls(
            root=root,
            registries=registries,
            docker_config=docker,
            podman_logins=_podman_logins(environ, uid),
            proxies=proxies,
            certificates=(
                home / ".config/docker/certs.d",
                home / ".config/containers/certs.d",
                Path("/etc/docker/certs.d"),
                Path("/etc/containers/certs.d"),
            ),
            ca_bundle=_certificates(Path(bundle)) if bundle else "",
            path=path,
        )


def _certificates(file: Path) -> str:
    """Raises CaBundleUnreadable."""
    try:
        text = file.read_text("utf-8", "replace")
    except OSError as error:
        raise CaBundleUnreadable(file, (error.strerror or "it cannot be opened").lower()) from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise CaBundleUnreadable(file, "it holds no certificate in PEM form")
    return str(file.absolute())


def _podman_logins(environ: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    """Where `podman login` leaves them (containers-auth.json(5))."""
    if environ.get("REGISTRY_AUTH_FILE"):
        return (Path(environ["REGISTRY_AUTH_FILE"]),)
    runtime = environ.get("XDG_RUNTIME_DIR")
    directory = Path(runtime) / "containers" if runtime else Path(f"/run/containers/{uid}")
    return (directory / "auth.json",)


def _default_root(environ: Mapping[str, str], home: Path, uid: int) -> Path:
    if uid == 0:
        return Path("/var/lib/pybuild")
    return Path(environ.get("XDG_DATA_HOME") or home / ".local/share") / "pybuild"
