"""`diff`: two images of the store, path by path, and what their configurations say differently."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from builder.core.digest import Digest
from builder.engine.assemble import Engine
from builder.engine.imagecompare import differing_members
from builder.fs.tree import StackedTree
from builder.fs.treediff import PathChange, changes
from builder.store.interface import Image

# What every build changes, and what follows from the files.
_UNTOLD = ("created", "history", "rootfs", "moby.buildkit.buildinfo.v1")


class ConfigChange(NamedTuple):
    """A member of the configuration, None where it is missing."""

    name: str  # "config.Env[2]"
    before: Any
    after: Any


class ImageDiff(NamedTuple):
    """From one image to another."""

    before: Digest
    after: Digest
    paths: tuple[PathChange, ...]
    config: tuple[ConfigChange, ...]

    @property
    def is_empty(self) -> bool:
        """Whether a container would see no difference."""
        return not self.paths and not self.config


def diff_images(engine: Engine, before: str, after: str) -> ImageDiff:
    """Fetches and unpacks what is not there yet. Raises ImageNotFound, InvalidReference."""
    images = engine.images.find(before), engine.images.find(after)
    trees = [_tree(engine, image) for image in images]
    return ImageDiff(
        images[0].id, images[1].id, tuple(changes(*trees)), tuple(_config_changes(engine, *images))
    )


def _tree(engine: Engine, image: Image) -> StackedTree:
    engine.bring_layers(image.snapshot)
    return StackedTree(engine.snapshots.lowers(image.snapshot))


def _config_changes(engine: Engine, before: Image, after: Image) -> Iterator[ConfigChange]:
    documents = [json.loads(engine.content.read(image.id)) for image in (before, after)]
    for document in documents:
        for name in _UNTOLD:
            document.pop(name, None)
    for change in differing_members(documents[0], documents[1], ""):
        yield ConfigChange(*change)
