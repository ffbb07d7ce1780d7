"""Platforms as command lines name them."""

from __future__ import annotations

import pytest

from builder.cli.platforms import platforms_of, wanted_platform, wanted_platforms
from builder.core.platform import InvalidPlatform, Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ()),
        (["linux/amd64"], (AMD64,)),
        (["linux/amd64,linux/arm64"], (AMD64, ARM64)),
        (["linux/arm64", " linux/amd64 , linux/arm64/v8,"], (ARM64, AMD64)),
        (["linux/arm/v7,linux/arm"], (Platform("linux", "arm", "v7"),)),
        (["local", "LOCAL"], (Platform.host(),)),
    ],
)
def test_lists(given: list[str], expected: tuple[Platform, ...]) -> None:
    """With commas, by several options, or both; each once, in the order of the first time."""
    assert platforms_of(given) == expected


def test_environment() -> None:
    """It counts where nothing is given."""
    environ = {"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}

    assert wanted_platforms([], environ) == (ARM64,)
    assert wanted_platforms(["amd64"], environ) == (AMD64,)
    assert wanted_platforms([], {}) == ()
    assert wanted_platform(None, environ) == ARM64
    assert wanted_platform("amd64", environ) == AMD64
    assert wanted_platform(None, {}) is None


def test_nonsense() -> None:
    """One of a list is enough."""
    with pytest.raises(InvalidPlatform):
        platforms_of(["linux/amd64,linux/"])
