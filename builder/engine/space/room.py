"""Room for a build: the store is within its limit when it starts, and a full disk is met once."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from builder.core.errors import Kind, PybuildError
from builder.core.events import Warned
from builder.core.job import Cancel
from builder.core.steps import as_step
from builder.engine.assemble import Engine
from builder.engine.space.limits import StoreLimits
from builder.store.interface import StateDirectory

if TYPE_CHECKING:  # most builds find that there is room
    from builder.engine.space.policy import Policy
    from builder.engine.space.prune import Pruned

T = TypeVar("T")

# Of a disk that a step's failure is blamed on: pip and apt stop with as much left.
_NEXT_TO_NOTHING = 16 << 20
# With so much of the disk free, it was another one that was full: that of an output, say.
_FREE_PART = 0.5
# What is given back on a full disk, at least: a quarter of the store, or so much.
_WORTH_A_RETRY = 1 << 30


class NoRoom(PybuildError):
    """The disk of the store is full, and nothing in it may go."""

    kind = Kind.UNAVAILABLE
    code = "no-room"

    def __init__(self, root: object) -> None:
        super().__init__(
            f'no space is left on the disk of "{root}", and nothing in the store may go',
            hint="`pybuild du` says what the store takes, `pybuild prune --all` gives it back",
        )


def with_room(engine: Engine, limits: StoreLimits, work: Callable[[], T]) -> T:
    """``work`` in a store within its limits; if the disk is full then, room is made, and it runs once more.

    Raises NoRoom.
    """
    engine.cache.max_age_s = limits.ttl_s
    keep_limits(engine, limits)
    stopped = engine.job.cancel
    with _attempt(engine, stopped):
        try:
            return work()
        except (PybuildError, OSError) as error:
            if stopped.is_cancelled or not _is_of_a_full_disk(error, engine.state):
                raise
            failure = error
    if not _give_back(engine):
        raise NoRoom(engine.state.root) from failure
    try:
        with _attempt(engine, stopped):
            return work()
    except (PybuildError, OSError) as error:
        if _is_of_a_full_disk(error, engine.state):
            raise NoRoom(engine.state.root) from error
        raise


@contextlib.contextmanager
def _attempt(engine: Engine, stopped: Cancel) -> Iterator[None]:
    """A failure cancels the job that it happens in: each attempt has one of its own."""
    before, cancel = engine.job, Cancel()
    forget = stopped.on_cancel(cancel.cancel)
    engine.job = replace(before, cancel=cancel)
    try:
        yield
    finally:
        forget()
        engine.job = before


def keep_limits(engine: Engine, limits: StoreLimits) -> None:
    """Give back what is too old, and then what was used longest ago, until the store is within its limit."""
    from builder.engine.space.policy import Policy
    from builder.store.sizes import Sizes

    most = limits.bytes_on(engine.state.root)
    if limits.max_age_s is not None and _has_older(engine, limits.max_age_s):
        _prune(engine, Policy(unused_s=limits.max_age_s, takes_shared=True), "forget what is too old")
    if most is None:
        return
    total = sum(Sizes(engine.state, engine.database).measure().values())
    if total <= most:
        return
    name = f"make room: the store takes {_megabytes(total)}, its limit is {_megabytes(most)}"
    left = _prune(engine, Policy(keep=most, keep_text="the limit"), name).after
    if left > most:
        engine.job.progress.emit(
            Warned(
                f"the store takes {_megabytes(left)}, more than its limit of {_megabytes(most)}",
                "named images, containers and what running commands use stay; `pybuild du -v` lists them",
                None,
            )
        )


def _has_older(engine: Engine, seconds: float) -> bool:
    import time

    row = engine.database.row(
        "SELECT 1 FROM records WHERE coalesce(used_at, created_at) < ? LIMIT 1", (time.time() - seconds,)
    )
    return row is not None


def _prune(engine: Engine, policy: Policy, name: str, *, counts_own: bool = False) -> Pruned:
    from builder.engine.space.prune import prune

    return as_step(
        "room", f"[internal] {name}", engine.job, lambda: prune(engine, policy, counts_own=counts_own)
    )


def _give_back(engine: Engine) -> bool:
    """Whether that was anything."""
    from builder.engine.space.policy import Policy
    from builder.store.sizes import Sizes
    from builder.store.state import remove_tree

    # Without the database, which may not be able to grow either.
    failed = list(engine.state.failed.iterdir())
    for path in failed:
        remove_tree(path)
    total = sum(Sizes(engine.state, engine.database).measure().values())
    keep = max(0, total - max(total // 4, _WORTH_A_RETRY))
    freed = _prune(engine, Policy(keep=keep), "make room: the disk is full", counts_own=True).freed
    return bool(freed or failed)


def _is_of_a_full_disk(error: BaseException, state: StateDirectory) -> bool:
    from builder.ops.exec import StepFailed
    from builder.store.database import is_full

    disk = os.statvfs(state.scratch)
    if disk.f_bavail > disk.f_blocks * _FREE_PART:
        return False
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if is_full(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return isinstance(error, StepFailed) and disk.f_bavail * disk.f_frsize < _NEXT_TO_NOTHING


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
