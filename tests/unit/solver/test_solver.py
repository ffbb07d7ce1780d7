"""The solver, with integers: what runs, what does not, and what people are told."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.core.digest import Digest
from builder.core.errors import Cancelled, Kind, PybuildError
from builder.core.events import StepFinished, StepQueued, StepStarted
from builder.core.job import Job
from builder.core.location import Location
from builder.llb.definition import Edge
from builder.solver.graph import as_networkx
from builder.solver.interface import Executed
from tests.support.toy_ops import Events, Toys, tens, tens_digest


class Failed(PybuildError):
    """A toy that fails."""

    kind = Kind.FAILED
    code = "toy-failed"


@pytest.fixture
def toys() -> Toys:
    return Toys()


def diamond(toys: Toys, *, left: int, right: int) -> Edge:
    toys.begin()
    base = toys.source("base", 1)
    return toys.add("top", toys.add("left", base, plus=left), toys.add("right", base, plus=right))


def constantly(value: int) -> Executed[int]:
    return Executed((value,))


# -- hits and misses -----------------------------------------------------------------------------------------


def test_everything_runs_once(toys: Toys) -> None:
    """A cold build runs every step, and one that two others read runs once."""
    toys.begin()
    shared = toys.add("shared", toys.source("base", 1))
    top = toys.add("top", toys.add("left", shared, plus=1), toys.add("right", shared, plus=2), shared)
    outcome = toys.solve(top)

    assert outcome.executed == ["left", "right", "shared", "top"]
    assert outcome.result == (1 + 1) + (1 + 2) + 1


def test_several_targets_share_their_steps(toys: Toys) -> None:
    """Each has its result, in their order; what both need runs once, and a target may be below another."""
    toys.begin()
    shared = toys.add("shared", toys.source("base", 1))
    one, two = toys.add("one", shared, plus=10), toys.add("two", shared, plus=20)

    assert toys.solve_all(two, None, one, shared, one) == [21, None, 11, 1, 11]
    assert sorted(toys.executed) == ["one", "shared", "two"]
    assert toys.solve_all(one, two) == [11, 21]
    assert toys.executed == []
    assert toys.solve_all(None) == [None]


def test_second_build_runs_nothing(toys: Toys) -> None:
    """Nothing runs when nothing changed, and the result is the same."""
    first = toys.solve(diamond(toys, left=1, right=2))
    second = toys.solve(diamond(toys, left=1, right=2))

    assert second.executed == []
    assert second.result == first.result


def test_changed_step_invalidates_only_what_is_above_it(toys: Toys) -> None:
    """A changed step re-runs itself and its users, and nothing beside them."""
    toys.solve(diamond(toys, left=1, right=2))
    outcome = toys.solve(diamond(toys, left=1, right=3))

    assert outcome.executed == ["right", "top"]


def test_changed_source_invalidates_everything(toys: Toys) -> None:
    """Whatever is built on a source has its key in its own."""
    toys.solve(toys.add("step", toys.source("base", 1)))
    toys.begin()
    outcome = toys.solve(toys.add("step", toys.source("base", 2)))

    assert outcome.executed == ["step"]
    assert outcome.result == 2


def test_back_to_an_old_state_is_a_hit(toys: Toys) -> None:
    """Undoing a change finds the records of before."""
    for right in (2, 3):
        toys.solve(diamond(toys, left=1, right=right))

    assert toys.solve(diamond(toys, left=1, right=2)).executed == []


def test_inputs_of_a_hit_are_not_needed(toys: Toys) -> None:
    """A hit is answered by its record alone: inputs that are gone stay gone."""
    toys.begin()
    below = toys.add("below", toys.source("base", 1))
    toys.solve(toys.add("top", below))
    toys.store.lose(lambda number: number == 0)
    outcome = toys.solve(toys.add("top", below))

    assert outcome.executed == []
    assert outcome.result == 1


def test_source_below_a_hit_is_not_executed(toys: Toys) -> None:
    """A base image below a hit is neither fetched nor looked at."""
    toys.begin()
    top = toys.add("top", toys.source("base", 1))
    toys.solve(top)

    def never(job: Job, inputs: Sequence[int]) -> Executed[int]:
        raise Failed("the source was executed")

    toys.begin()
    outcome = toys.solve(toys.add("top", toys.source("base", 1, run=never)))

    assert outcome.result == 1


def test_pruned_result_is_a_miss(toys: Toys) -> None:
    """A record whose result is gone runs again, with as little as that takes, and is good afterwards."""
    toys.begin()
    top = toys.add("top", toys.add("below", toys.source("base", 1)))
    toys.solve(top)
    toys.store.lose(lambda number: number == 1)

    assert toys.solve(top).executed == ["top"]
    assert toys.solve(top).executed == []


def test_everything_pruned(toys: Toys) -> None:
    """Records without any result are as good as none."""
    toys.solve(diamond(toys, left=1, right=2))
    toys.store.lose()

    assert toys.solve(diamond(toys, left=1, right=2)).executed == ["left", "right", "top"]


def test_ignoring_the_cache_runs_it_and_saves(toys: Toys) -> None:
    """--no-cache runs a step that has a record, and the new result is what the next build finds."""
    base = toys.source("base", 1)
    toys.solve(toys.add("step", base))
    toys.begin()
    base = toys.source("base", 1)
    again = toys.solve(toys.add("step", base, ignores_cache=True, run=lambda job, inputs: constantly(77)))
    toys.begin()
    last = toys.solve(toys.add("step", toys.source("base", 1)))

    assert again.executed == ["step"]
    assert last.executed == []
    assert last.result == 77


def test_scratch_has_no_result(toys: Toys) -> None:
    """A definition without a target is the empty image."""
    assert toys.solve(None) == (None, [], [], [])


def test_outputs_are_kept_apart(toys: Toys) -> None:
    """Users of two outputs of one step have keys and results of their own."""
    toys.begin()
    edge = toys.add("two", toys.source("base", 5), outputs=2)
    second = toys.add("two", toys.source("base", 5), outputs=2, output=1)
    top = toys.add("top", toys.add("reader", edge), toys.add("reader", second))
    outcome = toys.solve(top)

    assert outcome.executed == ["reader", "reader", "top", "two"]
    assert outcome.result == 5 + 6
    assert toys.solve(top).executed == []
    assert toys.solve(second).result == 6


def test_content_of_outputs_is_kept_apart(toys: Toys) -> None:
    """What is remembered of one output's content says nothing of the other's."""
    toys.begin()
    base = toys.source("base", 9)
    first = toys.add("two", base, outputs=2)
    second = toys.add("two", base, outputs=2, output=1)
    top = toys.add("top", toys.add("reader", first, content=[0]), toys.add("reader", second, content=[0]))
    toys.solve(top)
    toys.store.lose(lambda number: number == 3)
    outcome = toys.solve(top)

    assert outcome.executed == ["top"]
    assert outcome.result == tens(9) + tens(10)


# -- content keys --------------------------------------------------------------------------------------------


def copying(toys: Toys, value: int, *, is_keyed: bool = True) -> Edge:
    toys.begin()
    context = toys.source("context", value, is_keyed=is_keyed)
    return toys.add("run", toys.add("copy", context, content=[0]))


def test_unchanged_content_is_a_hit(toys: Toys) -> None:
    """A source that changed beside what is copied re-runs nothing."""
    toys.solve(copying(toys, 11, is_keyed=False))
    outcome = toys.solve(copying(toys, 12, is_keyed=False))

    assert outcome.executed == []
    assert outcome.slow_keys == ["copy<-context"]


def test_changed_content_is_a_miss(toys: Toys) -> None:
    """A source that changed in what is copied re-runs the copy and what is above it."""
    toys.solve(copying(toys, 11, is_keyed=False))
    outcome = toys.solve(copying(toys, 21, is_keyed=False))

    assert outcome.executed == ["copy", "run"]
    assert outcome.result == 20


def test_memo_answers_for_the_content(toys: Toys) -> None:
    """The content of a result whose key is known is computed once, not once a build."""
    first = toys.solve(copying(toys, 11))
    second = toys.solve(copying(toys, 11))

    assert first.slow_keys == ["copy<-context"]
    assert second.slow_keys == []
    assert second.executed == []


def test_same_content_by_another_way_is_a_hit(toys: Toys) -> None:
    """A stage that runs again and makes the same keeps those who copy from it cached."""

    def stages(plus: int) -> Edge:
        toys.begin()
        stage = toys.add("stage", toys.source("base", 10), plus=plus)
        return toys.add("after", toys.add("copy", stage, content=[0]))

    toys.solve(stages(1))
    outcome = toys.solve(stages(2))

    assert outcome.executed == ["stage"]
    assert outcome.slow_keys == ["copy<-stage"]
    assert toys.solve(stages(2)).executed == []


def test_copied_stage_is_not_needed_on_a_hit(toys: Toys) -> None:
    """With the memo a copy is a hit though the stage that it copies from is gone."""

    def stages() -> Edge:
        toys.begin()
        return toys.add("copy", toys.add("stage", toys.source("base", 10)), content=[0])

    toys.solve(stages())
    toys.store.lose(lambda number: number == 0)

    assert toys.solve(stages()).executed == []


def test_memo_falls_when_its_source_runs_again(toys: Toys) -> None:
    """A step is never filed under the content that its input had in an earlier life.

    The stage makes something else every time it runs. Its record and the copy's are pruned, its memo is not:
    the copy of the second result must have the key of the second content.
    """
    values = iter((10, 20, 10))

    def stages() -> Edge:
        toys.begin()
        stage = toys.add("stage", toys.source("base", 0), run=lambda job, inputs: constantly(next(values)))
        return toys.add("after", toys.add("copy", stage, content=[0]))

    assert toys.solve(stages()).result == 10
    toys.store.lose()
    second = toys.solve(stages())
    toys.store.lose(lambda number: number < 4)

    assert second.result == 20
    assert second.executed == ["after", "copy", "stage"]
    assert second.slow_keys == ["copy<-stage"]

    other = toys.source("other", 10)
    third = toys.solve(toys.add("after", toys.add("copy", other, content=[0])))

    assert third.result == 10, "the second run was filed under the first one's content"


def test_other_memos_of_a_source_fall_too(toys: Toys) -> None:
    """Content that nobody asked for while the source ran again is not what it was."""
    values = iter((10, 20))

    def stage() -> Edge:
        toys.begin()
        return toys.add(
            "stage",
            toys.source("base", 0),
            ignores_cache=True,
            run=lambda job, inputs: constantly(next(values)),
        )

    toys.solve(toys.add("copy", stage(), content=[0]))
    toys.solve(stage())
    toys.begin()
    plain = toys.add("stage", toys.source("base", 0))
    outcome = toys.solve(toys.add("copy", plain, content=[0]))

    assert outcome.result == 20


def test_ignored_stage_runs_though_it_has_a_memo(toys: Toys) -> None:
    """A stage whose cache is ignored is copied from as it is now."""

    def stages(value: int) -> Edge:
        toys.begin()
        stage = toys.add(
            "stage", toys.source("base", 0), ignores_cache=True, run=lambda job, inputs: constantly(value)
        )
        return toys.add("copy", stage, content=[0])

    toys.solve(stages(10))
    outcome = toys.solve(stages(20))

    assert outcome.executed == ["copy", "stage"]
    assert outcome.result == 20


def test_step_gets_the_key_of_what_it_read(toys: Toys) -> None:
    """Files that change between hash and copy: the result is filed under what was copied."""

    def changed(job: Job, inputs: Sequence[int]) -> Executed[int]:
        return Executed((20,), {0: tens_digest(20)})

    toys.begin()
    copy = toys.add("copy", toys.source("context", 11, is_keyed=False), content=[0], run=changed)
    toys.solve(toys.add("run", copy))

    assert toys.solve(copying(toys, 21, is_keyed=False)).executed == []
    assert toys.solve(copying(toys, 21, is_keyed=False)).result == 20
    old = toys.solve(copying(toys, 11, is_keyed=False))
    assert old.executed == ["copy", "run"]
    assert old.result == 10


def test_users_of_a_rekeyed_step_are_looked_up_again(toys: Toys) -> None:
    """A step that turns out to have read an earlier state leads to that state's records."""
    toys.solve(copying(toys, 21, is_keyed=False))

    def changed(job: Job, inputs: Sequence[int]) -> Executed[int]:
        return Executed((20,), {0: tens_digest(20)})

    toys.begin()
    copy = toys.add("copy", toys.source("context", 11, is_keyed=False), content=[0], run=changed)
    outcome = toys.solve(toys.add("run", copy))

    assert outcome.executed == ["copy"]
    assert outcome.result == 20


