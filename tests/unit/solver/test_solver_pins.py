"""Steps whose key takes a look outside."""

from __future__ import annotations

import threading

import pytest

from builder.core.errors import PybuildError
from builder.core.location import Location
from builder.llb.definition import Edge
from tests.support.toy_ops import Toys

PLACE = Location(3, 0, 3, 0)


def remote(toys: Toys, value: int) -> Edge:
    """A step above something from outside, whose version is ``value``."""
    toys.begin()
    toys.pins["remote"] = lambda: value
    return toys.add("top", toys.add("remote", location=PLACE))


def test_pin_is_the_key() -> None:
    """The same version is a hit, another one runs the step and what is above, an old one is a hit again."""
    toys = Toys()

    assert toys.solve(remote(toys, 1)).executed == ["remote", "top"]
    assert toys.solve(remote(toys, 1)).executed == []
    assert toys.solve(remote(toys, 2)).executed == ["remote", "top"]
    assert toys.solve(remote(toys, 1)).executed == []


def test_content_of_a_pinned_step_is_remembered() -> None:
    """Who reads its content needs no result of it, as long as the version is the same."""
    toys = Toys()
    toys.pins["remote"] = lambda: 1

    def top() -> Edge:
        toys.begin()
        return toys.add("top", toys.add("remote"), content=[0])

    toys.solve(top())
    second = toys.solve(top())

    assert (second.executed, second.slow_keys) == ([], [])


def test_pinned_once() -> None:
    """Two who read it cause one look."""
    toys = Toys()
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        return 1

    toys.pins["remote"] = look
    toys.begin()
    below = toys.add("remote")
    toys.solve(toys.add("top", toys.add("left", below), toys.add("right", below)))

    assert looks == 1


def test_looks_are_side_by_side() -> None:
    """A slow server does not hold up the question to another one."""
    toys = Toys()
    meeting = threading.Barrier(2, timeout=30)
    toys.pins["left"] = toys.pins["right"] = lambda: meeting.wait() * 0
    toys.begin()

    assert toys.solve(toys.add("top", toys.add("left"), toys.add("right"))).executed == [
        "left",
        "right",
        "top",
    ]


def test_failed_look_has_a_place() -> None:
    """The error of a look gets the line of its step."""

    def fail() -> int:
        raise PybuildError("no answer")

    toys = Toys()
    toys.pins["remote"] = fail
    toys.begin()
    with pytest.raises(PybuildError, match="no answer") as caught:
        toys.solve(toys.add("remote", location=PLACE))

    assert caught.value.location == PLACE
