"""The state of one vertex while it is solved, and what it says of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic

from builder.core.digest import Digest
from builder.llb.definition import Vertex
from builder.solver.inputs import KeyInputs, KeyPart
from builder.solver.interface import CacheMap, Op, R


class Step(Generic[R]):
    """The state of one vertex; touched by the coordinator only."""

    __slots__ = (
        "advancing", "cache_map", "contents", "digest", "guesses", "inputs", "is_cached", "is_looked_up",
        "is_pinning", "is_running", "key", "op", "op_digest", "results", "started_at", "users", "vertex",
        "wants_key", "wants_result", "was_lost",
    )  # fmt: skip

    def __init__(self, digest: Digest, vertex: Vertex, op: Op[R], cache_map: CacheMap[R]) -> None:
        self.digest = digest
        self.vertex = vertex
        self.op = op
        self.cache_map = cache_map
        self.inputs: list[Step[R]] = []
        self.users: list[Step[R]] = []
        self.op_digest = cache_map.digest
        self.key: Digest | None = cache_map.digest if cache_map.is_source else None
        self.contents: dict[int, Digest] = {}
        self.results: Sequence[R] | None = None
        self.wants_key = False
        self.wants_result = False
        self.is_looked_up = False
        self.is_running = False
        self.is_pinning = False
        self.is_cached = False
        self.was_lost = False  # there is a record, whose result is gone
        self.started_at = 0.0
        self.advancing: set[int] = set()  # inputs whose content is being computed
        self.guesses: set[int] = set()  # inputs whose content is a memo's word; it falls if they run again

    @property
    def has_key(self) -> bool:
        """Whether it has a key, now or in time."""
        return not self.cache_map.is_source or self.cache_map.digest is not None


def memo_name(step: Step[R], index: int) -> str:
    """What names the content of one input beside that input's key."""
    output = step.vertex.inputs[index].output
    selector = step.cache_map.deps[index].selector
    return f"{output}:{selector}" if output else selector


def parts_of(step: Step[R]) -> tuple[KeyPart, ...]:
    """How each input entered the key of a step that has one."""
    parts = []
    for index, (below, dep) in enumerate(zip(step.inputs, step.cache_map.deps, strict=True)):
        is_content = index in step.contents
        digest = step.contents[index] if is_content else below.key
        assert digest is not None, "an input that has no key counts by content"
        parts.append(
            KeyPart(
                by="content" if is_content else "key",
                digest=str(digest),
                output=0 if is_content else step.vertex.inputs[index].output,
                key=str(below.key or ""),
                step=below.vertex.name,
                part=dep.selector,
                source=below.cache_map.plain() if below.cache_map.is_source else None,
            )
        )
    return tuple(parts)


def reread(parts: Sequence[KeyPart], contents: Mapping[int, Digest]) -> tuple[KeyPart, ...]:
    """The same, of what a step really read."""
    return tuple(
        replace(part, by="content", digest=str(contents[index]), output=0) if index in contents else part
        for index, part in enumerate(parts)
    )


def inputs_of(step: Step[R], parts: tuple[KeyPart, ...]) -> KeyInputs:
    assert step.op_digest is not None, "who runs has a key"
    return KeyInputs(name=step.vertex.name, op=step.op_digest, plain=step.cache_map.plain(), parts=parts)
