"""Solves a definition: keys first, then only the work that no record answers.

One coordinator thread (the caller's) owns all state; workers post what they finished to its queue. A step
goes through: inputs' keys and contents known → key → look-up → hit, or, if somebody wants its result, miss →
inputs' results → run. Nobody wants a result of a step whose users were all hits, so the work is pulled from
the target.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from typing import Generic, NoReturn, TypeVar

from builder.cache.interface import CacheBackend, CacheRecord
from builder.core.digest import Digest
from builder.core.errors import Cancelled, PybuildError
from builder.core.events import StepFinished, StepMissed, StepQueued, StepStarted
from builder.core.job import Job
from builder.llb.definition import Definition, Edge, Vertex
from builder.solver.inputs import KeyInputs
from builder.solver.interface import Executed, Miss, Op, R, Resolver, ResultStore, Turn, Turns
from builder.solver.keys import cache_key
from builder.solver.sharing import SharedStep
from builder.solver.step import Step, inputs_of, memo_name, parts_of, reread
from builder.solver.workers import Pool, Workers

T = TypeVar("T")


class Solver(Generic[R]):
    """Solves one definition after another; ``parallelism`` bounds the steps that run at once.

    ``on_result(vertex digest, results)`` is called in the coordinator's thread as results become known, and
    ``on_key(vertex digest, key)`` as keys do: again if a step that ran has another one than was thought.
    ``on_miss``, in a worker, gives the cause that people are told when a named step runs. With ``turns``
    a step that another build runs already is waited for.
    """

    def __init__(
        self,
        resolver: Resolver[R],
        cache: CacheBackend,
        results: ResultStore[R],
        *,
        parallelism: int,
        on_result: Callable[[Digest, Sequence[R]], None] | None = None,
        on_key: Callable[[Digest, Digest], None] | None = None,
        on_miss: Callable[[Miss], str] | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._resolver = resolver
        self._cache = cache
        self._results = results
        self._parallelism = parallelism
        self._on_result = on_result
        self._on_key = on_key
        self._on_miss = on_miss
        self._turns = turns

    def solve(self, definition: Definition, job: Job) -> R | None:
        """The result of the target; None for scratch.

        Raises PybuildError with the failing step's location.
        """
        return self.solve_all(definition, [definition.target], job)[0]

    def solve_all(self, definition: Definition, targets: Sequence[Edge | None], job: Job) -> list[R | None]:
        """The same for several targets of one graph, whose own does not count; what they share runs once."""
        goals = list(dict.fromkeys(edge.vertex for edge in targets if edge is not None))
        if not goals:
            return [None for _ in targets]
        run = _Run(self._cache, self._results, job, self._on_result, self._on_key, self._on_miss, self._turns)
        for digest, vertex in definition:
            try:
                run.add(digest, vertex, self._resolver.resolve(digest, vertex))
            except PybuildError as error:
                error.at(vertex.location)
                raise
        with Workers(self._parallelism) as workers:
            try:
                results = run.to_the_end(goals, workers)
                return [None if edge is None else results[edge.vertex][edge.output] for edge in targets]
            except BaseException as error:
                # Whoever waits inside a step (a process, a lock) must come back before workers are joined.
                job.cancel.cancel()
                run.give_up(error)
                raise


class _Run(Generic[R]):
    def __init__(
        self,
        cache: CacheBackend,
        results: ResultStore[R],
        job: Job,
        on_result: Callable[[Digest, Sequence[R]], None] | None,
        on_key: Callable[[Digest, Digest], None] | None,
        on_miss: Callable[[Miss], str] | None,
        turns: Turns | None,
    ) -> None:
        self._cache = cache
        self._store = results
        self._job = job
        self._on_result = on_result
        self._on_key = on_key
        self._on_miss = on_miss
        self._turns = turns
        self._steps: dict[Digest, Step[R]] = {}
        self._finished: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pending: list[Step[R]] = []
        self._workers: Workers | None = None
        self._in_flight = 0
        self._reported: set[Digest] = set()
        self._has_news = False  # hits that people were not told of

    def add(self, digest: Digest, vertex: Vertex, op: Op[R]) -> None:
        step = Step(digest, vertex, op, op.cache_map(self._job))
        for edge in vertex.inputs:
            below = self._steps[edge.vertex]
            step.inputs.append(below)
            if not below.users or below.users[-1] is not step:
                below.users.append(step)
        assert all(
            below.has_key or dep.content is not None
            for below, dep in zip(step.inputs, step.cache_map.deps, strict=True)
        ), "an input without a key can only be read by its content"
        self._steps[digest] = step
        self._tell_key(step)
        if vertex.name:
            inputs = tuple(str(edge.vertex) for edge in vertex.inputs)
            self._job.progress.emit(StepQueued(str(digest), vertex.name, inputs, vertex.location))

    def to_the_end(self, targets: Sequence[Digest], workers: Workers) -> dict[Digest, Sequence[R]]:
        self._workers = workers
        for target in targets:
            self._want_result(self._steps[target])
        while True:
            while self._pending:
                self._advance(self._pending.pop())
            results = {target: self._steps[target].results for target in targets}
            found = {target: each for target, each in results.items() if each is not None}
            if len(found) == len(targets):
                break
            assert self._in_flight, "a target waits for nothing"
            finished = self._finished.get()
            self._in_flight -= 1
            finished()
        self._report_cached(is_over=True)
        return found

    def give_up(self, error: BaseException) -> None:
        """Tell people what became of the steps that were running."""
        for step in self._steps.values():
            if step.is_running and step.results is None and step.vertex.name:
                self._emit_finished(step, error=str(error), is_cancelled=True)

    # -- what is wanted -------------------------------------------------------------------------------------

    def _want_key(self, step: Step[R]) -> None:
        if not step.wants_key:
            step.wants_key = True
            self._pending.append(step)

    def _want_result(self, step: Step[R]) -> None:
        if not step.wants_result:
            step.wants_result = step.wants_key = True
            self._pending.append(step)

    def _wake_users(self, step: Step[R]) -> None:
        self._pending.extend(user for user in step.users if user.wants_key)

    # -- one step -------------------------------------------------------------------------------------------

    def _advance(self, step: Step[R]) -> None:
        if step.results is not None or step.is_running:
            return
        if step.cache_map.is_source:
            if step.wants_result:
                self._take_source(step)
            return
        if step.key is None and not self._make_key(step):
            return
        if not step.wants_result:
            return
        if not step.is_looked_up and self._look_up(step):
            return
        for below in step.inputs:
            self._want_result(below)
        if all(below.results is not None for below in step.inputs):
            self._start(step)

    def _take_source(self, step: Step[R]) -> None:
        try:
            outputs = step.op.execute(self._job, ()).outputs
        except PybuildError as error:
            self._failed(step, error)
        step.is_cached = self._has_news = True  # it was a look-up
        self._have(step, outputs)

    def _make_key(self, step: Step[R]) -> bool:
        op_digest = step.op_digest
        if op_digest is None:
            self._pin(step)
            return False
        components: list[tuple[str, Digest, int]] = []
        is_complete = True
        for index, (below, dep) in enumerate(zip(step.inputs, step.cache_map.deps, strict=True)):
            if dep.content is None:
                self._want_key(below)
                if below.key is None:
                    is_complete = False
                else:
                    components.append(("key", below.key, step.vertex.inputs[index].output))
            elif index in step.contents or self._find_content(step, index):
                components.append(("content", step.contents[index], 0))
            else:
                is_complete = False
        if is_complete:
            step.key = cache_key(op_digest, components)
            self._tell_key(step)
            self._wake_users(step)
        return is_complete

    def _pin(self, step: Step[R]) -> None:
        """Have the operation's own digest looked up outside, in a worker."""
        if step.is_pinning:
            return
        step.is_pinning = True
        pin = step.cache_map.pin
        assert pin is not None, "only a source may have no key"

        def look() -> Digest:
            self._job.cancel.check()
            self._tell_started(step)
            return pin()

        self._in_worker(step, look, lambda digest: self._have_pin(step, digest))

    def _have_pin(self, step: Step[R], digest: Digest) -> None:
        step.op_digest = digest
        self._pending.append(step)

    def _find_content(self, step: Step[R], index: int) -> bool:
        """From the memo if the input's key is known, else from its result, in a worker."""
        if index in step.advancing:
            return False
        below, dep = step.inputs[index], step.cache_map.deps[index]
        if below.has_key:
            self._want_key(below)
            if below.key is None:
                return False
            memo = self._cache.content(below.key, memo_name(step, index))
            if memo is not None and (below.results is not None or not below.vertex.ignores_cache):
                step.contents[index] = memo
                step.guesses.add(index)
                return True
        self._want_result(below)
        if below.results is None:
            if below.cache_map.is_source:
                self._advance(below)
            if below.results is None:
                return False
        result = below.results[step.vertex.inputs[index].output]
        compute = dep.content
        assert compute is not None
        step.advancing.add(index)
        self._in_worker(step, lambda: compute(result), lambda digest: self._have_content(step, index, digest))
        return False

    def _have_content(self, step: Step[R], index: int, digest: Digest) -> None:
        step.advancing.discard(index)
        step.contents[index] = digest
        below = step.inputs[index]
        if below.key is not None:
            self._cache.save_content(below.key, memo_name(step, index), digest)
        self._pending.append(step)

    def _look_up(self, step: Step[R]) -> bool:
        step.is_looked_up = True
        assert step.key is not None
        if step.vertex.ignores_cache:
            return False
        record = self._cache.lookup([step.key]).get(step.key)
        if record is None:
            return False
        results = self._store.load(record.result_id)
        if results is None:
            self._cache.forget(step.key)
            step.was_lost = True
            return False
        step.is_cached = self._has_news = True
        self._have(step, results)
        return True

    def _start(self, step: Step[R]) -> None:
        self._report_cached()
        step.is_running = True
        inputs = [
            below.results[edge.output]
            for below, edge in zip(step.inputs, step.vertex.inputs, strict=True)
            if below.results is not None
        ]

        parts = parts_of(step)
        contents = [index for index in range(len(parts)) if index in step.contents]

        def execute() -> tuple[Executed[R], Digest, CacheRecord]:
            self._job.cancel.check()
            self._tell_started(step)
            found = inputs_of(step, parts)
            self._tell_cause(step, found)
            executed = step.op.execute(self._job, inputs)
            if executed.contents:
                found = inputs_of(step, reread(parts, executed.contents))
            key = cache_key(found.op, found.components)
            for index in contents:
                content = Digest.parse(found.parts[index].digest)
                self._cache.save_listing(key, content, step.cache_map.deps[index].listing)
            return executed, key, CacheRecord(self._store.save(executed.outputs), found.encode())

        self._in_turn(step, execute, lambda done: self._executed(step, *done))

    def _in_turn(self, step: Step[R], work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run a step in a worker; if another build is at it, wait for that one and look up what it made."""
        if self._turns is None or step.vertex.ignores_cache:
            self._in_worker(step, work, then, pool="steps")
            return
        assert step.key is not None, "who runs has a key"
        shared = SharedStep(self._turns, self._cache, self._job, step.digest, step.vertex, step.key)

        def wait() -> None:
            shared.wait(lambda: self._tell_started(step))

        def is_over(outcome: tuple[Turn, T] | None) -> None:
            if outcome is None:
                # Not in a step's slot: our other steps need those.
                self._in_worker(step, wait, lambda _: self._again(step), pool="waits")
                return
            turn, value = outcome
            try:
                then(value)  # the record is there before the turn ends
            finally:
                turn.close()

        self._in_worker(step, lambda: shared.run(work), is_over, pool="steps")

    def _again(self, step: Step[R]) -> None:
        step.is_running = step.is_looked_up = False
        self._pending.append(step)

    def _executed(self, step: Step[R], executed: Executed[R], key: Digest, record: CacheRecord) -> None:
        step.is_running = False
        step.contents.update(executed.contents)
        before, step.key = step.key, key
        self._tell_key(step)
        self._doubt_users(step, is_key_new=step.key != before)
        self._cache.save(step.key, record, replace=True)
        if step.vertex.name:
            self._emit_finished(step)
        self._have(step, executed.outputs)

    def _doubt_users(self, step: Step[R], *, is_key_new: bool) -> None:
        """A step ran: whoever trusted a memo of its content, or a key that is another now, begins anew."""
        pending = [(step, is_key_new)]
        while pending:
            below, is_key_new = pending.pop()
            for user in below.users:
                if user.results is not None:
                    continue  # a hit on what this step was before, and true of that
                is_doubtful = False
                for index, (other, dep) in enumerate(zip(user.inputs, user.cache_map.deps, strict=True)):
                    if other is below and index in user.guesses:
                        user.guesses.discard(index)
                        del user.contents[index]
                        is_doubtful = True
                    elif other is below and dep.content is None:
                        is_doubtful |= is_key_new
                if is_doubtful and user.key is not None:
                    user.key = None
                    user.is_looked_up = False
                    pending.append((user, True))

    def _tell_key(self, step: Step[R]) -> None:
        if self._on_key is not None and step.key is not None:
            self._on_key(step.digest, step.key)

    def _have(self, step: Step[R], results: Sequence[R]) -> None:
        step.results = results
        if self._on_result is not None:
            self._on_result(step.digest, results)
        self._wake_users(step)

    # -- workers and events ---------------------------------------------------------------------------------

    def _in_worker(
        self, step: Step[R], work: Callable[[], T], then: Callable[[T], None], *, pool: Pool = "keys"
    ) -> None:
        assert self._workers is not None
        self._in_flight += 1

        def run() -> None:
            try:
                value = work()
            except BaseException as error:  # noqa: BLE001 (carried to the coordinator, which raises it)
                failure = error
                self._finished.put(lambda: self._failed(step, failure))
                # Here and not in the coordinator: the next step must not get this one's slot first.
                self._job.cancel.cancel()
                return
            self._finished.put(lambda: then(value))

        self._workers.submit(run, pool=pool)

    def _failed(self, step: Step[R], error: BaseException) -> NoReturn:
        step.is_running = False
        if step.vertex.name:
            self._emit_finished(step, error=str(error), is_cancelled=isinstance(error, Cancelled))
        if isinstance(error, PybuildError):
            error.at(step.vertex.location)
        raise error

    def _tell_started(self, step: Step[R]) -> None:
        """Once; in the worker that begins."""
        if not step.started_at:
            step.started_at = time.time()
            if step.vertex.name:
                self._job.progress.emit(StepStarted(str(step.digest), step.started_at))

    def _tell_cause(self, step: Step[R], inputs: KeyInputs) -> None:
        """In the worker that runs it."""
        if self._on_miss is None:
            return
        assert step.key is not None, "who runs has a key"
        listings = [dep.listing for dep in step.cache_map.deps]
        miss = Miss(step.vertex, step.key, inputs, step.was_lost, lambda index: listings[index]())
        cause = self._on_miss(miss)
        if step.vertex.name:
            self._job.progress.emit(StepMissed(str(step.digest), cause))

    def _emit_finished(
        self,
        step: Step[R],
        *,
        error: str | None = None,
        is_cancelled: bool = False,
        is_unneeded: bool = False,
    ) -> None:
        now = time.time()
        seconds = now - step.started_at if step.started_at else 0.0
        self._job.progress.emit(
            StepFinished(
                str(step.digest),
                now,
                step.is_cached,
                error,
                is_cancelled,
                seconds,
                None if step.key is None else str(step.key),
                is_unneeded,
            )
        )

    def _report_cached(self, *, is_over: bool = False) -> None:
        """Tell people of the hits so far, in the order of the definition, and of what they made unnecessary.

        Only now: a hit is found from the target down, and people read from the base up. What nobody had to
        look at is as good as cached.
        """
        if not self._has_news and not is_over:
            return
        self._has_news = False
        covered = {s.digest for s in self._steps.values() if s.is_cached and s.digest not in self._reported}
        pending = [self._steps[digest] for digest in covered]
        while pending:
            for below in pending.pop().inputs:
                if below.results is None and not below.wants_result and below.digest not in covered:
                    covered.add(below.digest)
                    pending.append(below)
        for step in self._steps.values():
            is_unneeded = step.digest in covered or (is_over and step.results is None)
            if is_unneeded and step.vertex.name and step.digest not in self._reported:
                self._reported.add(step.digest)
                is_hit, step.is_cached = step.is_cached, True
                self._emit_finished(step, is_unneeded=not is_hit)
