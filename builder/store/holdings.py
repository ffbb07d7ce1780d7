"""What is in the store and why: things that may go, and the trees and blobs that each of them holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# In which order they go where all else is equal: first what no build is faster for, of what can be given up.
KINDS = (
    "partial", "failed-step", "log", "packed-layer", "image", "build", "record", "cache-mount", "stat-cache",
    "container",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something that a user can name and that can go by itself. Times in epoch seconds."""

    kind: str  # one of KINDS
    id: str
    text: str  # for people
    created_at: float
    used_at: float
    roots: tuple[str, ...] = ()  # snapshots and blobs
    path: str = ""  # what is its own, below the state directory; its size counts
    pinned: str = ""  # why it cannot go; "" if it can
    content: str = ""  # of a packed layer: the diff ID that it is of


@dataclass(frozen=True, slots=True)
class Node:
    """A snapshot or a blob: what it needs, and its own bytes."""

    needs: tuple[str, ...]
    size: int
    diff_id: str = ""


@dataclass(slots=True)
class _Fall:
    """What goes with one thing: how many users and contents fewer there are then, by name."""

    freed: int = 0
    users: Counter[str] = field(default_factory=Counter)
    contents: Counter[str] = field(default_factory=Counter)
    things: set[tuple[str, str]] = field(default_factory=set)


@dataclass(slots=True)
class Holdings:
    """Things and what they hold; ``drop`` takes one away, in thought.

    ``leased`` are snapshots and blobs that running commands hold. ``used_at`` of a thing is as it was
    recorded, ``last_used`` counts the uses of what is built on it as well.
    """

    things: Sequence[Thing]
    nodes: Mapping[str, Node]
    leased: frozenset[str]
    sizes: Mapping[str, int]
    _users: Counter[str] = field(default_factory=Counter)
    _contents: Counter[str] = field(default_factory=Counter)  # live snapshots by diff ID
    _packed: dict[str, list[Thing]] = field(default_factory=dict)
    _last_used: dict[str, float] = field(default_factory=dict)
    _gone: set[tuple[str, str]] = field(default_factory=set)
    _depths: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for thing in sorted(self.things, key=lambda thing: -thing.used_at):
            for name in self._reached(thing.roots, seen):
                self._last_used[name] = thing.used_at
            if thing.kind == "packed-layer":
                self._packed.setdefault(thing.content, []).append(thing)
        roots = [root for thing in self.things for root in thing.roots]
        live = self._reached([*roots, *self.leased], set())
        self._users.update(roots)
        self._users.update(self.leased)
        for name in live:
            self._users.update(self.nodes[name].needs)
            if self.nodes[name].diff_id:
                self._contents[self.nodes[name].diff_id] += 1

    def last_used(self, thing: Thing) -> float:
        """Epoch seconds: when it, or something that is built on it, was used."""
        return max(
            [thing.used_at, *(self._last_used[root] for root in thing.roots if root in self._last_used)]
        )

    def depth(self, thing: Thing) -> int:
        """Over how many others its trees lie: who goes before those frees nothing yet."""
        return max((self._depth(root) for root in thing.roots), default=0)

    def _depth(self, name: str) -> int:
        pending = [name]
        while pending:
            below = [each for each in self._needs(pending[-1]) if each not in self._depths]
            if below:
                pending += below
            else:
                top = pending.pop()
                self._depths[top] = 1 + max((self._depths[each] for each in self._needs(top)), default=0)
        return self._depths[name]

    def _needs(self, name: str) -> tuple[str, ...]:
        node = self.nodes.get(name)
        return node.needs if node is not None else ()

    def closure(self, names: Iterable[str]) -> set[str]:
        """These, as far as they are there, and all that they need."""
        return set(self._reached(names, set()))

    def size(self, thing: Thing) -> int:
        """Bytes on disk of all that it holds, shared or not."""
        return self.sizes.get(thing.path, 0) + sum(self.nodes[n].size for n in self.closure(thing.roots))

    def freed_by(self, thing: Thing) -> int:
        """Bytes that would be free if it alone went."""
        return self._fall(thing).freed

    def drop(self, thing: Thing) -> int:
        """It goes, and whatever nothing else holds; bytes that are free then."""
        fall = self._fall(thing)
        self._users.subtract(fall.users)
        self._contents.subtract(fall.contents)
        self._gone |= fall.things
        return fall.freed

    def _fall(self, thing: Thing) -> _Fall:
        fall = _Fall()
        things, names = [thing], list[str]()
        while things or names:
            if not names:
                falling = things.pop()
                if (falling.kind, falling.id) not in self._gone and (
                    falling.kind,
                    falling.id,
                ) not in fall.things:
                    fall.things.add((falling.kind, falling.id))
                    fall.freed += self.sizes.get(falling.path, 0)
                    names += falling.roots
                continue
            name = names.pop()
            fall.users[name] += 1
            node = self.nodes.get(name)
            if self._users[name] > fall.users[name] or node is None:
                continue
            fall.freed += node.size
            names += node.needs
            if node.diff_id:
                fall.contents[node.diff_id] += 1
                if self._contents[node.diff_id] == fall.contents[node.diff_id]:
                    things += self._packed.get(node.diff_id, ())
        return fall

    def is_gone(self, thing: Thing) -> bool:
        """Whether it was dropped, or went with what was."""
        return (thing.kind, thing.id) in self._gone

    def unheld(self) -> int:
        """Bytes of snapshots and blobs that nothing holds: left-overs, which any collection takes."""
        return sum(node.size for name, node in self.nodes.items() if not self._users[name])

    def _reached(self, names: Iterable[str], seen: set[str]) -> list[str]:
        """Those that are not in ``seen``, and are then."""
        found: list[str] = []
        pending = list(names)
        while pending:
            name = pending.pop()
            if name in self.nodes and name not in seen:
                seen.add(name)
                found.append(name)
                pending += self.nodes[name].needs
        return found
