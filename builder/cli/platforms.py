"""Platforms as command lines name them, and as the environment does where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builder.core.platform import Platform

# Docker's own: what --platform is where it is not given.
_DEFAULT = "DOCKER_DEFAULT_PLATFORM"


def platforms_of(given: Sequence[str]) -> tuple[Platform, ...]:
    """In the order in which they are named, each once. Raises InvalidPlatform."""
    names = (name.strip() for text in given for name in text.split(",") if name.strip())
    return tuple(dict.fromkeys(_platform(name) for name in names))


def wanted_platforms(given: Sequence[str], environ: Mapping[str, str]) -> tuple[Platform, ...]:
    """(): nobody says. Raises InvalidPlatform."""
    return platforms_of(given or [environ.get(_DEFAULT, "")])


def wanted_platform(given: str | None, environ: Mapping[str, str]) -> Platform | None:
    """None: nobody says. Raises InvalidPlatform."""
    text = given or environ.get(_DEFAULT, "")
    return Platform.parse(text) if text else None


def _platform(name: str) -> Platform:
    """As buildx has it, "local" is this machine's."""
    return Platform.host() if name.lower() == "local" else Platform.parse(name)
