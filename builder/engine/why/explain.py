"""From the inputs of a key to the causes of a miss: beside what they were in an earlier build."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from builder.cache.interface import CacheBackend
from builder.core.digest import Digest
from builder.engine.history.record import StepRecord
from builder.engine.why.cause import Cause, changed, summary
from builder.engine.why.files import Read, file_causes
from builder.engine.why.operation import operation_causes, text_of
from builder.engine.why.past import Past
from builder.fs.listing import decode_listing
from builder.ops.selectors import roots_of
from builder.solver.inputs import KeyInputs, KeyPart
from builder.solver.interface import Miss

_INLINE = "[internal] preparing inline document"
_FINISHED = frozenset({"done", "cached", "unneeded"})

ListingOf = Callable[[Digest], bytes | None]


class Pair(NamedTuple):
    """One input of a step, beside what it was."""

    old: KeyPart
    new: KeyPart


class Explainer:
    """Gives the causes of misses. Thread-safe.

    A part of a chain whose records are gone cannot be explained; the step above it says so.
    """

    def __init__(self, past: Callable[[], Past], cache: CacheBackend, *, forced: str = "--no-cache") -> None:
        """``past`` is asked at the first miss; ``forced`` is the option that makes steps run anyway."""
        self._open_past = past
        self._cache = cache
        self._forced = forced
        self._lock = threading.Lock()
        self._past: Past | None = None
        self._known: dict[str, KeyInputs] = {}  # by key: of the steps that ran in this build
        self._by_step: dict[str, list[Cause]] = {}

    def why(self, miss: Miss) -> str:
        """One line, without what the step that it follows from says already; "" for a step without a name."""
        causes = self.causes(miss)
        with self._lock:
            said = {cause.text for cause in self._by_step.get(causes[0].step, ())} if causes else set()
        return summary([*causes[:1], *(cause for cause in causes[1:] if cause.text not in said)])

    def causes(self, miss: Miss) -> list[Cause]:
        """At least one, of a step with a name."""
        with self._lock:
            self._known[str(miss.key)] = miss.inputs
            if not miss.vertex.name:
                return []
            causes = self._by_step[miss.vertex.name] = self._causes(miss)
            return causes

    def _causes(self, miss: Miss) -> list[Cause]:
        if miss.vertex.ignores_cache:
            return [Cause(kind="forced", text=self._forced, subject=self._forced)]
        if miss.was_lost:
            return [Cause(kind="pruned", text="its result was pruned")]
        return self.compare(miss.inputs, str(miss.key), _live(miss))

    def compare(self, new: KeyInputs, key: str, live: ListingOf = lambda content: None) -> list[Cause]:
        """The causes for a step that has that key now; ``live`` knows listings that are not kept yet."""
        before = self.past.counterparts(new.name)
        if not before:
            return [Cause(kind="new", text="never built")]
        same = next((step for step in before if step.key == key), None)
        if same is not None:
            return [_unrecorded(same)]
        olds = self._inputs_of(before)
        if not olds:
            return self._changed_below(new) or [Cause(kind="new", text=_lost(before[0]))]
        return self.differences(_nearest(olds, new), new, live)

    def differences(
        self, old: KeyInputs, new: KeyInputs, live: ListingOf = lambda content: None
    ) -> list[Cause]:
        """What is below comes first, then the operation itself, then what it reads by content."""
        follows = [cause for pair in _by_key(old, new) for cause in self._of_input(pair)]
        causes = [*follows, *operation_causes(old, new)]
        for pair in _by_content(old, new):
            if pair.old.digest != pair.new.digest:
                causes += self._of_content(pair, live)
        return causes or [Cause(kind="order", text="it reads its inputs in another order")]

    def inputs(self, key: str) -> KeyInputs | None:
        """What a key is of, if it has a record here, or ran in this build."""
        known = self._known.get(key)
        if known is None:
            digest = Digest.parse(key)
            record = self._cache.lookup([digest]).get(digest)
            known = KeyInputs.decode(record.inputs) if record is not None else None
        return known

    @property
    def past(self) -> Past:
        if self._past is None:
            self._past = self._open_past()
        return self._past

    # -- what it stands on ----------------------------------------------------------------------------------

    def _changed_below(self, new: KeyInputs) -> list[Cause]:
        """For a step of whose former inputs nothing is known but the keys of the steps below it."""
        for part in new.parts:
            if part.by == "key" and part.source is None and part.step and not self._is_unchanged(part):
                step = self._root(Pair(part, part))
                return [Cause(kind="follows", text=f"follows from {step}", step=step)]
        return []

    def _of_input(self, pair: Pair) -> list[Cause]:
        old, new = pair
        if old.digest == new.digest:
            return []
        if old.source is not None and new.source is not None:
            return [_base(old, new)]
        if self._is_unchanged(new):
            if self.past.has(old.step):
                return [Cause(kind="order", text="the steps below it are in another order", step=new.step)]
            return [Cause(kind="order", text=f"{old.step} below it is gone", subject=text_of(old.step))]
        step = self._root(pair)
        return [Cause(kind="follows", text=f"follows from {step}", step=step)]

    def _root(self, pair: Pair) -> str:
        """The lowest step that is not what it was, on the way down from an input that is not."""
        here = pair.new.step
        while pair.new.source is None:
            # A step without a name is part of the one above it, or of both that are below it.
            here = pair.new.step or here
            known = self._by_step.get(pair.new.step)
            if known:
                return known[0].step if known[0].kind == "follows" else here
            new = self.inputs(pair.new.key)
            old = self._before(pair, new) if new is not None else None
            if new is None or old is None:
                break
            below = next((each for each in _by_key(old, new) if each.old.digest != each.new.digest), None)
            if below is None or (pair.new.step and (below.new.source or self._is_unchanged(below.new))):
                break
            pair = below
        return here or pair.new.step

    def _before(self, pair: Pair, new: KeyInputs) -> KeyInputs | None:
        """What an input was made of, for one that is another now."""
        if not pair.new.step:
            return self.inputs(pair.old.key)
        olds = self._inputs_of(self.past.counterparts(pair.new.step))
        return _nearest(olds, new) if olds else None

    def _inputs_of(self, steps: Sequence[StepRecord]) -> list[KeyInputs]:
        return [inputs for step in steps if step.key and (inputs := self.inputs(step.key)) is not None]

    def _is_unchanged(self, part: KeyPart) -> bool:
        before = self.past.counterpart(part.step) if part.step else None
        return before is not None and before.key == part.key

    # -- what it reads --------------------------------------------------------------------------------------

    def _of_content(self, pair: Pair, live: ListingOf) -> list[Cause]:
        if pair.new.step == _INLINE:
            return [Cause(kind="content", text="the here-document changed", subject=pair.new.step)]
        is_context = not pair.new.key
        old, new = self._read(pair.old, live), self._read(pair.new, live)
        step = "" if is_context else self._root(pair)
        if old is not None and new is not None:
            causes = file_causes(old, new, step=step, is_context=is_context)
            if causes:
                return causes
        what = "the build context" if is_context else step or "a step below"
        return [Cause(kind="content", text=f"what it reads of {what} changed", subject=what, step=step)]

    def _read(self, part: KeyPart, live: ListingOf) -> Read | None:
        digest = Digest.parse(part.digest)
        data = live(digest) or self._cache.listing(digest)
        return Read(decode_listing(data), roots_of(part.part)) if data is not None else None


def _live(miss: Miss) -> ListingOf:
    indexes = {part.digest: index for index, part in enumerate(miss.inputs.parts) if part.by == "content"}

    def listing(content: Digest) -> bytes | None:
        index = indexes.get(str(content))
        return miss.listing(index) if index is not None else None

    return listing


def _by_key(old: KeyInputs, new: KeyInputs) -> Iterator[Pair]:
    return _pairs(old, new, "key")


def _by_content(old: KeyInputs, new: KeyInputs) -> Iterator[Pair]:
    return _pairs(old, new, "content")


def _pairs(old: KeyInputs, new: KeyInputs, by: str) -> Iterator[Pair]:
    """In order; what one of them has more of shows in the operation."""
    before = [part for part in old.parts if part.by == by]
    after = [part for part in new.parts if part.by == by]
    return (Pair(*both) for both in zip(before, after, strict=False))


def _nearest(olds: Sequence[KeyInputs], new: KeyInputs) -> KeyInputs:
    """The latest of those that have most in common: after an edit that was taken back, what is new counts."""
    return max(olds, key=lambda old: _common(old, new))


def _common(old: KeyInputs, new: KeyInputs) -> int:
    same = [one.digest == other.digest for one, other in zip(old.parts, new.parts, strict=False)]
    return sum(same) + (old.op == new.op)


def _base(old: KeyPart, new: KeyPart) -> Cause:
    before, after = _image(old), _image(new)
    if before["image"] != after["image"]:
        return changed("base", "the base image", after["image"], before["image"], after["image"])
    if before["platform"] != after["platform"]:
        what = f"the platform of {after['image']}"
        return changed("platform", what, after["image"], before["platform"], after["platform"])
    what = f"the base image {after['image']}"
    cause = changed("base", what, after["image"], _short(before["digest"]), _short(after["digest"]))
    return Cause(
        kind="base", text=cause.text, subject=cause.subject, old=before["digest"], new=after["digest"]
    )


def _image(part: KeyPart) -> dict[str, str]:
    source = part.source if isinstance(part.source, dict) else {}
    return {name: str(source.get(name, "")) for name in ("image", "digest", "platform")}


def _short(digest: str) -> str:
    return digest[:19]  # sha256: and twelve digits


def _unrecorded(before: StepRecord) -> Cause:
    if before.status in _FINISHED:
        return Cause(kind="pruned", text="its record was pruned")
    return Cause(
        kind="unfinished",
        text=f"it {before.status.replace('unreached', 'was not reached')} in the last build",
    )


def _lost(before: StepRecord) -> str:
    if before.key is None:
        return "never built: no earlier build came to it"
    return "changed, and what it was has been pruned"
