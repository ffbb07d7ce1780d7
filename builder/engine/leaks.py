"""Secrets that a build used must not be in what it leaves: its layers and its logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.engine.assemble import Engine
from builder.engine.history.record import StepRecord
from builder.engine.logs import log_path
from builder.engine.session import UsedSecrets


class SecretLeaked(PybuildError):
    """A step left a secret behind, in a file of its layer or in what it printed."""

    kind = Kind.INVALID
    code = "secret-leaked"

    def __init__(self, secret: str, where: str, form: str, step: str) -> None:
        super().__init__(
            f'the secret "{secret}" is {form} in {where} of the step "{step}"',
            hint="use it without writing it down; nothing was tagged, and no step of this build is cached",
        )


def refuse_leaks(engine: Engine, used: UsedSecrets, steps: Sequence[StepRecord], logs: Path) -> None:
    """Look through what the steps that ran have left.

    Raises SecretLeaked for the first one; then the log is gone in which it was, and what ran is forgotten, so
    that no later build hits it.
    """
    from builder.fs.needles import Needles

    needles = Needles(used.values)
    ran = [step for step in steps if step.status == "done"] if needles else []
    for step in ran:
        log = log_path(logs, step.digest)
        printed = log.read_bytes() if log.exists() else b""
        found, where = next(needles.find_in_bytes(printed, ""), None), "the output"
        if found is not None:
            log.unlink()
        elif directory := _layer(engine, step):
            found = next(needles.find_in_tree(directory), None)
            where = f'the file "/{found.path}"' if found else ""
        if found is None:
            continue
        for other in ran:
            if other.key is not None:
                engine.cache.forget(Digest.parse(other.key))
        error = SecretLeaked(found.secret, where, found.form, step.name)
        error.at(step.location)
        raise error


def _layer(engine: Engine, step: StepRecord) -> str:
    """The directory with what a step changed; "": none of its own."""
    snapshot = engine.snapshots.stat(step.result) if step.result else None
    if snapshot is None:
        return ""
    directory = engine.state.snapshots / (snapshot.same_as or snapshot.name)
    return str(directory) if directory.exists() else ""
