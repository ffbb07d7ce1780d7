"""The lines of a file that a location is about, with a mark under what is meant."""

from __future__ import annotations

from builder.cli.render.text import cells, escape
from builder.core.location import Location

RED = "1;31"
YELLOW = "1;33"
BLUE = "1;34"
GREEN = "1;32"
BOLD = "1"

_WIDTH = 100  # columns of a shown line; longer ones are clipped around the mark
_BEFORE = 24  # columns shown before the mark in a clipped line
_MOST_LINES = 8  # of a location over several lines; the middle of longer ones is left out
_TAB = "    "


def paint(text: str, style: str, *, color: bool) -> str:
    """``text`` in an SGR style."""
    return f"\x1b[{style}m{text}\x1b[0m" if color else text


def excerpt(location: Location, source: bytes | None, *, mark_style: str, color: bool) -> list[str]:
    """``--> file:line:column`` and the text, which is left out if ``source`` does not reach that far."""
    first, last = location.start_line, max(location.start_line, location.end_line)
    lines = _source_lines(source, first, last)
    margin = len(str(last if lines else first)) + 1
    column = f":{location.start_column}" if location.start_column > 0 else ""
    arrow = paint(f"{' ' * margin}-->", BLUE, color=color)
    shown = [f"{arrow} {escape(location.file)}:{first}{column}"]
    if not lines:
        return shown
    if len(lines) > 1:
        return shown + _several(lines, first, margin, mark_style, color=color)
    text, marks = _marked(lines[0], location)
    gutter = paint(f"{first:>{margin}} |", BLUE, color=color)
    under = paint(f"{' ' * margin} |", BLUE, color=color)
    shown.append(f"{gutter} {text}".rstrip())
    shown.append(f"{under} {' ' * marks[0]}{paint('^' * marks[1], mark_style, color=color)}")
    return shown


def _source_lines(source: bytes | None, first: int, last: int) -> list[str]:
    """Those lines without their ends; a byte order mark is no column."""
    if source is None:
        return []
    lines = source.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if first < 1 or first > len(lines):
        return []
    return [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines[first - 1 : last]]


def _several(lines: list[str], first: int, margin: int, mark_style: str, *, color: bool) -> list[str]:
    """Whole lines; ``>`` in the gutter marks each."""
    head = len(lines) if len(lines) <= _MOST_LINES else _MOST_LINES - 2
    shown = []
    for index, line in enumerate(lines):
        if head <= index < len(lines) - 1:
            if index == head:
                shown.append(f"{' ' * margin} {paint('...', BLUE, color=color)}")
            continue
        number = paint(f"{first + index:>{margin}}", BLUE, color=color)
        text, _ = _marked(line, Location(first + index, 0, first + index, 0))
        shown.append(f"{number} {paint('>', mark_style, color=color)} {text}".rstrip())
    return shown


def _marked(line: str, location: Location) -> tuple[str, tuple[int, int]]:
    """The line as shown, and where its mark starts and how wide it is, in terminal columns."""
    start, end = _marked_characters(line, location)
    pieces = [_shown(character) for character in line]
    widths = [sum(map(cells, piece)) for piece in pieces]
    before, marked = sum(widths[:start]), sum(widths[start:end])
    if sum(widths) <= _WIDTH:
        return "".join(pieces), (before, max(1, marked))
    return _clipped(pieces, widths, before, marked)


def _marked_characters(line: str, location: Location) -> tuple[int, int]:
    if location.start_column <= 0:
        stripped = line.strip()
        start = line.find(stripped)
        return start, start + len(stripped)
    start = min(location.start_column - 1, len(line))
    return start, max(start, min(location.end_column - 1, len(line)))


def _shown(character: str) -> str:
    return _TAB if character == "\t" else escape(character)


def _clipped(pieces: list[str], widths: list[int], before: int, marked: int) -> tuple[str, tuple[int, int]]:
    """A window of the line in which the mark begins; ``…`` stands for what is outside."""
    from_column = max(0, min(before - _BEFORE, sum(widths) - _WIDTH))
    shown, column, used, skipped = [], 0, 0, 0
    is_cut = False
    for piece, width in zip(pieces, widths, strict=True):
        if column < from_column:
            skipped += width
        elif used + width > _WIDTH:
            is_cut = True
            break
        else:
            shown.append(piece)
            used += width
        column += width
    lead = "…" if skipped else ""
    mark = before - skipped
    wide = max(1, min(marked, used - mark))
    return f"{lead}{''.join(shown)}{'…' if is_cut else ''}", (mark + len(lead), wide)
