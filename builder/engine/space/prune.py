"""`prune`: what nobody needs goes, and of the rest it is said why it stays."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from builder.engine.assemble import Engine
from builder.engine.space.policy import Policy, Verdict, judge
from builder.store.database import StoreFailed
from builder.store.gc import collect
from builder.store.holdings import Holdings, Thing
from builder.store.inventory import Inventory
from builder.store.sizes import Sizes


class Pruned(NamedTuple):
    """``before`` and ``after`` are the bytes of the whole store; of a dry run, as it would be."""

    verdicts: tuple[Verdict, ...]
    before: int
    after: int

    @property
    def freed(self) -> int:
        """Bytes that things gave back; left-overs of killed commands come on top in ``before - after``."""
        return sum(verdict.size for verdict in self.verdicts if verdict.is_removed)


def prune(
    engine: Engine,
    policy: Policy,
    *,
    is_dry: bool = False,
    counts_own: bool = False,
    sizes_kept: bool = False,
) -> Pruned:
    """``counts_own``: a build of this command has begun, and what it holds stays."""
    measured = Sizes(engine.state, engine.database)
    sizes = measured.measure()
    before = sum(sizes.values())
    verdicts: list[Verdict] = []
    if is_dry:
        holdings = Inventory(engine.state, engine.database, engine.content).take(sizes, counts_own=counts_own)
        verdicts = judge(holdings, policy, before, sizes_kept=sizes_kept)
        freed = sum(verdict.size for verdict in verdicts if verdict.is_removed)
        return Pruned(tuple(verdicts), before, before - freed - holdings.unheld())

    def choose(holdings: Holdings) -> Sequence[Thing]:
        verdicts[:] = judge(holdings, policy, before, sizes_kept=sizes_kept)
        return [verdict.thing for verdict in verdicts if verdict.is_removed]

    engine.turns.sweep()
    collect(engine.state, engine.database, engine.content, choose=choose, sizes=sizes, counts_own=counts_own)
    if policy.takes_shared:
        _forget_memos(engine)
    _compact(engine)
    return Pruned(tuple(verdicts), before, sum(measured.measure().values()))


def _forget_memos(engine: Engine) -> None:
    """Contents of what has no record any more, and parses: no part of a key, and all to be had again."""
    engine.database.run("DELETE FROM contents WHERE source NOT IN (SELECT key FROM records)")
    engine.database.run("DELETE FROM parses")


def _compact(engine: Engine) -> None:
    """Give back what deleted rows took, if that is worth it and nobody is in the way."""
    if engine.state.lease.others():
        return
    # Both write before they give back; on a full disk what is free by now is for others to use.
    with contextlib.suppress(StoreFailed):
        (free,) = engine.database.rows("PRAGMA freelist_count")[0]
        (pages,) = engine.database.rows("PRAGMA page_count")[0]
        assert isinstance(free, int)
        assert isinstance(pages, int)
        if free * 4 > pages:
            engine.database.run("VACUUM")
        engine.database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
