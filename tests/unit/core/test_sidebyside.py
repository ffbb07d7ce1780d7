"""Tasks that run side by side."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from builder.core.errors import Cancelled
from builder.core.job import Cancel
from builder.core.sidebyside import side_by_side


def _append(done: list[int], number: int, cancel: Cancel) -> None:
    done.append(number)


def test_first_failure_ends_the_others() -> None:
    """Those that run are cancelled, those that wait do not begin; the error is that of the first."""
    begun: list[int] = []
    is_waiting = threading.Event()

    def waits(cancel: Cancel) -> None:
        begun.append(1)
        over = threading.Event()
        cancel.on_cancel(over.set)
        is_waiting.set()
        assert over.wait(30)
        cancel.check()

    def fails(cancel: Cancel) -> None:
        assert is_waiting.wait(30)
        raise LookupError

    with pytest.raises(LookupError):
        side_by_side([waits, fails, *[waits] * 5], 2, Cancel())
    assert begun == [1]


def test_cancelling_ends_all() -> None:
    """From outside, too."""
    outer = Cancel()

    def cancels(cancel: Cancel) -> None:
        outer.cancel()
        cancel.check()

    with pytest.raises(Cancelled):
        side_by_side([cancels], 2, outer)


def test_all_are_done() -> None:
    """However many there are."""
    done: list[int] = []
    side_by_side([partial(_append, done, number) for number in range(9)], 2, Cancel())

    assert sorted(done) == list(range(9))
