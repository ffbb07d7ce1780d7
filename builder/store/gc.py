"""Collection: what no image, cache record or container leads to goes; cache mounts stay.

Killed at any point it leaves directories that no row speaks of, which the next collection finds again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from builder.core.digest import Digest
from builder.store.content import LocalContentStore
from builder.store.database import CACHE_MOUNTS_TABLE, LAYER_FORMS_TABLE, Database, text
from builder.store.state import StateDir, remove_tree

_REACHABLE = """
WITH RECURSIVE reachable (name) AS (
    SELECT snapshot FROM images UNION SELECT result FROM records UNION SELECT snapshot FROM containers
    UNION SELECT needed FROM reachable JOIN (
        SELECT name, parent AS needed FROM snapshots UNION ALL
        SELECT name, same_as FROM snapshots WHERE same_as IS NOT NULL UNION ALL
        SELECT name, clamp_of FROM snapshots WHERE clamp_of IS NOT NULL
    ) USING (name)
)
"""


def collect(state: StateDir, database: Database, content: LocalContentStore) -> int:
    """Remove unreachable snapshots and blobs, unless another job is running; the number removed."""
    with state.exclusively() as is_alone:
        if not is_alone:
            return 0
        with database.transaction():
            # Rows go first: a directory without a row is dead, a row without its directory would be a lie.
            database.run(f"{_REACHABLE} DELETE FROM snapshots WHERE name NOT IN (SELECT name FROM reachable)")  # noqa: S608
            snapshots = {text(r[0]) for r in database.rows("SELECT name FROM snapshots")}
            flat = {text(r[0]) for r in database.rows("SELECT name FROM snapshots WHERE is_flat = 1")}
            blobs = {text(r[0]) for r in database.rows("SELECT blob FROM snapshots WHERE blob IS NOT NULL")}
            blobs |= {
                text(r[0]) for r in database.rows("SELECT id FROM images UNION SELECT digest FROM manifests")
            }
            database.run(LAYER_FORMS_TABLE)  # a store may be older than they are
            # Packed layers live as long as a snapshot with that content, whoever needs it.
            database.run(
                "DELETE FROM layer_forms WHERE diff_id NOT IN"
                " (SELECT diff_id FROM snapshots WHERE diff_id IS NOT NULL)"
            )
            blobs |= {text(r[0]) for r in database.rows("SELECT digest FROM layer_forms")}
            database.run("DELETE FROM listing_users WHERE key NOT IN (SELECT key FROM records)")
            database.run("DELETE FROM listings WHERE content NOT IN (SELECT content FROM listing_users)")
            containers = {text(r[0]) for r in database.rows("SELECT id FROM containers")}
            database.run(CACHE_MOUNTS_TABLE)  # a store may be older than cache mounts
            caches = {text(r[0]) for r in database.rows("SELECT identity FROM cache_mounts")}
        blobs |= _named_by_manifests(content, blobs)
        removed = _remove_others(state.snapshots, snapshots) + _remove_others(state.flat, flat)
        removed += _remove_others(state.containers, containers) + _remove_others(state.caches, caches)
        removed += _remove_others(state.partial, set())
        return removed + _remove_others(state.blobs, {blob.partition(":")[2] for blob in blobs})


def _named_by_manifests(content: LocalContentStore, blobs: set[str]) -> set[str]:
    """Manifests below an index: the index is what a registry's digest names."""
    found: set[str] = set()
    for blob in blobs:
        digest = Digest.parse(blob)
        if (content.size(digest) or 1 << 20) < 1 << 18:
            try:
                document = json.loads(content.read(digest))
            except (ValueError, RecursionError):
                continue
            # A config may have a member of that name too, with anything in it.
            entries = document.get("manifests") if isinstance(document, dict) else None
            for entry in entries if isinstance(entries, list) else ():
                if isinstance(entry, dict):
                    found.add(str(entry.get("digest")))
    return found


def _remove_others(directory: Path, keep: set[str]) -> int:
    gone = [name for name in os.listdir(directory) if name not in keep]
    for name in gone:
        remove_tree(directory / name)
    return len(gone)
