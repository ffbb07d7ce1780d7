"""One step of this build, which another build may be running at this moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from builder.cache.interface import CacheBackend
from builder.core.digest import Digest
from builder.core.events import StepLog
from builder.core.job import Job
from builder.llb.definition import Vertex
from builder.solver.interface import Turn, Turns

T = TypeVar("T")


class SharedStep:
    """A step with its key; both methods are called in workers."""

    def __init__(
        self, turns: Turns, cache: CacheBackend, job: Job, digest: Digest, vertex: Vertex, key: Digest
    ) -> None:
        self._turns = turns
        self._cache = cache
        self._job = job
        self._digest = digest
        self._vertex = vertex
        self._key = key

    def run(self, work: Callable[[], T]) -> tuple[Turn, T] | None:
        """What ``work`` gives, and the turn, to be closed when its record is there.

        None: another build has the turn, or its record is there by now.
        """
        self._job.cancel.check()
        turn = self._turns.take(self._key, f"{self._vertex.name}, pid {os.getpid()}")
        if turn is None:
            return None
        try:
            # Between the look-up and the turn another build may have come to the step's end.
            if not self._cache.lookup([self._key]):
                return turn, work()
        except BaseException:
            turn.close()
            raise
        turn.close()
        return None

    def wait(self, tell_started: Callable[[], None]) -> None:
        """Until nobody has the turn; people are told whom we wait for. Raises Cancelled."""
        holder = self._turns.holder(self._key)
        if holder and self._vertex.name:
            tell_started()
            text = f"waiting for another build's {holder.partition('] ')[2] or holder}\n"
            self._job.progress.emit(StepLog(str(self._digest), 2, os.fsencode(text), time.time()))
        self._turns.wait(self._key, self._job.cancel)