def test_an_input_without_a_key_must_be_read_by_content(toys: Toys) -> None:
    """A plain user of a keyless source is a bug that is reported, not a build that hangs."""
    step = toys.add("step", toys.source("context", 1, is_keyed=False))
    with pytest.raises(AssertionError):
        toys.solve(step)


# -- order, threads, failures --------------------------------------------------------------------------------


def test_deep_chain(toys: Toys) -> None:
    """Three thousand steps in a row need no recursion, cold or cached."""
    toys.begin()
    edge = toys.source("base", 0)
    for number in range(3000):
        edge = toys.add(f"step {number}", edge, plus=1)
    cold = toys.solve(edge)
    warm = toys.solve(edge)

    assert len(cold.executed) == 3000
    assert warm.executed == []
    assert cold.result == warm.result == 3000


def test_deep_chain_of_copies(toys: Toys) -> None:
    """A thousand stages that copy from one another are solved the same way."""
    toys.begin()
    edge = toys.source("base", 0)
    for number in range(1000):
        edge = toys.add(f"stage {number}", edge, plus=10, content=[0])
    cold = toys.solve(edge)

    assert len(cold.executed) == 1000
    assert cold.result == 10_000
    assert toys.solve(edge).executed == []


def test_independent_steps_run_together() -> None:
    """Steps that do not need one another are inside execute at the same time."""
    toys = Toys(parallelism=3)
    together = threading.Barrier(3)

    def meet(job: Job, inputs: Sequence[int]) -> Executed[int]:
        together.wait(timeout=60)
        return constantly(1)

    base = toys.source("base", 0)
    outcome = toys.solve(toys.add("top", *(toys.add(name, base, run=meet) for name in "abc")))

    assert outcome.result == 3


