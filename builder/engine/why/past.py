"""What to compare a build with: the steps of earlier builds, each as the counterpart of one that is here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from builder.engine.history.record import BuildRecord, StepRecord
from builder.engine.why.operation import text_of

_MOST_BUILDS = 5  # of a project: a failed build knows only the keys of the steps that it came to
_MOST_LOOKED_AT = 25


def earlier_builds(
    records: Iterable[BuildRecord], project: object, names: Sequence[str]
) -> list[BuildRecord]:
    """The latest builds of the project, latest first; else the one that has most steps in common, if half.

    Bases do not count: they are those of many projects.
    """
    own: list[BuildRecord] = []
    best: tuple[int, BuildRecord] | None = None
    wanted = {text for name in names if not (text := text_of(name)).startswith("FROM ")}
    for number, record in enumerate(records):
        if record.project == project:
            own.append(record)
        elif not own and record.steps:
            common = len(wanted & {text_of(step.name) for step in record.steps})
            if common and common * 2 >= len(wanted) and (best is None or common > best[0]):
                best = common, record
        if len(own) == _MOST_BUILDS or number + 1 == _MOST_LOOKED_AT:
            break
    if own:
        return own
    return [best[1]] if best is not None else []


class Past:
    """Earlier builds, latest first, beside the names of the steps that are to be explained."""

    def __init__(self, builds: Sequence[BuildRecord], names: Sequence[str]) -> None:
        self._builds = builds
        self._names = names
        self._pairs: list[Mapping[str, StepRecord]] = []

    @property
    def latest(self) -> BuildRecord | None:
        """None: there is nothing to compare with."""
        return self._builds[0] if self._builds else None

    def counterpart(self, name: str) -> StepRecord | None:
        """What the step was, in the latest build that knew its key; else in the latest one that had it."""
        return next(iter(self.counterparts(name)), None)

    def counterparts(self, name: str) -> list[StepRecord]:
        """What the step was in each build that knew its key, latest first; else in the latest that had it."""
        found = list(self._counterparts(name))
        return [step for step in found if step.key is not None] or found[:1]

    def has(self, old_name: str) -> bool:
        """Whether a step of an earlier build is the counterpart of one that is here."""
        pairs = (self._paired(number) for number in range(len(self._builds)))
        return any(step.name == old_name for each in pairs for step in each.values())

    def _counterparts(self, name: str) -> Iterator[StepRecord]:
        for number in range(len(self._builds)):
            step = self._paired(number).get(name)
            if step is not None:
                yield step

    def _paired(self, number: int) -> Mapping[str, StepRecord]:
        while len(self._pairs) <= number:
            self._pairs.append(paired(self._builds[len(self._pairs)].steps, self._names))
        return self._pairs[number]


def paired(old: Sequence[StepRecord], names: Sequence[str]) -> dict[str, StepRecord]:
    """Name → the step that it was: what is the same in both lists, and between that, what is like it."""
    if [step.name for step in old] == list(names):
        return dict(zip(names, old, strict=True))
    from difflib import SequenceMatcher  # 7 ms that a build without a miss does not have

    before, after = [text_of(step.name) for step in old], [text_of(name) for name in names]
    pairs: dict[str, StepRecord] = {}
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs.update(zip(names[j1:j2], old[i1:i2], strict=True))
        elif tag == "replace":
            pairs.update(_alike(old[i1:i2], names[j1:j2]))
    return pairs


def _alike(old: Sequence[StepRecord], names: Sequence[str]) -> Iterator[tuple[str, StepRecord]]:
    """Those of one word, in order; steps that are not told apart by it are new."""
    left = list(old)
    for name in names:
        word = text_of(name).partition(" ")[0]
        found = next((step for step in left if text_of(step.name).partition(" ")[0] == word), None)
        if found is not None:
            left.remove(found)
            yield name, found
