"""A bridge that knows the images it is given, and a short way to convert text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.image import History, ImageConfig
from builder.core.limits import StepSettings
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.interface import FrontendRequest, FrontendResult, ResolvedImage

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUSYBOX = ImageConfig(
    platform=AMD64,
    env=(PATH,),
    cmd=("sh",),
    created="2020-01-01T00:00:00Z",
    history=(History(created_by="base"),),
)


class NoSuchImage(PybuildError):
    """The bridge does not know the name."""

    kind = Kind.NOT_FOUND
    code = "no-such-image"


class FakeBridge:
    """Answers from a mapping of short names; ``asked`` is what it was asked."""

    def __init__(self, images: Mapping[str, ImageConfig] | None = None) -> None:
        self.images = {"busybox": BUSYBOX, **(images or {})}
        self.asked: list[tuple[str, str]] = []

    def resolve_image(self, reference: str, platform: Platform) -> ResolvedImage:
        self.asked.append((reference, str(platform)))
        if reference not in self.images:
            raise NoSuchImage(f'there is no "{reference}"', hint="look again")
        full = str(Reference.parse(reference).with_default_tag())
        config = dataclasses.replace(self.images[reference], platform=platform)
        return ResolvedImage(full, Digest.of(f"{full} {platform}".encode()), config)


def convert(
    text: str,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    labels: Mapping[str, str] | None = None,
    platform: Platform = AMD64,
    network: str | None = None,
    ignores_cache: bool = False,
    uncached_stages: frozenset[str] = frozenset(),
    settings: StepSettings | None = None,
    bridge: FakeBridge | None = None,
) -> FrontendResult:
    """Built on amd64."""
    request = FrontendRequest(
        source=text.encode(),
        build_args=build_args or {},
        target=target,
        labels=labels or {},
        platform=platform,
        build_platform=AMD64,
        network=network,
        ignores_cache=ignores_cache,
        uncached_stages=uncached_stages,
        settings=settings or StepSettings(),
    )
    return DockerfileFrontend().convert(request, bridge or FakeBridge())
