"""From a frontend's image description and a chain of layers to the config that is the image's identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from builder.core.image import History, ImageConfig
from builder.core.times import rfc3339
from builder.exporter.layers import Layers
from builder.store.interface import Snapshot

# What Docker writes for a layer that no history entry speaks of (moby, BuildKit's image exporter).
_UNTOLD_COMMENT = "buildkit.exporter.image.v0"
_NEVER = "1970-01-01T00:00:00Z"


def finish_image(
    image: ImageConfig, chain: Sequence[Snapshot], layers: Layers, *, epoch_s: int | None = None
) -> bytes:
    """The config's JSON, with diff IDs and times. The same steps from the cache give the same bytes.

    With ``epoch_s`` that is the time of all that is new; what the base says of itself stays.
    """
    diff_ids = tuple(layers.diff_id(snapshot) for snapshot in chain)
    history: Sequence[History]
    if epoch_s is None:
        history = _dated(_matched(image.history, chain), chain, image.created)
        created = history[-1].created if history else image.created or _NEVER
    else:
        created = rfc3339(epoch_s)
        chain = [snapshot._replace(created_at=epoch_s) for snapshot in chain]
        history = tuple(
            entry if entry.created else replace(entry, created=created)
            for entry in _matched(image.history, chain)
        )
    return replace(image, diff_ids=diff_ids, history=history, created=created).to_json()


def _matched(history: Sequence[History], chain: Sequence[Snapshot]) -> list[History]:
    """One non-empty entry per layer: bases exist whose history tells of more layers or of fewer."""
    matched, count = [], 0
    for entry in history:
        if not entry.is_empty_layer:
            if count >= len(chain):
                entry = replace(entry, is_empty_layer=True)
            else:
                count += 1
        matched.append(entry)
    untold = [
        History(created=rfc3339(snapshot.created_at), comment=_UNTOLD_COMMENT) for snapshot in chain[count:]
    ]
    return matched + untold


def _dated(history: Sequence[History], chain: Sequence[Snapshot], base_created: str) -> tuple[History, ...]:
    """Layers have the time of their step; an entry without a layer has that of the layer before it.

    Entries before the first new layer have the first known time, as in BuildKit, so that a cached build says
    the same as the one that filled the cache.
    """
    dated: list[History] = []
    layer = iter(chain)
    for entry in history:
        snapshot = None if entry.is_empty_layer else next(layer)
        if entry.created or snapshot is None:
            dated.append(entry)
        else:
            dated.append(replace(entry, created=rfc3339(snapshot.created_at)))
    known = _first_new(dated) or base_created or _NEVER
    is_after_gap = False
    for index, entry in enumerate(dated):
        if not entry.created:
            is_after_gap = True
            dated[index] = replace(entry, created=known)
        elif is_after_gap:
            known = entry.created
    return tuple(dated)


def _first_new(history: Sequence[History]) -> str:
    """The first time after the first gap, else the last one before it."""
    found, is_after_gap = "", False
    for entry in history:
        if entry.created:
            found = entry.created
            if is_after_gap:
                break
        else:
            is_after_gap = True
    return found
