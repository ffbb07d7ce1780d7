"""Which things of the store may go, in which order, and why the others stay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from builder.core.suggest import closest
from builder.engine.filters import InvalidFilter
from builder.store.holdings import KINDS, Holdings, Thing

# BuildKit's names for what there is here, in filters.
_ALIASES = {"regular": "record", "exec.cachemount": "cache-mount"}
# Not without --all: what a build is not faster for, but people may still want to look at.
_ONLY_WITH_ALL = frozenset({"build", "stat-cache"})
_FILTERS = ("id", "type", "until", "unused-for")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may go; ``keep`` bytes may stay, the last used first."""

    takes_shared: bool = False  # also records whose results images use, builds, and the stat cache
    keep: int | None = None
    keep_text: str = ""  # as the user wrote it
    unused_s: float = 0.0  # nothing that was used later than so many seconds ago
    kinds: frozenset[str] = frozenset(KINDS)
    ids: tuple[str, ...] = ()  # beginnings; () is all


class Verdict(NamedTuple):
    """One thing that goes, or stays for ``reason``."""

    thing: Thing
    is_removed: bool
    reason: str
    size: int  # bytes that are free by it, or that it holds; 0 if nobody asked for the latter


def read_filters(filters: list[str], *, now: float) -> Policy:
    """``NAME=VALUE``; several ids or types are any of them. Raises InvalidFilter."""
    from builder.core.durations import parse_span

    kinds: set[str] = set()
    ids: list[str] = []
    unused_s = 0.0
    for text in filters:
        name, equals, value = text.partition("=")
        value = value.removeprefix("=")  # BuildKit writes type==regular
        if name not in _FILTERS or not equals or not value:
            near = closest(name, _FILTERS)
            raise InvalidFilter(
                f'--filter "{text}" means nothing here',
                hint=f'did you mean "{near}"?' if near else f"there are {', '.join(_FILTERS)}",
            )
        match name:
            case "id":
                ids.append(value)
            case "type":
                kind = _ALIASES.get(value, value)
                if kind not in KINDS:
                    raise InvalidFilter(
                        f'there is no type "{value}"',
                        hint=f"there are {', '.join(KINDS)}",
                    )
                kinds.add(kind)
            case _:
                seconds = parse_span(value)
                if seconds is None:
                    seconds = _since(value, now)
                unused_s = max(unused_s, seconds)
    return Policy(unused_s=unused_s, kinds=frozenset(kinds or KINDS), ids=tuple(ids))


def _since(text: str, now: float) -> float:
    import datetime

    try:
        at = float(text) if text.isdigit() else datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidFilter(
            f'"{text}" is neither a span of time nor a date', hint="write 24h, 7d, or 2026-01-31T12:00:00"
        ) from None
    return max(0.0, now - at)


def judge(holdings: Holdings, policy: Policy, total: int, *, sizes_kept: bool = False) -> list[Verdict]:
    """All things, in the order in which they are looked at; what goes is dropped from ``holdings``.

    ``total`` is the size of the whole store. ``sizes_kept``: say of what stays how much it holds.
    """

    def kept(thing: Thing, reason: str) -> Verdict:
        return Verdict(thing, False, reason, holdings.size(thing) if sizes_kept else 0)

    users = _Users(holdings)
    verdicts: list[Verdict] = []
    candidates: list[tuple[tuple[float, int, int, str], Thing]] = []
    now = time.time()
    for thing in holdings.things:
        reason = _why_it_stays(thing, policy, users, holdings, now)
        if reason:
            verdicts.append(kept(thing, reason))
        else:
            # Of a chain the top first: what is below it is held by it.
            order = (holdings.last_used(thing), KINDS.index(thing.kind), -holdings.depth(thing), thing.id)
            candidates.append((order, thing))
    total -= holdings.unheld()
    for _, thing in sorted(candidates):
        if policy.keep is not None and total <= policy.keep and not holdings.is_gone(thing):
            verdicts.append(kept(thing, f"within {policy.keep_text}"))
            continue
        freed = holdings.drop(thing)
        total -= freed
        verdicts.append(Verdict(thing, True, "", freed))
    return verdicts


def _why_it_stays(thing: Thing, policy: Policy, users: _Users, holdings: Holdings, now: float) -> str:
    if thing.kind not in policy.kinds:
        return "of another type"
    if policy.ids and not any(thing.id.startswith(id) for id in policy.ids):
        return "of another id"
    if thing.pinned:
        return thing.pinned
    age = now - holdings.last_used(thing)
    if age < policy.unused_s:
        return "younger than until"
    if thing.kind in _ONLY_WITH_ALL and not policy.takes_shared and len(policy.kinds) > 1:
        return "--all takes it"
    return users.of(thing, takes_shared=policy.takes_shared)


class _Users:
    """Who else needs what a thing holds."""

    def __init__(self, holdings: Holdings) -> None:
        self._leased = holdings.closure(holdings.leased)
        self._images: dict[str, str] = {}
        self._containers: dict[str, str] = {}
        self._contents: dict[str, str] = {}
        for thing in holdings.things:
            if thing.kind == "image" and thing.pinned:
                for name in holdings.closure(thing.roots):
                    self._images.setdefault(name, thing.text)
                    self._contents.setdefault(holdings.nodes[name].diff_id, thing.text)
            elif thing.kind == "container":
                for name in holdings.closure(thing.roots):
                    self._containers.setdefault(name, thing.text)

    def of(self, thing: Thing, *, takes_shared: bool) -> str:
        """The reason for which it stays; "" if it need not."""
        match thing.kind:
            case "record":
                roots = thing.roots
                if any(root in self._leased for root in roots):
                    return "a running command uses it"
                if takes_shared:
                    return ""
                return next(self._named(roots, self._images, "image"), "") or next(
                    self._named(roots, self._containers, "container"), ""
                )
            case "image":
                return next(self._named((thing.id,), self._containers, "container"), "")
            case "packed-layer" if thing.roots[0] in self._leased:
                return "a running command uses it"
            case "packed-layer" if not takes_shared and thing.content in self._contents:
                return f'image "{self._contents[thing.content]}" was pushed or saved with it'
            case _:
                return ""

    def _named(self, roots: tuple[str, ...], users: dict[str, str], what: str) -> Iterator[str]:
        return (f'{what} "{users[root]}" uses it' for root in roots if root in users)
