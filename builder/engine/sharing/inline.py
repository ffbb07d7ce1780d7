"""The cache of a build inside the config of its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from builder.cache.document import MEMBER, CacheDocument, SharedLayer, SharedRecord
from builder.core.digest import Digest
from builder.core.image import ImageConfig, chain_ids
from builder.engine.sharing.lineage import chain_of
from builder.engine.sharing.session import Sharing
from builder.llb.definition import Definition
from builder.store.interface import Snapshot


def with_cache(
    config: bytes, sharing: Sharing, definition: Definition, chain: Sequence[Snapshot], *, epoch_s: int | None
) -> bytes:
    """The config of an image with records of its own layers; of the steps below the top they are parts.

    Neither times nor plain inputs of steps: an image has the same digest whenever it is built.
    """
    image = ImageConfig.from_json(config)
    steps = {v: k for v, k in sharing.steps.items() if v in chain_of(definition)}
    ids = chain_ids(image.diff_ids)
    base_depth = min((_base_depth(sharing, vertex, ids) for vertex in steps), default=len(ids))
    layers = {}
    for number in range(base_depth, len(ids)):
        created_at = float(epoch_s) if epoch_s is not None else chain[number].created_at
        parent = ids[number - 1] if number else None
        layers[ids[number]] = SharedLayer(parent, image.diff_ids[number], created_at)
    records = {}
    for vertex, key in steps.items():
        depth = base_depth + sharing.lineages[vertex].height
        if 0 < depth <= len(ids):
            records[key] = SharedRecord(ids[depth - 1], 0.0)
    document = CacheDocument(layers=layers, records=records, memos=tuple(sharing.overlay.memos()))
    return replace(image, extra_root={**image.extra_root, MEMBER: document.member()}).to_json()


def _base_depth(sharing: Sharing, vertex: Digest, ids: Sequence[Digest]) -> int:
    base = sharing.lineages[vertex].base_chain
    return 0 if base is None else ids.index(base) + 1