@pytest.mark.parametrize("parallelism", [1, 2, 5])
def test_parallelism_is_a_bound(parallelism: int) -> None:
    """Never more steps at once than were allowed, and in the end all of them."""
    toys = Toys(parallelism=parallelism)
    running, most, lock = 0, 0, threading.Lock()

    def step(job: Job, inputs: Sequence[int]) -> Executed[int]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return constantly(1)

    base = toys.source("base", 0)
    outcome = toys.solve(toys.add("top", *(toys.add(f"s{n}", base, run=step) for n in range(40))))

    assert most <= parallelism
    assert outcome.result == 40


def test_failure_has_the_place_of_its_step(toys: Toys) -> None:
    """An error of a step says where in the user's file the step is."""
    place = Location(7, 0, 7, 12)

    def fail(job: Job, inputs: Sequence[int]) -> Executed[int]:
        raise Failed("exit code: 1")

    with pytest.raises(Failed) as caught:
        toys.solve(toys.add("step", toys.source("base", 1), run=fail, location=place))

    assert caught.value.location == place


def test_failing_source_has_its_place(toys: Toys) -> None:
    """So has an error of a source, and people see which step it was."""
    place, events = Location(1, 0, 1, 8), Events()

    def fail(job: Job, inputs: Sequence[int]) -> Executed[int]:
        raise Failed("no such image")

    base = toys.source("base", 1, run=fail, location=place)
    with pytest.raises(Failed) as caught:
        toys.solve(toys.add("step", base), Job("test", progress=events))

    assert caught.value.location == place
    assert [e.error for e in events.seen if isinstance(e, StepFinished)] == ["no such image"]


