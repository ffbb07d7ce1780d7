"""Scripts of events in ``testdata/render/<case>/events.txt``, and a terminal to look at.

A script line is an event as its class is called, ``StepLog("a", 1, b"text\\n", 0.5)``, with
times in seconds after the start, or ``Tick(0.5)``: the clock says so and the view is drawn.
"""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from builder.core import events
from builder.core.location import Location

CASES = Path(__file__).parents[3] / "testdata" / "render"


class Clock:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def script(path: Path) -> Iterator[events.Event | float]:
    """Events, and the times of ticks."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition("(")
        arguments = ast.literal_eval(f"({rest.removesuffix(')')},)")
        if name == "Tick":
            yield float(arguments[0])
            continue
        if name in ("StepQueued", "Warned") and arguments[-1] is not None:
            arguments = (*arguments[:-1], Location(*arguments[-1]))
        yield getattr(events, name)(*arguments)


def play(path: Path, clock: Clock, emit: Callable[[events.Event], None], tick: Callable[[], None]) -> None:
    """Send the script's events; the clock follows the ticks and the events' own times."""
    for entry in script(path):
        if isinstance(entry, float):
            clock.now = entry
            tick()
        else:
            clock.now = getattr(entry, "at", clock.now)
            emit(entry)


class Screen(io.StringIO):
    """A terminal that knows what the live view uses, and refuses everything else."""

    _TOKEN = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|([\r\n])|([^\x00-\x1f\x7f]+)")

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.width = width
        self.height = height
        self.lines = [""] * height
        self.history: list[str] = []
        self.is_cursor_hidden = False
        self._row = 0
        self._column = 0

    def write(self, text: str) -> int:
        position = 0
        while position < len(text):
            match = self._TOKEN.match(text, position)
            assert match is not None, f"not understood: {text[position : position + 20]!r}"
            position = match.end()
            private, number, command, control, plain = match.groups()
            if plain is not None:
                self._print(plain)
            elif control is not None:
                self._control(control)
            elif private:
                assert number == "25"
                self.is_cursor_hidden = command == "l"
            else:
                self._command(command, number)
        return len(text)

    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        """What is on the screen, without empty lines at the end."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n").split("\n")

    def everything(self) -> list[str]:
        """What scrolled away and what is on the screen."""
        return [*(line.rstrip() for line in self.history), *self.shown()]

    def _print(self, text: str) -> None:
        assert self._column + len(text) < self.width, f"reaches the last column: {text!r}"
        line = self.lines[self._row].ljust(self._column)
        self.lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
        self._column += len(text)

    def _control(self, control: str) -> None:
        self._column = 0
        if control == "\r":
            return
        self._row += 1
        if self._row == self.height:
            self.history.append(self.lines.pop(0))
            self.lines.append("")
            self._row -= 1

    def _command(self, command: str, number: str) -> None:
        if command == "A":
            self._row -= int(number)
            assert self._row >= 0, "moved above the screen: what scrolled away cannot be drawn again"
        elif command == "K":
            assert number == "2"
            self.lines[self._row] = ""
        else:
            assert command == "m"
