"""What one step printed, as lines: bounded, decoded and safe to show."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from builder.cli.render.text import clean

TAIL_LINES = 50
DISPLAY_LIMIT = 2 * 1024 * 1024  # bytes a step; BuildKit's BUILDKIT_STEP_LOG_MAX_SIZE
_LONGEST_LINE = 16 * 1024  # bytes; longer lines are shown in pieces, so that memory stays flat


class LogLine(NamedTuple):
    """One line without its end; SGR colours are the only control sequences in it."""

    seconds: float  # since the step started
    text: str


class StepOutput:
    """Cuts a step's chunks into lines and remembers the last ones.

    A carriage return starts the line over, so a progress bar counts as its last state.
    The two streams are cut apart: half a line on one never joins half a line on the other.
    """

    __slots__ = ("_is_clipped", "_limit", "_partial", "_seconds", "_shown", "_tail")

    def __init__(self, *, limit: int = DISPLAY_LIMIT) -> None:
        self._partial: dict[int, bytes] = {}
        self._tail: deque[LogLine] = deque(maxlen=TAIL_LINES)
        self._limit = limit
        self._shown = 0
        self._is_clipped = False
        self._seconds = 0.0

    def feed(self, stream: int, data: bytes, seconds: float) -> list[LogLine]:
        """The lines that ``data`` completes; none once the display limit was reached."""
        self._seconds = seconds
        *complete, rest = (self._partial.get(stream, b"") + data).split(b"\n")
        pieces = [piece for line in complete for piece in _pieces(_last_state(line))]
        *overlong, rest = _pieces(_last_state(rest, keep_return=True))
        self._partial[stream] = rest
        return self._take([*pieces, *overlong], seconds)

    def finish(self, seconds: float) -> list[LogLine]:
        """The lines that never got their end."""
        rests = [_last_state(rest) for _, rest in sorted(self._partial.items()) if rest]
        self._partial.clear()
        return self._take(rests, seconds)

    def tail(self, count: int = TAIL_LINES) -> list[LogLine]:
        """The last lines, unfinished ones included, whatever the display limit was."""
        rests = [_line(_last_state(rest), self._seconds) for _, rest in sorted(self._partial.items()) if rest]
        return [*self._tail, *rests][-count:] if count > 0 else []

    def _take(self, lines: list[bytes], seconds: float) -> list[LogLine]:
        if self._is_clipped:
            # Nobody sees these but the tail: decoding the rest of a flood would be wasted.
            self._tail.extend(_line(line, seconds) for line in lines[-TAIL_LINES:])
            return []
        visible: list[LogLine] = []
        for index, raw in enumerate(lines):
            self._shown += len(raw) + 1
            if self._shown > self._limit:
                self._is_clipped = True
                self._take(lines[index:], seconds)
                note = f"[output clipped, log limit {_mebibytes(self._limit)} reached]"
                visible.append(LogLine(seconds, note))
                break
            line = _line(raw, seconds)
            self._tail.append(line)
            visible.append(line)
        return visible


def _last_state(line: bytes, *, keep_return: bool = False) -> bytes:
    if b"\r" not in line:
        return line
    bare = line.rstrip(b"\r")
    last = bare.rpartition(b"\r")[2]
    # Of an unfinished line the return must stay: what comes next starts over.
    return last + b"\r" if keep_return and len(bare) < len(line) else last


def _pieces(line: bytes) -> Iterator[bytes]:
    while len(line) > _LONGEST_LINE:
        cut = _LONGEST_LINE
        # Up to three continuation bytes: do not cut a UTF-8 character in two.
        while cut > _LONGEST_LINE - 3 and line[cut] & 0xC0 == 0x80:
            cut -= 1
        yield line[:cut]
        line = line[cut:]
    yield line


def _line(raw: bytes, seconds: float) -> LogLine:
    return LogLine(seconds, clean(raw.decode("utf-8", "replace"), keep_color=True))


def _mebibytes(size: int) -> str:
    return f"{size // 1048576}MiB" if size % 1048576 == 0 else f"{size}B"