def test_failing_content_has_the_place_of_its_reader(toys: Toys) -> None:
    """A COPY of what is not there is an error of the COPY."""
    place = Location(2, 0, 2, 9)

    class Missing(int):
        def __floordiv__(self, other: int) -> int:
            raise Failed("not in the context")

    source = toys.source("context", Missing(1), is_keyed=False, run=lambda j, i: constantly(Missing(1)))
    with pytest.raises(Failed) as caught:
        toys.solve(toys.add("copy", source, content=[0], location=place))

    assert caught.value.location == place


def test_failure_cancels_siblings() -> None:
    """When a step fails, one that runs beside it is told to stop, and both are reported as what they are."""
    toys, events = Toys(), Events()
    job = Job("test", progress=events)
    is_inside, is_stopped = threading.Event(), threading.Event()

    def wait(job: Job, inputs: Sequence[int]) -> Executed[int]:
        job.cancel.on_cancel(is_stopped.set)
        is_inside.set()
        assert is_stopped.wait(timeout=60)
        raise Cancelled

    def fail(job: Job, inputs: Sequence[int]) -> Executed[int]:
        assert is_inside.wait(timeout=60)
        raise Failed("broken")

    base = toys.source("base", 1)
    top = toys.add("top", toys.add("waits", base, run=wait), toys.add("fails", base, run=fail))
    with pytest.raises(Failed):
        toys.solve(top, job)
    finished = {e.step: e for e in events.seen if isinstance(e, StepFinished)}
    names = {e.step: e.name for e in events.seen if isinstance(e, StepQueued)}
    ended = {names[step]: (e.is_cancelled, e.is_cached) for step, e in finished.items()}

    assert ended == {"base": (False, True), "fails": (False, False), "waits": (True, False)}
    assert "top" not in toys.executed
    assert threading.active_count() == 1


