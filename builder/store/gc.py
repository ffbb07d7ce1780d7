"""Collection: what nothing in the store leads to goes, and what the caller chooses; beside running commands.

In one transaction, and while nobody can take hold of anything (store/leases.py), it reads what is held, and
takes rows away. Then it moves to scratch what no row speaks of any more, lets the others go on, and deletes.
Killed at any point it leaves directories that no row speaks of, which the next collection finds again, or
scratch, which the next command sweeps.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from builder.store.cachemounts import unused
from builder.store.content import LocalContentStore
from builder.store.database import Database, text
from builder.store.holdings import Holdings, Thing
from builder.store.inventory import Inventory
from builder.store.state import StateDir, locked_file, remove_tree

_RETRY_S = 0.005

# What goes with a thing; its blobs and trees go because nothing leads to them any more.
_DELETIONS: Mapping[str, Sequence[str]] = {
    "record": ("DELETE FROM records WHERE key = ?",),
    "image": ("DELETE FROM images WHERE id = ?", "DELETE FROM attested WHERE image = ?"),
    "cache-mount": ("DELETE FROM cache_mounts WHERE identity = ?",),
    "packed-layer": ("DELETE FROM layer_forms WHERE diff_id || '/' || packer = ?",),
    "build": ("DELETE FROM builds WHERE id = ?",),
    "failed-step": (),
    "log": (),
    "partial": (),
    "stat-cache": (),
}


class _Kept(NamedTuple):
    """Names that rows speak of, or leases, by directory."""

    snapshots: set[str]
    blobs: set[str]
    containers: set[str]
    caches: set[str]


def collect(
    state: StateDir,
    database: Database,
    content: LocalContentStore,
    *,
    choose: Callable[[Holdings], Sequence[Thing]] = lambda holdings: (),
    sizes: Mapping[str, int] | None = None,
    counts_own: bool = False,
) -> int:
    """Remove what nothing leads to and what ``choose`` names; the number of trees and blobs removed.

    What this command holds itself stays with ``counts_own`` only.
    """
    inventory = Inventory(state, database, content)
    with contextlib.ExitStack() as alone:
        with _alone_in(state, database, alone):
            holdings = inventory.take(sizes or {}, counts_own=counts_own)
            chosen = choose(holdings)
            kept = _take_rows(database, holdings, chosen)
        trash = _take_names(state, kept, chosen)
    for path in trash:
        remove_tree(path)
    return len(trash)


@contextlib.contextmanager
def _alone_in(state: StateDir, database: Database, alone: contextlib.ExitStack) -> Iterator[None]:
    """A transaction in which nobody touches anything, nor after it until ``alone`` is closed."""
    while True:
        with database.transaction():
            guard = state.lease.try_alone()
            if guard is not None:
                alone.callback(os.close, guard)
                yield
                return
        # Who touches something may want the database for it.
        time.sleep(_RETRY_S)


def _take_rows(database: Database, holdings: Holdings, chosen: Sequence[Thing]) -> _Kept:
    for thing in chosen:
        for statement in _DELETIONS[thing.kind]:
            database.run(statement, (thing.id,))
        holdings.drop(thing)
    live = [t for t in holdings.things if t.kind != "packed-layer" and not holdings.is_gone(t)]
    names = holdings.closure([*holdings.leased, *(root for thing in live for root in thing.roots)])
    snapshots = {text(row[0]) for row in database.rows("SELECT name FROM snapshots")}
    for name in snapshots - names:
        database.run("DELETE FROM snapshots WHERE name = ?", (name,))
    # Packed layers live as long as a snapshot with that content, whoever needs it.
    database.run(
        "DELETE FROM layer_forms WHERE diff_id NOT IN"
        " (SELECT diff_id FROM snapshots WHERE diff_id IS NOT NULL)"
    )
    database.run("DELETE FROM listing_users WHERE key NOT IN (SELECT key FROM records)")
    database.run("DELETE FROM listings WHERE content NOT IN (SELECT content FROM listing_users)")
    packed = {text(row[0]) for row in database.rows("SELECT digest FROM layer_forms")}
    return _Kept(
        snapshots & names,
        {name.partition(":")[2] for name in names | packed if ":" in name},
        {text(row[0]) for row in database.rows("SELECT id FROM containers")},
        {text(row[0]) for row in database.rows("SELECT identity FROM cache_mounts")},
    )


def _take_names(state: StateDir, kept: _Kept, chosen: Sequence[Thing]) -> list[Path]:
    trash: list[Path] = []

    def take(path: Path) -> None:
        place = state.scratch / state.new_name()
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, place)
            trash.append(place)

    for directory, keep in (
        (state.snapshots, kept.snapshots),
        (state.flat, kept.snapshots),
        (state.blobs, kept.blobs),
        (state.containers, kept.containers),
    ):
        for name in os.listdir(directory):
            if name not in keep:
                take(directory / name)
    for name in os.listdir(state.caches):
        if name not in kept.caches:
            with unused(state.caches / name) as is_free:
                if is_free:
                    take(state.caches / name)
    for thing in chosen:
        match thing.kind:
            case "log" | "failed-step" | "stat-cache":
                take(state.root / thing.path)
            case "partial":
                with locked_file(state.root / thing.path) as file:
                    if file is not None:
                        take(state.root / thing.path)
            case _:
                pass
    return trash
