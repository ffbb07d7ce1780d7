"""One build, and each of its steps, as values; and how the store keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from builder.core.location import Location
from builder.engine.recorder import Seen

Outcome = Literal["done", "failed", "cancelled"]
# unneeded: what is above it was cached, so that nobody looked at it; unreached: the build ended before it.
Status = Literal["cached", "done", "failed", "cancelled", "unneeded", "unreached"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the process of a step took beside time."""

    cpu_s: float  # also of the processes that it waited for
    peak_memory: int  # bytes that the largest of them had in memory at once


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of a build as it went."""

    digest: str  # of the vertex: its name within this build
    name: str  # "[build 2/5] RUN make"
    location: Location | None = None
    inputs: tuple[str, ...] = ()  # digests of steps
    text: str = ""  # the lines of the Dockerfile
    status: Status = "unreached"
    key: str | None = None  # the cache key, as far as it became known
    result: str | None = None  # the name of its snapshot
    started_at: float | None = None  # epoch seconds; None: it did not run
    seconds: float = 0.0
    error: str | None = None
    cause: str | None = None  # why it ran
    usage: Usage | None = None  # None: it started no process


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord:
    """One build: what was asked for, what it read, what it did, and how it ended."""

    id: str
    started_at: float  # epoch seconds
    seconds: float = 0.0
    context: str = ""  # an absolute path, or an address without its login
    file: str | None = None  # the Dockerfile, if it was named
    target: str | None = None
    arguments: tuple[tuple[str, str], ...] = ()  # options that change what is built; secrets by name alone
    outcome: Outcome = "done"
    error_code: str | None = None
    error: str | None = None
    image: str | None = None
    tags: tuple[str, ...] = ()
    seen: tuple[Seen, ...] = ()
    dockerfile: str = ""  # its text
    steps: tuple[StepRecord, ...] = ()

    @property
    def project(self) -> tuple[str, str | None, str | None]:
        """What two builds of the same thing have in common."""
        return self.context, self.file, self.target

    def encode(self) -> bytes:
        """For the store; what equals its default, and what ``decode`` derives, is left out."""
        document = _stated(self, _BUILD_DEFAULTS)
        document["seen"] = self.seen
        if self.steps:
            # Inputs by number: digests are most of a record, and 200 records of thousands of steps are much.
            numbers = {step.digest: number for number, step in enumerate(self.steps)}
            document["steps"] = [_step_document(step, numbers) for step in self.steps]
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        try:
            return text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            # Half a character, out of somebody else's JSON that a message repeats.
            return text.encode("utf-8", "surrogatepass")

    @classmethod
    def decode(cls, id: str, started_at: float, data: bytes) -> BuildRecord:
        """Also what earlier versions wrote, of which less is known."""
        document: dict[str, Any] = json.loads(data.decode("utf-8", "surrogateescape"))
        dockerfile = document.get("dockerfile", "")
        lines = dockerfile.split("\n")
        steps = document.get("steps", ())
        digests = [step["digest"] for step in steps]
        return cls(
            id=id,
            started_at=started_at,
            seconds=document.get("seconds", 0.0),
            context=document.get("context", ""),
            file=document.get("file"),
            target=document.get("target"),
            arguments=tuple((name, value) for name, value in document.get("arguments", ())),
            outcome=document.get("outcome", "done"),
            error_code=document.get("error_code"),
            error=document.get("error"),
            image=document.get("image"),
            tags=tuple(document.get("tags", ())),
            seen=tuple(Seen(*entry) for entry in document.get("seen", ())),
            dockerfile=dockerfile,
            steps=tuple(_step(step, lines, digests) for step in steps),
        )


def _stated(value: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    stated = ((name, getattr(value, name), default) for name, default in defaults.items())
    return {name: found for name, found, default in stated if found != default}


_BUILD_DEFAULTS: dict[str, Any] = {
    "seconds": 0.0, "context": "", "file": None, "target": None, "arguments": (), "outcome": "done",
    "error_code": None, "error": None, "image": None, "tags": (), "dockerfile": "",
}  # fmt: skip
_STEP_DEFAULTS: dict[str, Any] = {
    "digest": "", "name": "", "status": "unreached", "key": None, "result": None,
    "started_at": None, "seconds": 0.0, "error": None, "cause": None, "location": None,
}  # fmt: skip


def _step_document(step: StepRecord, numbers: Mapping[str, int]) -> dict[str, Any]:
    document = _stated(step, _STEP_DEFAULTS)
    if step.inputs:
        document["inputs"] = [numbers.get(name, name) for name in step.inputs]
    if step.usage is not None:
        document["usage"] = [round(step.usage.cpu_s, 4), step.usage.peak_memory]
    return document


def _step(document: dict[str, Any], lines: list[str], digests: list[str]) -> StepRecord:
    place = document.get("location")
    location = Location(*place) if place else None
    usage = document.get("usage")
    return StepRecord(
        digest=document["digest"],
        name=document.get("name", ""),
        location=location,
        inputs=tuple(digests[name] if isinstance(name, int) else name for name in document.get("inputs", ())),
        text="\n".join(lines[location.start_line - 1 : location.end_line]) if location else "",
        status=document.get("status", "unreached"),
        key=document.get("key"),
        result=document.get("result"),
        started_at=document.get("started_at"),
        seconds=document.get("seconds", 0.0),
        error=document.get("error"),
        cause=document.get("cause"),
        usage=Usage(cpu_s=usage[0], peak_memory=usage[1]) if usage else None,
    )
