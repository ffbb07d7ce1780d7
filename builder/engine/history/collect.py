"""A build's record, made of its events as they pass by."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.core.errors import Cancelled, PybuildError
from builder.core.events import Event, Progress, StepFinished, StepMissed, StepQueued, StepStarted, StepUsage
from builder.core.reference import Reference
from builder.core.secretnames import looks_secret
from builder.core.weburl import all_shown, shown
from builder.engine.history.record import BuildRecord, Outcome, Status, StepRecord, Usage
from builder.engine.history.shelf import BuildShelf
from builder.engine.recorder import Recorder

if TYPE_CHECKING:  # it imports this module
    from builder.engine.build import BuildRequest, BuildSource

_LONGEST_DOCKERFILE = 1 << 20  # bytes; of a longer one the record has the names of the steps alone


class StepCollector:
    """Passes events on, and keeps what they say of each step. Thread-safe."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._queued: dict[str, StepQueued] = {}
        self._started: dict[str, float] = {}
        self._finished: dict[str, StepFinished] = {}
        self._usage: dict[str, Usage] = {}
        self._results: dict[str, str] = {}
        self._causes: dict[str, str] = {}
        self.image: str | None = None
        self.tags: tuple[str, ...] = ()

    def emit(self, event: Event) -> None:
        """See Progress."""
        match event:
            case StepQueued():
                with self._lock:
                    self._queued.setdefault(event.step, event)
            case StepStarted():
                with self._lock:
                    self._started[event.step] = event.at
            case StepMissed():
                with self._lock:
                    self._causes[event.step] = event.cause
            case StepFinished():
                with self._lock:
                    self._finished[event.step] = event
            case StepUsage():
                with self._lock:
                    self._usage[event.step] = Usage(cpu_s=event.cpu_s, peak_memory=event.peak_memory)
            case _:
                pass
        self._inner.emit(event)

    def note_result(self, step: str, snapshot: str) -> None:
        """What a step's result is called in the store."""
        self._results[step] = snapshot

    def note_image(self, image: str, tags: Sequence[Reference]) -> None:
        """What the build made."""
        self.image, self.tags = image, tuple(str(tag) for tag in tags)

    def steps(self) -> tuple[StepRecord, ...]:
        """In the order in which people were told of them."""
        with self._lock:
            return tuple(self._step(queued) for queued in self._queued.values())

    def _step(self, queued: StepQueued) -> StepRecord:
        finished = self._finished.get(queued.step)
        return StepRecord(
            digest=queued.step,
            name=queued.name,
            location=queued.location,
            inputs=tuple(dict.fromkeys(queued.inputs)),
            status=_status(finished, is_started=queued.step in self._started),
            key=finished.key if finished else None,
            result=self._results.get(queued.step),
            started_at=self._started.get(queued.step),
            seconds=finished.seconds if finished else 0.0,
            error=finished.error if finished else None,
            cause=self._causes.get(queued.step),
            usage=self._usage.get(queued.step),
        )


def _status(finished: StepFinished | None, *, is_started: bool) -> Status:
    if finished is None:
        return "cancelled" if is_started else "unreached"
    if finished.is_cancelled:
        return "cancelled"
    if finished.error is not None:
        return "failed"
    if finished.is_unneeded:
        return "unneeded"
    return "cached" if finished.is_cached else "done"


@contextlib.contextmanager
def recorded(
    shelf: BuildShelf,
    build_id: str,
    request: BuildRequest,
    recorder: Recorder,
    source: BuildSource,
    progress: Progress,
) -> Iterator[StepCollector]:
    """The build in the block is put on the shelf when it ends, however it ends."""
    collector = StepCollector(progress)
    started_at = time.time()
    context, file, target = project_of(request)

    def put(outcome: Outcome, error: BaseException | None) -> None:
        record = BuildRecord(
            id=build_id,
            started_at=started_at,
            seconds=time.time() - started_at,
            context=context,
            file=file,
            target=target,
            arguments=tuple(_arguments(request)),
            outcome=outcome,
            image=collector.image,
            tags=collector.tags,
            seen=tuple(recorder.seen()),
            dockerfile=_text(source.data),
            steps=collector.steps(),
        )
        if isinstance(error, PybuildError):
            record = replace(record, error_code=error.code, error=error.message)
        elif error is not None and outcome == "failed":
            record = replace(record, error_code="host-failed", error=str(error) or type(error).__name__)
        shelf.put(record)

    try:
        yield collector
    except BaseException as error:
        is_cancelled = isinstance(error, Cancelled | KeyboardInterrupt)
        # What the build met is told; that the same full disk took its record is not worth more than that.
        with contextlib.suppress(PybuildError):
            put("cancelled" if is_cancelled else "failed", error)
        raise
    put("done", None)


def project_of(request: BuildRequest) -> tuple[str, str | None, str | None]:
    """See BuildRecord.project."""
    file = _place(request.file) if request.file is not None else None
    return _place(request.context), file, request.target


def _place(text: str) -> str:
    return os.path.abspath(text) if os.path.exists(text) else shown(text)


def _text(data: bytes | None) -> str:
    if data is None or len(data) > _LONGEST_DOCKERFILE:
        return ""
    return data.decode("utf-8", "surrogateescape")


def _arguments(request: BuildRequest) -> Iterator[tuple[str, str]]:
    """Options as on the command line; of what looks like a secret only the name."""
    for name, value in request.build_args.items():
        yield "--build-arg", name if looks_secret(name) else f"{name}={all_shown(value)}"
    for name, place in request.named_contexts.items():
        yield "--build-context", f"{name}={shown(place)}"
    for name, value in request.labels.items():
        yield "--label", name if looks_secret(name) else f"{name}={value}"
    if request.platforms:
        yield "--platform", ",".join(map(str, request.platforms))
    if request.network is not None:
        yield "--network", request.network
    if request.pull != "missing":
        yield "--pull", request.pull
    if request.is_cache_ignored:
        yield "--no-cache", ""
    if request.uncached_stages:
        yield "--no-cache-filter", ",".join(sorted(request.uncached_stages))
    for secret in request.secrets:
        yield "--secret", f"id={secret.id}"
    for agent in request.ssh:
        yield "--ssh", agent.id
