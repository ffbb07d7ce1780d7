"""`explain`: all causes of a step of a recorded build, and of the steps that it follows from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from builder.cache.interface import CacheBackend
from builder.engine.history.choice import find_steps
from builder.engine.history.record import BuildRecord, StepRecord
from builder.engine.history.shelf import BuildShelf
from builder.engine.why.cause import Cause
from builder.engine.why.explain import Explainer
from builder.engine.why.past import Past, earlier_builds

_RAN = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Explained:
    """``causes`` is empty for a step that is what it was; ``roots`` are the steps that the causes name."""

    step: StepRecord
    causes: tuple[Cause, ...]
    roots: tuple[tuple[StepRecord, tuple[Cause, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """``against`` None: there is no earlier build."""

    build: BuildRecord
    against: BuildRecord | None
    steps: tuple[Explained, ...]


def explain(
    shelf: BuildShelf, cache: CacheBackend, build: BuildRecord, text: str, against: BuildRecord | None
) -> Report:
    """Steps by line, number or name, beside ``against``, or what the project built before.

    Raises StepNotFound.
    """
    wanted = find_steps(build, text)
    names = [step.name for step in build.steps]
    builds = [against] if against is not None else _before(shelf, build, names)
    past = Past(builds, names)
    reporter = _Reporter(build, Explainer(lambda: past, cache), past, is_chosen=against is not None)
    return Report(build, past.latest, tuple(reporter.explained(step) for step in wanted))


def _before(shelf: BuildShelf, build: BuildRecord, names: Sequence[str]) -> list[BuildRecord]:
    older = (each for each in shelf.latest_first() if each.started_at < build.started_at)
    return earlier_builds(older, build.project, names)


class _Reporter:
    def __init__(self, build: BuildRecord, explainer: Explainer, past: Past, *, is_chosen: bool) -> None:
        self._steps = {step.name: step for step in build.steps}
        self._explainer = explainer
        self._past = past
        self._is_chosen = is_chosen

    def explained(self, step: StepRecord) -> Explained:
        causes = self._causes(step)
        roots: dict[str, tuple[StepRecord, tuple[Cause, ...]]] = {}
        for root in self._roots(causes, {step.name}):
            roots[root.name] = root, self._causes(root)
        return Explained(step, causes, tuple(roots.values()))

    def _roots(self, causes: Sequence[Cause], seen: set[str]) -> Iterator[StepRecord]:
        for name in dict.fromkeys(cause.step for cause in causes):
            step = self._steps.get(name)
            if step is not None and name not in seen:
                seen.add(name)
                yield step
                yield from self._roots(self._causes(step), seen)

    def _causes(self, step: StepRecord) -> tuple[Cause, ...]:
        before = self._past.counterpart(step.name)
        if step.key is None:
            return (Cause(kind="unfinished", text="the build did not come to it"),)
        if self._is_chosen or step.status not in _RAN:
            if before is not None and before.key == step.key:
                return ()
        elif before is None or before.key == step.key:
            # It ran all the same, and was told why.
            return (Cause(kind="forced" if before is not None else "new", text=step.cause or "never built"),)
        inputs = self._explainer.inputs(step.key)
        if inputs is None:
            return (Cause(kind="pruned", text="its record has been pruned, and what it was of with it"),)
        return tuple(self._explainer.compare(inputs, step.key))
