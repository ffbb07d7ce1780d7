"""How large layers and images are, in the way that Docker counts."""

from __future__ import annotations

from builder.engine.assemble import Engine
from builder.fs.compression import open_decompressed
from builder.fs.limits import ArchiveLimit, BadArchive
from builder.fs.measure import stored_bytes, tar_bytes
from builder.store.interface import Image, Snapshot


def image_size(engine: Engine, image: Image) -> int:
    """Of all its layers."""
    return sum(layer_size(engine, each) for each in engine.snapshots.chain(image.snapshot))


def layer_size(engine: Engine, snapshot: Snapshot) -> int:
    """The bytes of its files, found once; of a layer that is not here, those that would be fetched."""
    known = engine.snapshots.content_size(snapshot.name)
    if known is None:
        known = _measured(engine, snapshot)
        if known is None:
            return snapshot.layer.size if snapshot.layer is not None else 0
        engine.snapshots.set_content_size(snapshot.name, known)
    return known


def _measured(engine: Engine, snapshot: Snapshot) -> int | None:
    # Docker's overlay2 driver measures a lowest layer by walking it, where links have a size too, and others
    # by the headers of their tars, where they have none.
    is_lowest = not snapshot.parent
    name = snapshot.same_as or snapshot.clamp_of or snapshot.name
    if engine.snapshots.is_ready(name):
        try:
            return stored_bytes(engine.snapshots.directory(name), counts_links=is_lowest)
        except FileNotFoundError:
            return None  # somebody removes the image meanwhile
    if snapshot.layer is None or engine.content.size(snapshot.layer.digest) is None:
        return None
    try:
        with engine.content.open(snapshot.layer.digest) as blob, open_decompressed(blob) as tar:
            return tar_bytes(tar, counts_links=is_lowest)
    except (BadArchive, ArchiveLimit):
        return None  # whoever unpacks it says what is wrong
