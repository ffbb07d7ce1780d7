"""When a step has had its time."""

from __future__ import annotations

import threading

import pytest

from builder.core.limits import TimeLimits
from builder.ops.watchdog import Watchdog

_S = 1_000_000_000


class _Clock:
    def __init__(self) -> None:
        self.now = 5 * _S

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize(
    ("limits", "at_s", "heard_s", "left_s", "said"),
    [
        (TimeLimits(total=60 * _S), 59, 0, 1, None),
        (TimeLimits(total=60 * _S), 60, 59, None, "longer than 1m0s"),
        (TimeLimits(silence=10 * _S), 19, 10, 1, None),
        (TimeLimits(silence=10 * _S), 20, 10, None, "nothing for 10s"),
        (TimeLimits(60 * _S, 10 * _S), 55, 54, 5, None),
        (TimeLimits(60 * _S, 10 * _S), 60, 60, None, "longer than 1m0s"),
        (TimeLimits(60 * _S, 10 * _S), 40, 30, None, "nothing for 10s"),
    ],
)
def test_look(limits: TimeLimits, at_s: int, heard_s: int, left_s: int | None, said: str | None) -> None:
    """The nearer limit counts, silence from the last output on."""
    clock = _Clock()
    watchdog = Watchdog(limits, lambda: None, clock=clock)
    clock.now = (5 + heard_s) * _S
    watchdog.heard()
    clock.now = (5 + at_s) * _S
    left = watchdog.look()

    assert left == (None if left_s is None else left_s * _S)
    assert (str(watchdog.error) if watchdog.error else None) == (
        said and f"the step {'took' if 'longer' in said else 'printed'} {said}"
    )


def test_it_kills_and_goes() -> None:
    """Once, in a thread that ends with the block."""
    killed = threading.Event()
    with Watchdog(TimeLimits(total=1), killed.set) as watchdog:
        assert killed.wait(60)

    assert watchdog.error is not None
    assert not [thread for thread in threading.enumerate() if thread.name == "watchdog"]


def test_without_limits_there_is_no_thread() -> None:
    """It costs nothing."""
    with Watchdog(TimeLimits(), lambda: None):
        assert not [thread for thread in threading.enumerate() if thread.name == "watchdog"]
