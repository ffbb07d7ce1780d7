"""Tables, sizes and times as Docker's client shows them."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence

# Go's tabwriter as Docker's client sets it up: at least ten columns, three of them blank.
_MIN_WIDTH = 10
_PADDING = 3


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns three blanks apart, left-aligned."""
    return align("\n".join("\t".join(row) for row in [head, *rows]))


def align(text: str) -> str:
    """Lines whose cells end with tabs, as columns; a column goes as far as lines in a row have it."""
    lines = [line.split("\t") for line in text.split("\n")]
    _pad(lines, 0, len(lines), 0)
    return "\n".join("".join(line) for line in lines)


def _pad(lines: list[list[str]], start: int, end: int, column: int) -> None:
    """The last cell of a line is not part of a column."""
    at = start
    while at < end:
        if len(lines[at]) <= column + 1:
            at += 1
            continue
        first = at
        while at < end and len(lines[at]) > column + 1:
            at += 1
        width = max(_MIN_WIDTH, max(len(line[column]) for line in lines[first:at]) + _PADDING)
        for line in lines[first:at]:
            line[column] = line[column].ljust(width)
        _pad(lines, first, at, column + 1)


def size(count: float, digits: int = 3) -> str:
    """Bytes in decimal units with three digits: 4.42MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.{digits}g}{unit}"
        count /= 1000
    return f"{count:.{digits}g}TB"


def ago(at: float) -> str:
    """``3 minutes ago``, for epoch seconds, in the words of Docker's units.HumanDuration."""
    return f"{_duration(max(0.0, time.time() - at))} ago"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return f"{whole} second{'s' if whole > 1 else ''}"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    for limit, length, unit in (
        (48, 1, "hours"),
        (336, 24, "days"),
        (1440, 168, "weeks"),
        (17520, 720, "months"),
    ):
        if hours < limit:
            return f"{hours // length} {unit}"
    return f"{whole // 3600 // 24 // 365} years"


def epoch(text: str) -> float | None:
    """Seconds since 1970 of a time as images have it; None: it is none."""
    try:
        return datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp()
    except ValueError:
        return None


def ago_rfc3339(text: str) -> str:
    """The same for a time as images have it; "N/A" for none."""
    at = epoch(text)
    return "N/A" if at is None else ago(at)


def go_time(text: str) -> str:
    """A time as images have it in this machine's zone, as Go's Time.String; "N/A" for none."""
    at = epoch(text)
    return "N/A" if at is None else time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(at))
