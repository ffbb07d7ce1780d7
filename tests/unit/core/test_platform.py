"""Platforms: the spellings of Docker and uname, and what fits what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.platform import InvalidPlatform, Platform

HOST = Platform.host()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("LINUX/AMD64", Platform("linux", "amd64")),
        (" linux/amd64 ", Platform("linux", "amd64")),
        ("linux/arm64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm64/8", Platform("linux", "arm64")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/arm/v6", Platform("linux", "arm", "v6")),
        ("linux/arm/6", Platform("linux", "arm", "v6")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("linux/amd64/v3", Platform("linux", "amd64", "v3")),
        ("arm64", Platform(HOST.os, "arm64")),
        ("linux", Platform("linux", HOST.architecture, HOST.variant)),
        ("windows/amd64", Platform("windows", "amd64")),
        ("linux/sparc64", Platform("linux", "sparc64")),
    ],
)
def test_parse(text: str, expected: Platform) -> None:
    """Every usual spelling leads to Go's."""
    assert Platform.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "/amd64", "linux/amd64/v1/x", "linux//v7", "pdp11", "linux/a b"]
)
def test_refuses_what_is_no_platform(text: str) -> None:
    """What names no platform is refused with a hint."""
    with pytest.raises(InvalidPlatform) as caught:
        Platform.parse(text)

    assert caught.value.hint is not None


@given(
    st.sampled_from(["linux", "windows"]),
    st.sampled_from(["amd64", "arm64", "arm", "386", "riscv64", "s390x", "ppc64le"]),
    st.sampled_from(["", "v3", "v6", "v7", "v8"]),
)
def test_text_leads_back(os: str, architecture: str, variant: str) -> None:
    """Parsing what a parsed platform prints gives that platform."""
    platform = Platform.parse(str(Platform(os, architecture, variant)))

    assert platform == Platform.parse(str(platform))


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        (Platform("linux", "arm64"), Platform("linux", "arm64", "v8"), True),
        (Platform("linux", "arm", "v7"), Platform("linux", "arm"), True),
        (Platform("linux", "arm", "v6"), Platform("linux", "arm", "v7"), False),
        (Platform("linux", "amd64"), Platform("linux", "amd64"), True),
        (Platform("linux", "amd64"), Platform("windows", "amd64"), False),
        (Platform("linux", "amd64"), Platform("linux", "arm64"), False),
    ],
)
def test_matches(wanted: Platform, offered: Platform, *, expected: bool) -> None:
    """An image fits where its platform is the one asked for, whichever of two spellings it has."""
    assert wanted.matches(offered) is expected
    assert offered.matches(wanted) is expected


def test_host_is_linux() -> None:
    """This machine has a platform that is read back as itself."""
    assert HOST.os == "linux"
    assert Platform.parse(str(HOST)) == HOST
