"""Two images, each of its own store: which step's files differ, and in what."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from builder.core.digest import Digest
from builder.core.image import ImageConfig
from builder.engine.assemble import Engine
from builder.exporter.layers import Layers
from builder.fs.blocks import Readable
from builder.fs.comparison import EntryDifference, compare_layers
from builder.store.interface import Image, Snapshot

# A step that differs in more paths than these is told by the first ones.
_SHOWN = 20
_SHOWN_TIMES = 3


class StoredImage(NamedTuple):
    """An image, and the engine whose store has it."""

    engine: Engine
    image: Image

    def config(self) -> bytes:
        """The document that its id is the digest of."""
        return self.engine.content.read(self.image.id)


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """A layer that two images do not have alike."""

    number: int  # the lowest is 1
    step: str  # what made it, in the history's words
    entries: tuple[EntryDifference, ...]  # the first ones; those of time alone come last
    more: int = 0  # how many more there are


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """What makes two images different; empty for one and the same."""

    first: Digest
    second: Digest
    layers: tuple[LayerDifference, ...] = ()
    layer_counts: tuple[int, int] = (0, 0)
    config: tuple[str, ...] = ()  # members of the configs, as dotted paths

    @property
    def is_none(self) -> bool:
        """Whether the images are identical, bit for bit."""
        return self.first == self.second

    @property
    def is_of_times_alone(self) -> bool:
        """Whether the images differ in nothing but dates."""
        return (
            self.layer_counts[0] == self.layer_counts[1]
            and all(name.rpartition(".")[2] == "created" for name in self.config)
            and all(layer.entries for layer in self.layers)
            and all(e.is_of_time_alone for layer in self.layers for e in layer.entries)
        )


def compare_images(first: StoredImage, second: StoredImage) -> ImageDifference:
    """The layers' tars are read side by side; needs room for one of each in scratch."""
    if first.image.id == second.image.id:
        return ImageDifference(first.image.id, second.image.id)
    documents = [json.loads(item.config()) for item in (first, second)]
    chains = [item.engine.snapshots.chain(item.image.snapshot) for item in (first, second)]
    for item in (first, second):
        item.engine.bring_layers(item.image.snapshot)
    found = []
    with contextlib.ExitStack() as stack:
        layers = [
            stack.enter_context(Layers(item.engine.snapshots, item.engine.content))
            for item in (first, second)
        ]
        for number, (one, two) in enumerate(zip(*chains, strict=False), start=1):
            if layers[0].diff_id(one) == layers[1].diff_id(two):
                continue
            with _tar(first.engine, layers[0], one) as left, _tar(second.engine, layers[1], two) as right:
                entries, more = _told(compare_layers(left, right))
            found.append(LayerDifference(number, _step(second.config(), number), entries, more))
    for document in documents:
        document.get("rootfs", {}).pop("diff_ids", None)
    counts = (len(chains[0]), len(chains[1]))
    config = tuple(name for name, _, _ in differing_members(documents[0], documents[1], ""))
    return ImageDifference(first.image.id, second.image.id, tuple(found), counts, config)


@contextlib.contextmanager
def _tar(engine: Engine, layers: Layers, snapshot: Snapshot) -> Iterator[Readable]:
    if snapshot.layer is not None:
        from builder.fs.compression import open_decompressed

        with engine.content.open(snapshot.layer.digest) as blob, open_decompressed(blob) as plain:
            yield plain
        return
    path = engine.state.scratch / f"compared-{snapshot.name}.tar"
    try:
        with open(path, "xb") as file:
            layers.write(snapshot, file.write)
        with open(path, "rb") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


def _told(entries: Iterator[EntryDifference]) -> tuple[tuple[EntryDifference, ...], int]:
    """The entries to show and the number of the others: a date must not hide what is more than a date."""
    real: list[EntryDifference] = []
    dated: list[EntryDifference] = []
    count = 0
    for entry in entries:
        count += 1
        kept, most = (dated, _SHOWN_TIMES) if entry.is_of_time_alone else (real, _SHOWN)
        if len(kept) < most:
            kept.append(entry)
    return (*real, *dated), count - len(real) - len(dated)


def _step(config: bytes, number: int) -> str:
    """What the history says of a layer."""
    made = [entry for entry in ImageConfig.from_json(config).history if not entry.is_empty_layer]
    return made[number - 1].created_by.removesuffix(" # buildkit") if number <= len(made) else ""


def differing_members(one: Any, two: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """What two documents do not have alike: dotted paths below ``path``, and both values."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in dict.fromkeys((*one, *two)):
            yield from differing_members(one.get(key), two.get(key), f"{path}.{key}" if path else key)
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for index, (left, right) in enumerate(zip(one, two, strict=True)):
            yield from differing_members(left, right, f"{path}[{index}]")
    elif one != two:
        yield path, one, two
