"""Cancellation: callbacks run once, whoever comes first."""

from __future__ import annotations

import threading

import pytest

from builder.core.errors import Cancelled, Kind
from builder.core.job import Cancel, Job


def test_check_raises_after_cancel() -> None:
    """Work that asks learns that it should stop."""
    cancel = Cancel()
    cancel.check()
    cancel.cancel()

    assert cancel.is_cancelled
    with pytest.raises(Cancelled) as caught:
        cancel.check()
    assert caught.value.kind is Kind.CANCELLED


def test_callbacks_run_once() -> None:
    """However often one cancels, a callback is called once."""
    cancel, calls = Cancel(), []
    cancel.on_cancel(lambda: calls.append("a"))
    cancel.on_cancel(lambda: calls.append("b"))
    cancel.cancel()
    cancel.cancel()

    assert calls == ["a", "b"]


def test_late_callback_runs_at_once() -> None:
    """Who registers after the cancel is called before the registration returns."""
    cancel, calls = Cancel(), []
    cancel.cancel()
    take_back = cancel.on_cancel(lambda: calls.append("late"))
    take_back()

    assert calls == ["late"]


def test_taken_back_callback_does_not_run() -> None:
    """A step that is over is not told any more."""
    cancel, calls = Cancel(), []
    take_back = cancel.on_cancel(lambda: calls.append("x"))
    take_back()
    take_back()
    cancel.cancel()

    assert calls == []


def test_callback_may_register_and_take_back() -> None:
    """A callback that uses the same Cancel does not deadlock."""
    cancel, calls = Cancel(), []
    others = [cancel.on_cancel(lambda: calls.append("other"))]

    def callback() -> None:
        others[0]()
        cancel.on_cancel(lambda: calls.append("nested"))

    cancel.on_cancel(callback)
    cancel.cancel()

    assert calls == ["other", "nested"]


def test_every_thread_sees_it() -> None:
    """Each of many threads that register is called exactly once."""
    cancel, calls = Cancel(), []
    start = threading.Barrier(9)

    def register(n: int) -> None:
        start.wait()
        for i in range(100):
            cancel.on_cancel(lambda: calls.append((n, i)))  # noqa: B023 (called or kept in this turn)

    threads = [threading.Thread(target=register, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    cancel.cancel()
    for thread in threads:
        thread.join()

    assert len(calls) == 800


def test_a_job_has_defaults_of_its_own() -> None:
    """Two jobs share no flag."""
    first, second = Job("a"), Job("b")
    first.cancel.cancel()

    assert not second.cancel.is_cancelled
