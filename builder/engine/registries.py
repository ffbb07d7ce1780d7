"""The registry client, configured from the files that the settings name."""

from __future__ import annotations

from builder.config import Config
from builder.registry.client import HttpRegistryClient
from builder.registry.config import RegistryConfig


def open_registry(config: Config) -> HttpRegistryClient:
    """Raises InvalidRegistryConfig."""
    data = config.registries.read_bytes() if config.registries.is_file() else b""
    return HttpRegistryClient.open(
        config=RegistryConfig.parse(data), docker_config=config.docker_config, proxies=config.proxies
    )
