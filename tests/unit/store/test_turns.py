"""Turns: one has it, the others wait, and a killed one blocks nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.core.digest import Digest
from builder.core.errors import Cancelled
from builder.core.job import Cancel
from builder.store.state import StateDir
from builder.store.turns import LocalTurns
from tests.support.killing import other_process

KEY = Digest.of(b"a step")


def test_one_has_it_and_says_who_it_is(tmp_path: Path) -> None:
    """The second is refused until the first is done, and no file stays."""
    with StateDir.open(tmp_path) as state:
        first, second = LocalTurns(state), LocalTurns(state)
        turn = first.take(KEY, "[2/3] RUN make, pid 1")
        assert turn is not None
        assert second.take(KEY, "me") is None
        assert second.holder(KEY) == "[2/3] RUN make, pid 1"

        turn.close()
        turn.close()
        assert second.holder(KEY) == ""
        again = second.take(KEY, "me")
        assert again is not None
        again.close()
        assert os.listdir(state.turns) == []


def test_other_keys_are_free(tmp_path: Path) -> None:
    """A turn is of one key."""
    with StateDir.open(tmp_path) as state:
        turns = LocalTurns(state)
        one, other = turns.take(KEY, "me"), turns.take(Digest.of(b"another"), "me")

        assert one is not None
        assert other is not None


def test_who_waits_goes_on_when_the_holder_is_killed(tmp_path: Path) -> None:
    """The lock ends with its process; its file goes with the next turn."""

    def hold(say: Callable[[bytes], None], wait: Callable[[], None]) -> None:
        with StateDir.open(tmp_path) as state:
            turn = LocalTurns(state).take(KEY, "the other")
            assert turn is not None
            say(b"taken")
            wait()

    with other_process(hold) as other:
        assert other.wait() == b"taken"
        with StateDir.open(tmp_path) as state:
            turns = LocalTurns(state)
            assert turns.holder(KEY) == "the other"
            waiter = threading.Thread(target=turns.wait, args=(KEY, Cancel()))
            waiter.start()
            other.kill()
            waiter.join(20)
            assert not waiter.is_alive()
            turn = turns.take(KEY, "me")
            assert turn is not None
            turn.close()

            assert os.listdir(state.turns) == []


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    """A cancelled job does not wait for the other build's step."""
    with StateDir.open(tmp_path) as state:
        turns, cancel = LocalTurns(state), Cancel()
        turn = turns.take(KEY, "the other")
        assert turn is not None
        cancel.cancel()

        with pytest.raises(Cancelled):
            turns.wait(KEY, cancel)


def test_sweep_takes_the_files_of_the_dead_alone(tmp_path: Path) -> None:
    """A file that nobody has locked goes, one that somebody has stays."""
    with StateDir.open(tmp_path) as state:
        turns = LocalTurns(state)
        turn = turns.take(KEY, "me")
        assert turn is not None
        (state.turns / "dead").touch()
        turns.sweep()

        assert os.listdir(state.turns) == [KEY.hex]
