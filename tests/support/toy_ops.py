"""Operations on integers, which count their calls: the solver is generic, so they are all that it needs.

A toy adds up what it reads and its own ``plus``. By ``content`` it reads only the tens of an input, and its
slow key is of the tens alone, as COPY reads one path of a tree.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from builder.cache.interface import CacheBackend
from builder.cache.memory import MemoryCache
from builder.core.canonical import digest_of
from builder.core.digest import Digest
from builder.core.events import Event
from builder.core.job import Job
from builder.core.location import Location
from builder.llb.definition import Definition, DefinitionBuilder, Edge, Vertex, merged
from builder.llb.ops import ExecOp
from builder.solver.interface import CacheMap, Dep, Executed, Turns
from builder.solver.solver import Solver

Run = Callable[[Job, Sequence[int]], Executed[int]]


class ToyStore:
    """Results by id; ``lose`` prunes them."""

    def __init__(self) -> None:
        self._results: dict[str, tuple[int, ...]] = {}
        self._lock = threading.Lock()

    def save(self, results: Sequence[int]) -> str:
        """See ResultStore."""
        with self._lock:
            name = f"result-{len(self._results)}"
            self._results[name] = tuple(results)
        return name

    def load(self, result_id: str) -> Sequence[int] | None:
        """See ResultStore."""
        found = self._results[result_id]
        return found or None

    def lose(self, is_lost: Callable[[int], bool] = lambda number: True) -> None:
        """Prune results, by their number in order of saving; ids are not used again."""
        for number, name in enumerate(self._results):
            if is_lost(number):
                self._results[name] = ()


class Toy(NamedTuple):
    """How one vertex behaves."""

    name: str
    plus: int
    content: Collection[int]  # the inputs that count by content
    outputs: int
    source_key: Digest | None
    is_source: bool
    run: Run | None


class Outcome(NamedTuple):
    """What one solve did."""

    result: int | None
    executed: list[str]
    slow_keys: list[str]  # "user<-input"
    events: list[Event]


class Events:
    """Keeps events in order."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def emit(self, event: Event) -> None:
        """See Progress."""
        self.seen.append(event)


class Toys:
    """A resolver of toys, with a cache and a result store that outlive a solve."""

    def __init__(self, cache: CacheBackend | None = None, *, parallelism: int = 4) -> None:
        self.cache = cache or MemoryCache()
        self.store = ToyStore()
        self.parallelism = parallelism
        self.turns: Turns | None = None
        self.executed: list[str] = []
        self.slow_keys: list[str] = []
        self.pins: dict[str, Callable[[], int]] = {}  # by name: steps whose key takes a look outside
        self._toys: dict[Digest, Toy] = {}
        self._names: dict[Digest, list[str]] = {}
        self._builder = DefinitionBuilder()

    def begin(self) -> None:
        """A new definition; cache and results stay."""
        self._builder = DefinitionBuilder()

    def add(
        self,
        name: str,
        *inputs: Edge,
        plus: int = 0,
        content: Collection[int] = (),
        outputs: int = 1,
        output: int = 0,
        ignores_cache: bool = False,
        location: Location | None = None,
        run: Run | None = None,
    ) -> Edge:
        """A step; ``plus`` is part of its identity and ``run``, which replaces adding up, is not."""
        op = ExecOp(args=(name, str(plus), *map(str, content)))
        vertex = Vertex(op=op, inputs=inputs, name=name, ignores_cache=ignores_cache, location=location)
        edge = self._builder.add(vertex, output)
        self._toys[edge.vertex] = Toy(name, plus, frozenset(content), outputs, None, False, run)
        self._names[edge.vertex] = [self._toys[e.vertex].name for e in inputs]
        return edge

    def source(
        self,
        name: str,
        value: int,
        *,
        is_keyed: bool = True,
        run: Run | None = None,
        location: Location | None = None,
    ) -> Edge:
        """Something from outside. The key of one that has a key is of ``value``, its vertex is not."""
        edge = self._builder.add(Vertex(op=ExecOp(args=("source", name)), name=name, location=location))
        key = digest_of((name, value)) if is_keyed else None
        self._toys[edge.vertex] = Toy(name, value, (), 1, key, True, run)
        self._names[edge.vertex] = []
        return edge

    def definition(self, target: Edge | None) -> Definition:
        """What was added since ``begin``, as far as ``target`` needs it."""
        return self._builder.build(target)

    def solve(self, target: Edge | None, job: Job | None = None) -> Outcome:
        """Solve, and say what that took."""
        self.executed, self.slow_keys = [], []
        events = Events()
        job = job or Job("test", progress=events)
        solver = Solver[int](self, self.cache, self.store, parallelism=self.parallelism, turns=self.turns)
        result = solver.solve(self.definition(target), job)
        return Outcome(result, sorted(self.executed), sorted(self.slow_keys), events.seen)

    def solve_all(self, *targets: Edge | None) -> list[int | None]:
        """Several targets of one graph; ``executed`` has what ran."""
        self.executed = []
        graph = merged(self.definition(target) for target in targets)
        solver = Solver[int](self, self.cache, self.store, parallelism=self.parallelism)
        return solver.solve_all(graph, targets, Job("test"))

    def resolve(self, digest: Digest, vertex: Vertex) -> ToyOp:
        """See Resolver."""
        return ToyOp(self._toys[digest], self._names[digest], self)


class ToyOp:
    """See Op."""

    def __init__(self, toy: Toy, input_names: Sequence[str], log: Toys) -> None:
        self._toy = toy
        self._input_names = input_names
        self._log = log
        self._lock = threading.Lock()

    def cache_map(self, job: Job) -> CacheMap[int]:
        """See Op."""
        toy = self._toy
        if toy.is_source:
            return CacheMap(toy.source_key, is_source=True)
        deps = tuple(
            Dep(self._content_of(index), "tens") if index in toy.content else Dep()
            for index in range(len(self._input_names))
        )
        digest = digest_of((toy.name, toy.plus, tuple(sorted(toy.content))))
        pin = self._log.pins.get(toy.name)
        if pin is not None:
            return CacheMap(None, deps, pin=lambda: digest_of((digest, pin())))
        return CacheMap(digest, deps)

    def execute(self, job: Job, inputs: Sequence[int]) -> Executed[int]:
        """See Op."""
        toy = self._toy
        if not toy.is_source:
            self._log.executed.append(toy.name)
        if toy.run is not None:
            return toy.run(job, inputs)
        total = toy.plus + sum(
            tens(value) if index in toy.content else value for index, value in enumerate(inputs)
        )
        return Executed(tuple(total + output for output in range(toy.outputs)))

    def _content_of(self, index: int) -> Callable[[int], Digest]:
        def compute(value: int) -> Digest:
            self._log.slow_keys.append(f"{self._toy.name}<-{self._input_names[index]}")
            return tens_digest(value)

        return compute


def tens(value: int) -> int:
    """The part of a value that is read by content."""
    return value // 10 * 10


def tens_digest(value: int) -> Digest:
    """The slow key."""
    return digest_of(("tens", tens(value)))
