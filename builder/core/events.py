"""What happens during a job, as events; renderers and the build record read them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from builder.core.location import Location


class StepQueued(NamedTuple):
    """A step of the build is known; sent for every step before the first one starts."""

    step: str  # the vertex digest
    name: str  # "[build 2/5] RUN make"
    inputs: tuple[str, ...]
    location: Location | None


class StepStarted(NamedTuple):
    """A step runs now (not sent for cached ones)."""

    step: str
    at: float  # epoch seconds


class StepMissed(NamedTuple):
    """Why a step runs although there is a cache; sent once, when it is about to."""

    step: str
    cause: str  # one line


class StepLog(NamedTuple):
    """Bytes that a step printed; not line-aligned."""

    step: str
    stream: int  # 1 stdout, 2 stderr
    data: bytes
    at: float


class StepProgress(NamedTuple):
    """How far a transfer or another countable part of a step is; ``total`` 0: not known."""

    step: str
    item: str  # "sha256:1234… pulling"
    current: int
    total: int
    unit: str  # "B" bytes, or ""
    at: float


class StepFinished(NamedTuple):
    """A step is over: cached, done, failed or cancelled."""

    step: str
    at: float
    is_cached: bool
    error: str | None  # None: it went well
    is_cancelled: bool = False
    seconds: float = 0.0  # wall time of its execution; 0 for a cached step
    key: str | None = None  # its cache key, as far as it is known
    is_unneeded: bool = False  # of a cached step: nobody had to look whether it was


class StepUsage(NamedTuple):
    """What the process of a step took, sent before the step is over."""

    step: str
    cpu_s: float
    peak_memory: int  # bytes


class Warned(NamedTuple):
    """Something a person should know that does not stop the job."""

    message: str
    hint: str | None
    location: Location | None
    rule: str | None = None  # of the build checks: the one that the Dockerfile breaks


Event = StepQueued | StepStarted | StepMissed | StepLog | StepProgress | StepFinished | StepUsage | Warned


class Progress(Protocol):
    """Receives events."""

    def emit(self, event: Event) -> None:
        """Must not block and must not raise; called from any thread."""


class NoProgress:
    """Drops every event."""

    def emit(self, event: Event) -> None:
        """Does nothing."""
