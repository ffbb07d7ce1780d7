"""The registry clients, configured from the files that the settings name."""

from __future__ import annotations

from collections.abc import Iterable

from builder.config import Config
from builder.core.patience import Patience
from builder.registry.config import RegistryConfig
from builder.registry.exchange import Exchange


def registry_config(config: Config) -> RegistryConfig:
    """Raises InvalidRegistryConfig."""
    data = config.registries.read_bytes() if config.registries.is_file() else b""
    return RegistryConfig.parse(data).with_certificates(config.certificates)


def open_exchange(config: Config, insecure: Iterable[str] = (), patience: Patience | None = None) -> Exchange:
    """What reading and writing share; ``insecure`` are registries of this use.

    Raises InvalidRegistryConfig.
    """
    return Exchange.open(
        config=registry_config(config).with_insecure(insecure),
        docker_config=config.docker_config,
        more_logins=config.podman_logins,
        proxies=config.proxies,
        patience=patience,
        ca_bundle=config.ca_bundle,
    )
