"""What shared caches tell of the builds that made them: to explain misses where nothing was built before."""

from __future__ import annotations

from collections.abc import Iterator

from builder.cache.document import CacheDocument
from builder.cache.overlay import InputsWithImports
from builder.engine.history.record import BuildRecord, StepRecord
from builder.engine.sharing.session import Sharing
from builder.solver.inputs import KeyInputs


def shared_builds(sharing: Sharing) -> list[BuildRecord]:
    """One for each cache, with the steps that it has records of, in the order in which they ran."""
    builds = []
    for imported in sharing.imports:
        steps = sorted(_steps(imported.document), key=lambda each: each[0])
        builds.append(BuildRecord(id="", started_at=0.0, steps=tuple(step for _, step in steps)))
    return builds


def inputs_of(sharing: Sharing) -> InputsWithImports:
    """The store's records and those of shared caches, to be looked at and not to be taken."""
    return InputsWithImports(sharing.engine.cache, sharing.imports, lambda result: True)


def _steps(document: CacheDocument) -> Iterator[tuple[tuple[float, str], StepRecord]]:
    for key, record in document.records.items():
        inputs = KeyInputs.decode(record.inputs)
        if inputs is not None and inputs.name:
            layer = document.layers.get(record.result) if record.result is not None else None
            made_at = layer.created_at if layer is not None else 0.0
            step = StepRecord(digest=str(key), name=inputs.name, key=str(key), status="done")
            yield (made_at, inputs.name), step
