"""`du`: what takes the room in the store."""

from __future__ import annotations

from typing import NamedTuple

from builder.engine.assemble import Engine
from builder.engine.space.policy import Policy, judge
from builder.solver.inputs import KeyInputs
from builder.store.holdings import KINDS, Holdings, Thing
from builder.store.inventory import Inventory
from builder.store.sizes import Sizes


class Use(NamedTuple):
    """One thing. Sizes in bytes; ``unique`` would be free if it alone went."""

    kind: str
    id: str
    text: str
    size: int
    unique: int
    created_at: float  # epoch seconds
    last_used: float

    @property
    def shared(self) -> int:
        """Bytes that others hold as well."""
        return self.size - self.unique


class KindUse(NamedTuple):
    """All things of one kind; what two kinds share counts for images, then for containers, then records."""

    kind: str
    things: int
    size: int
    reclaimable: int  # by `prune --all`


class Usage(NamedTuple):
    """``total`` is what the kinds' sizes add up to: the whole state directory."""

    kinds: tuple[KindUse, ...]
    total: int
    things: tuple[Use, ...] = ()


# Who is said to take what several hold.
_OWNERS = ("image", "container", "record")


def usage(engine: Engine, *, lists_things: bool = False) -> Usage:
    """Everything is measured anew: these are the numbers to check others by."""
    if not engine.state.lease.others():  # it would wait for them
        engine.database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    sizes = Sizes(engine.state, engine.database).measure(is_anew=True)
    holdings = Inventory(engine.state, engine.database, engine.content).take(sizes)
    total = sum(sizes.values())
    counted, owned = _by_kind(holdings)
    database = engine.state.database.name
    counted["database"] = sum(size for path, size in sizes.items() if path.startswith(database))
    counted["other"] = total - sum(counted.values())
    things = tuple(_uses(engine, holdings)) if lists_things else ()
    reclaimable: dict[str, int] = {}
    for verdict in judge(holdings, Policy(takes_shared=True), total):
        if verdict.is_removed:
            reclaimable[verdict.thing.kind] = reclaimable.get(verdict.thing.kind, 0) + verdict.size
    order = ("image", "container", "record", *(kind for kind in reversed(KINDS)), "database", "other")
    kinds = [
        KindUse(kind, owned.get(kind, 0), counted[kind], reclaimable.get(kind, 0))
        for kind in dict.fromkeys(order)
        if counted.get(kind) or owned.get(kind)
    ]
    return Usage(tuple(kinds), total, things)


def _by_kind(holdings: Holdings) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes, in which everything counts once, and numbers of things."""
    counted: dict[str, int] = {}
    owned: dict[str, int] = {}
    seen: set[str] = set()
    for thing in sorted(holdings.things, key=_rank):
        names = holdings.closure(thing.roots) - seen
        seen |= names
        size = holdings.sizes.get(thing.path, 0) + sum(holdings.nodes[name].size for name in names)
        counted[thing.kind] = counted.get(thing.kind, 0) + size
        owned[thing.kind] = owned.get(thing.kind, 0) + 1
    return counted, owned


def _rank(thing: Thing) -> int:
    return _OWNERS.index(thing.kind) if thing.kind in _OWNERS else len(_OWNERS)


def _uses(engine: Engine, holdings: Holdings) -> list[Use]:
    steps = step_names(engine)
    found = [
        Use(
            thing.kind, thing.id, thing.text or steps.get(thing.id, ""), holdings.size(thing),
            holdings.freed_by(thing), thing.created_at, holdings.last_used(thing),
        )
        for thing in holdings.things
    ]  # fmt: skip
    return sorted(found, key=lambda use: (-use.size, use.kind, use.id))


def step_names(engine: Engine) -> dict[str, str]:
    """By cache key, the name of the step that each record is of."""
    found = {}
    for key, inputs in engine.database.rows("SELECT key, inputs FROM records"):
        assert isinstance(inputs, bytes)
        known = KeyInputs.decode(inputs)
        if known is not None:
            found[str(key)] = known.name
    return found
