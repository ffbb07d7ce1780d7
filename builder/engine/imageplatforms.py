"""The images of an index that a name stands for, one for each platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.platform import Platform
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine
from builder.engine.imagelist import ListedImage, config_of, list_images
from builder.engine.layersizes import image_size
from builder.store.interface import Image


class PlatformImage(NamedTuple):
    """What a name means for one platform."""

    platform: Platform
    id: Digest
    size: int  # bytes of all layers, as in ``ListedImage``


class ImageTree(NamedTuple):
    """A line of `images`, and what is below it."""

    image: ListedImage
    platforms: tuple[PlatformImage, ...]


def image_for(engine: Engine, name: str, platform: Platform | None) -> Image:
    """What a name means, of an index the image for that platform if it has one.

    Raises ImageNotFound, InvalidReference.
    """
    image = engine.images.find(name)
    if platform is None or platform.matches(config_of(engine, image).platform):
        return image
    try:
        parts = engine.images.platforms_of(Reference.parse(name))
    except InvalidReference:
        return image
    return next((part for part in parts if platform.matches(config_of(engine, part).platform)), image)


def image_trees(engine: Engine, filters: Sequence[str] = ()) -> list[ImageTree]:
    """In the order of ``list_images``, each with at least one platform. Raises InvalidFilter."""
    return [ImageTree(line, _platforms(engine, line)) for line in list_images(engine, filters)]


def _platforms(engine: Engine, line: ListedImage) -> tuple[PlatformImage, ...]:
    images: list[Image] = []
    if "<none>" not in (line.repository, line.tag):
        images = engine.images.platforms_of(Reference.parse(f"{line.repository}:{line.tag}"))
    if not images:
        image = engine.images.get(line.id)
        images = [image] if image is not None else []
    return tuple(
        PlatformImage(config_of(engine, image).platform, image.id, image_size(engine, image))
        for image in images
    )
