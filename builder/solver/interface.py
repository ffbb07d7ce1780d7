"""What the solver asks of an operation and of whatever keeps results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from builder.core.canonical import Plain
from builder.core.digest import Digest
from builder.core.job import Cancel, Job
from builder.llb.definition import Vertex
from builder.solver.inputs import KeyInputs

R = TypeVar("R")


def _no_listing() -> bytes | None:
    return None


def _nothing_plain() -> Plain:
    return None


@dataclass(frozen=True, slots=True)
class Dep(Generic[R]):
    """How one input enters the key.

    ``content`` None: by the input's own key. Else by the digest that it computes of the input's result (the
    slow key), and by nothing else of that input; ``selector`` says of which part, in words that name it
    uniquely. ``listing`` gives what the content was read from when it was last computed, in a form that is
    the op's own; None: it was not computed here.
    """

    content: Callable[[R], Digest] | None = None
    selector: str = ""
    listing: Callable[[], bytes | None] = _no_listing


@dataclass(frozen=True, slots=True)
class CacheMap(Generic[R]):
    """BuildKit's ``solver.CacheMap``: the op's own digest, and one Dep per input.

    ``is_source``: the key is the digest, and executing is a cheap look-up that no record can save.
    ``digest`` None of a source: there is no key; users of it must have a ``content`` Dep.
    ``pin`` gives the digest where only a look outside tells it; called once, in a worker.
    ``plain`` is what the digest is of, for people; called when a step runs.
    """

    digest: Digest | None
    deps: tuple[Dep[R], ...] = ()
    is_source: bool = False
    pin: Callable[[], Digest] | None = None
    plain: Callable[[], Plain] = _nothing_plain


@dataclass(frozen=True, slots=True)
class Executed(Generic[R]):
    """What a step made, one result per output.

    ``contents``: digests of inputs that changed after their content was computed, by input index; the step
    gets the key of what it really read.
    """

    outputs: tuple[R, ...]
    contents: Mapping[int, Digest] = field(default_factory=dict)


class Miss(NamedTuple):
    """A step that has to run. ``listing(index)`` is Dep's, for an input that counts by content."""

    vertex: Vertex
    key: Digest
    inputs: KeyInputs
    was_lost: bool  # there is a record, whose result is gone
    listing: Callable[[int], bytes | None]


class Op(Protocol[R]):
    """One vertex, ready to run."""

    def cache_map(self, job: Job) -> CacheMap[R]:
        """Once per vertex and job, in the coordinator's thread: cheap, no side effects."""

    def execute(self, job: Job, inputs: Sequence[R]) -> Executed[R]:
        """In a worker thread, unless it is a source. Raises PybuildError."""


class Resolver(Protocol[R]):
    """Vertices to ops."""

    def resolve(self, digest: Digest, vertex: Vertex) -> Op[R]:
        """Once per vertex."""


class ResultStore(Protocol[R]):
    """Results by id, for cache records."""

    def save(self, results: Sequence[R]) -> str:
        """An id that ``load`` takes, in this process or another."""

    def load(self, result_id: str) -> Sequence[R] | None:
        """None: gone; the hit becomes a miss."""


class Turn(Protocol):
    """The right to run one step."""

    def close(self) -> None:
        """Let the others look for its record, which must be there by now; idempotent."""


class Turns(Protocol):
    """Who runs a step, of all the builds that want the same; thread-safe."""

    def take(self, key: Digest, holder: str) -> Turn | None:
        """The right to run the step of that key; None while somebody else has it.

        ``holder`` says who has it now, for those that wait. Whoever has a turn must not wait for another one.
        """

    def holder(self, key: Digest) -> str:
        """Who has it; "" if that is not known, or nobody."""

    def wait(self, key: Digest, cancel: Cancel) -> None:
        """Until nobody has it, though somebody may be quicker then. Raises Cancelled."""
