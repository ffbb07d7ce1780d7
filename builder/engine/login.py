"""Logging in to registries and out again; needs no store."""

from __future__ import annotations

from builder.config import Config
from builder.core.patience import Patience
from builder.engine.registries import registry_config
from builder.registry.credentials import Credential, CredentialStore
from builder.registry.login import LoginFile, server_name, verify_login


def has_login(config: Config, server: str) -> bool:
    """Whether there is one already."""
    return _known(config, server_name(server)) is not None


def renew(config: Config, server: str, patience: Patience | None = None) -> None:
    """Try the login that there is. Raises LoginRefused, RegistryUnavailable."""
    host = server_name(server)
    known = _known(config, host)
    assert known is not None
    verify_login(
        registry_config(config),
        host,
        known,
        proxies=config.proxies,
        patience=patience,
        ca_bundle=config.ca_bundle,
    )


def log_in(
    config: Config, server: str, username: str, password: str, patience: Patience | None = None
) -> bool:
    """Try a login and keep it; whether a helper keeps it, which Docker's own file is not.

    Raises LoginRefused, RegistryUnavailable, CredentialHelperFailed, InvalidRegistryConfig.
    """
    host = server_name(server)
    given = Credential(username, password)
    kept = verify_login(
        registry_config(config),
        host,
        given,
        proxies=config.proxies,
        patience=patience,
        ca_bundle=config.ca_bundle,
    )
    return LoginFile(config.docker_config).keep(host, kept)


def log_out(config: Config, server: str) -> tuple[str, bool]:
    """The registry, and whether there was a login. Raises CredentialHelperFailed."""
    host = server_name(server)
    return host, LoginFile(config.docker_config).forget(host)


def _known(config: Config, host: str) -> Credential | None:
    return CredentialStore.load(config.docker_config, *config.podman_logins).lookup(host)