def test_steps_that_wait_for_a_slot_do_not_start_after_a_failure() -> None:
    """What was queued behind a failed step is never begun."""
    toys = Toys(parallelism=1)

    def fail(job: Job, inputs: Sequence[int]) -> Executed[int]:
        raise Failed("broken")

    base = toys.source("base", 1)
    edges = [toys.add(f"s{n}", base, run=fail) for n in range(10)]
    with pytest.raises(Failed):
        toys.solve(toys.add("top", *edges))

    assert len(toys.executed) <= 2


def test_cancelled_by_the_user() -> None:
    """A cancelled job ends with Cancelled, and what it finished before is kept."""
    toys = Toys()
    job = Job("test")

    def stop(job: Job, inputs: Sequence[int]) -> Executed[int]:
        job.cancel.cancel()
        return constantly(5)

    below = toys.add("below", toys.source("base", 1), run=stop)
    top = toys.add("top", below)
    with pytest.raises(Cancelled):
        toys.solve(top, job)

    assert toys.executed == ["below"]
    assert toys.solve(top).executed == ["top"]


def test_unexpected_error_is_not_swallowed(toys: Toys) -> None:
    """A bug in a step ends the build as what it is."""

    def crash(job: Job, inputs: Sequence[int]) -> Executed[int]:
        return constantly(1 // len(inputs[:0]))

    with pytest.raises(ZeroDivisionError):
        toys.solve(toys.add("step", toys.source("base", 1), run=crash))


def test_a_failed_build_can_go_on(toys: Toys) -> None:
    """What was built before a failure is there for the next try."""

    def fail(job: Job, inputs: Sequence[int]) -> Executed[int]:
        raise Failed("broken")

    below = toys.add("below", toys.source("base", 1))
    with pytest.raises(Failed):
        toys.solve(toys.add("top", below, run=fail))
    outcome = toys.solve(toys.add("top", below))

    assert outcome.executed == ["top"]


# -- what people see -----------------------------------------------------------------------------------------


def story(events: Sequence[object]) -> list[str]:
    names: dict[str, str] = {}
    lines = []
    for event in events:
        match event:
            case StepQueued():
                names[event.step] = event.name
                lines.append(f"queued {event.name}")
            case StepStarted():
                lines.append(f"started {names[event.step]}")
            case StepFinished():
                lines.append(f"{'cached' if event.is_cached else 'done'} {names[event.step]}")
            case _:
                pass
    return lines


def test_events_of_a_cold_build(toys: Toys) -> None:
    """Every step is announced before the first starts, and every step ends."""
    outcome = toys.solve(toys.add("top", toys.add("below", toys.source("base", 1))))

    assert story(outcome.events) == [
        "queued base", "queued below", "queued top", "cached base",
        "started below", "done below", "started top", "done top",
    ]  # fmt: skip


def test_events_of_a_cached_build(toys: Toys) -> None:
    """A cached build ends every step as cached, also those that nobody looked at."""
    top = toys.add("top", toys.add("below", toys.source("base", 1)))
    toys.solve(top)
    outcome = toys.solve(top)

    assert sorted(story(outcome.events)) == [
        "cached base", "cached below", "cached top", "queued base", "queued below", "queued top",
    ]  # fmt: skip


def test_results_are_told_as_they_come(toys: Toys) -> None:
    """``on_result`` hears of every result once, hit or not."""
    from builder.solver.solver import Solver

    heard: list[tuple[Digest, tuple[int, ...]]] = []
    solver = Solver[int](
        toys, toys.cache, toys.store, parallelism=2,
        on_result=lambda digest, results: heard.append((digest, tuple(results))),
    )  # fmt: skip
    base = toys.source("base", 1)
    below = toys.add("below", base)
    top = toys.add("top", below)
    solver.solve(toys.definition(top), Job("one"))
    solver.solve(toys.definition(top), Job("two"))

    assert heard == [(base.vertex, (1,)), (below.vertex, (1,)), (top.vertex, (1,)), (top.vertex, (1,))]


def test_keys_are_told_of_every_step(toys: Toys) -> None:
    """``on_key`` hears of the steps below a hit too, though nobody looked them up."""
    from builder.solver.solver import Solver

    heard: dict[Digest, Digest] = {}
    solver = Solver[int](toys, toys.cache, toys.store, parallelism=2, on_key=heard.__setitem__)
    base = toys.source("base", 1)
    below = toys.add("below", base)
    top = toys.add("top", below, content=[0])
    solver.solve(toys.definition(top), Job("one"))
    first = dict(heard)
    heard.clear()
    outcome = toys.solve(top)
    solver.solve(toys.definition(top), Job("two"))

    assert outcome.executed == []
    assert first == heard
    assert heard.keys() == {base.vertex, below.vertex, top.vertex}


# -- laws ----------------------------------------------------------------------------------------------------


@st.composite
def shapes(draw: st.DrawFn) -> list[list[int]]:
    """For every step the numbers of those that it reads; step 0 reads the source."""
    size = draw(st.integers(1, 14))
    return [
        draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
        for number in range(size)
    ]


@settings(deadline=None, max_examples=50)
@given(shapes(), st.data())
def test_stale_steps_are_the_descendants_of_the_changed(shape: list[list[int]], data: st.DataObject) -> None:
    """After a change of some steps exactly they and their descendants run."""
    changed = data.draw(st.sets(st.integers(0, len(shape) - 1)))
    toys = Toys()

    def graph(plus: set[int]) -> Edge:
        toys.begin()
        base = toys.source("base", 1)
        edges: list[Edge] = []
        for number, inputs in enumerate(shape):
            below = [edges[i] for i in inputs] or [base]
            edges.append(toys.add(f"s{number}", *below, plus=1 if number in plus else 0))
        return toys.add("goal", *edges)

    toys.solve(graph(set()))
    goal = graph(changed)
    outcome = toys.solve(goal)
    graph_now = as_networkx(toys.definition(goal))
    names = dict(graph_now.nodes(data="name"))
    stale = {f"s{number}" for number in changed}
    for digest, name in names.items():
        if name in {f"s{number}" for number in changed}:
            stale |= {names[below] for below in networkx.descendants(graph_now, digest)}

    assert set(outcome.executed) == stale


@settings(deadline=None, max_examples=50)
@given(shapes(), st.data())
def test_result_never_depends_on_the_cache(shape: list[list[int]], data: st.DataObject) -> None:
    """Whatever was built and pruned before, a build gives what a build from nothing gives."""
    toys = Toys()
    content = [
        frozenset(data.draw(st.sets(st.sampled_from(range(len(i)))))) if i else frozenset() for i in shape
    ]

    def graph(toys: Toys, value: int, plus: dict[int, int]) -> Edge:
        toys.begin()
        base = toys.source("base", value)
        edges: list[Edge] = []
        for number, inputs in enumerate(shape):
            below = [edges[i] for i in inputs] or [base]
            edges.append(
                toys.add(f"s{number}", *below, plus=plus.get(number, 0), content=sorted(content[number]))
            )
        return toys.add("goal", *edges)

    for _ in range(data.draw(st.integers(1, 3))):
        value = data.draw(st.sampled_from([1, 5, 11]))
        plus = data.draw(
            st.dictionaries(st.integers(0, len(shape) - 1), st.sampled_from([1, 10]), max_size=3)
        )
        lost = data.draw(st.sets(st.integers(0, 30)))
        outcome = toys.solve(graph(toys, value, plus))
        fresh = Toys()

        assert outcome.result == fresh.solve(graph(fresh, value, plus)).result
        toys.store.lose(lost.__contains__)
