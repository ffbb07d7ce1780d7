"""Builds that want the same step at one time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.events import StepFinished, StepLog
from builder.core.job import Cancel, Job
from builder.solver.interface import Executed
from tests.support.toy_ops import Outcome, Toys

_PATIENCE_S = 20


class Broken(PybuildError):
    """A toy that fails."""

    kind = Kind.FAILED
    code = "toy-broken"


class FakeTurn:
    """See Turn."""

    def __init__(self, let_go: Callable[[], None]) -> None:
        self.close = let_go


class FakeTurns:
    """See Turns; ``is_wanted`` is set once somebody waits."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._holders: dict[Digest, str] = {}
        self.is_wanted = threading.Event()
        self.refused = 0

    def take(self, key: Digest, holder: str) -> FakeTurn | None:
        """See Turns."""
        with self._lock:
            if key in self._holders:
                self.refused += 1
                return None
            self._holders[key] = holder
        return FakeTurn(lambda: self._let_go(key))

    def _let_go(self, key: Digest) -> None:
        with self._lock:
            self._holders.pop(key, None)
            self._lock.notify_all()

    def holder(self, key: Digest) -> str:
        """See Turns."""
        return self._holders.get(key, "")

    def wait(self, key: Digest, cancel: Cancel) -> None:
        """See Turns."""
        self.is_wanted.set()
        with self._lock:
            assert self._lock.wait_for(lambda: key not in self._holders, _PATIENCE_S)

    @property
    def all_are_over(self) -> bool:
        """Whether nobody has a turn."""
        return not self._holders


def build(turns: FakeTurns, toys: Toys, run: Callable[[], int], *, ignores_cache: bool = False) -> Outcome:
    """A build of one step over a base."""

    def executed(job: Job, inputs: Sequence[int]) -> Executed[int]:
        return Executed((run(),))

    toys.turns = turns
    toys.begin()
    base = toys.source("base", 1)
    return toys.solve(toys.add("[2/2] RUN make", base, run=executed, ignores_cache=ignores_cache))


def beside(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def other_build(toys: Toys) -> Toys:
    """Another build with the same cache and results."""
    other = Toys(toys.cache)
    other.store = toys.store
    return other


def test_a_step_in_flight_runs_once() -> None:
    """Who comes second waits, says for whom, and takes the result from the cache."""
    turns, first = FakeTurns(), Toys()
    second = other_build(first)
    is_running = threading.Event()
    outcomes: list[Outcome] = []

    def slowly() -> int:
        is_running.set()
        assert turns.is_wanted.wait(_PATIENCE_S)
        return 7

    thread = beside(lambda: outcomes.append(build(turns, first, slowly)))
    assert is_running.wait(_PATIENCE_S)
    outcome = build(turns, second, lambda: 0)
    thread.join()

    assert [outcomes[0].result, outcome.result] == [7, 7]
    assert outcome.executed == []
    said = [event.data for event in outcome.events if isinstance(event, StepLog)]
    assert len(said) == 1
    assert said[0].startswith(b"waiting for another build's RUN make, pid ")
    assert [e.is_cached for e in outcome.events if isinstance(e, StepFinished)] == [True, True]
    assert turns.all_are_over


def test_who_waited_runs_it_if_the_other_failed() -> None:
    """A failure is not shared: the other build may have been stopped."""
    turns, first = FakeTurns(), Toys()
    second = other_build(first)
    is_running = threading.Event()
    failures: list[PybuildError] = []

    def failing() -> int:
        is_running.set()
        assert turns.is_wanted.wait(_PATIENCE_S)
        raise Broken("broken")

    def first_build() -> None:
        try:
            build(turns, first, failing)
        except Broken as error:
            failures.append(error)

    thread = beside(first_build)
    assert is_running.wait(_PATIENCE_S)
    outcome = build(turns, second, lambda: 5)
    thread.join()

    assert len(failures) == 1
    assert outcome.result == 5
    assert outcome.executed == ["[2/2] RUN make"]
    assert turns.all_are_over


def test_waiting_keeps_no_other_step_from_running() -> None:
    """With one slot, the step that is not in flight elsewhere runs while the other one waits."""
    turns, toys = FakeTurns(), Toys(parallelism=1)
    other = other_build(toys)
    is_running, is_other_done = threading.Event(), threading.Event()

    def until_the_sibling_ran() -> int:
        is_running.set()
        assert is_other_done.wait(_PATIENCE_S)
        return 1

    def sibling(job: Job, inputs: Sequence[int]) -> Executed[int]:
        assert turns.refused == 1, "the other step was to be tried first"
        is_other_done.set()
        return Executed((10,))

    thread = beside(lambda: build(turns, other, until_the_sibling_ran))
    assert is_running.wait(_PATIENCE_S)
    toys.turns = turns
    toys.begin()
    base = toys.source("base", 1)
    awaited = toys.add("[2/2] RUN make", base)
    later = toys.add("sibling", toys.add("below", base), run=sibling)
    outcome = toys.solve(toys.add("top", later, awaited))
    thread.join()

    assert outcome.result == 1 + 10
    assert outcome.executed == ["below", "sibling", "top"]


def test_without_cache_nobody_is_waited_for() -> None:
    """``--no-cache`` means: run it."""
    turns, first = FakeTurns(), Toys()
    second = other_build(first)
    outcomes: list[Outcome] = []

    def nested() -> int:
        outcomes.append(build(turns, second, lambda: 2, ignores_cache=True))
        return 1

    build(turns, first, nested)

    assert [outcomes[0].result] == [2]
    assert not turns.is_wanted.is_set()
