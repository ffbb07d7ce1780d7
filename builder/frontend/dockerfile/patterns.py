"""The shell patterns of ``${v#p}``, ``${v%p}`` and ``${v/p/r}``: ``*`` and ``?``, nothing else."""

from __future__ import annotations

import re
from typing import NamedTuple

_ESCAPABLE = "*?\\/}"


class BadPattern(ValueError):
    """A backslash stands before a character that needs none."""


class TooLong(ValueError):
    """The result would be longer than the caller allows."""


class _Pattern(NamedTuple):
    """The pieces between the stars, as regular expressions without repetition."""

    pieces: tuple[str, ...]


def remove_prefix(value: str, pattern: str, *, is_longest: bool) -> str:
    """``${value#pattern}``, with ``is_longest`` ``##``. Raises BadPattern."""
    match = re.match(_regex(_parse(pattern), is_longest=is_longest), value, re.DOTALL)
    return value if match is None else value[match.end() :]


def remove_suffix(value: str, pattern: str, *, is_longest: bool) -> str:
    """``${value%pattern}``, with ``is_longest`` ``%%``. Raises BadPattern."""
    turned = _Pattern(tuple(_turn(piece) for piece in reversed(_parse(pattern).pieces)))
    match = re.match(_regex(turned, is_longest=is_longest), value[::-1], re.DOTALL)
    return value if match is None else value[: len(value) - match.end()]


def replace(value: str, pattern: str, replacement: str, *, is_all: bool, limit: int) -> str:
    """``${value/pattern/replacement}``, with ``is_all`` ``//``. Raises BadPattern, TooLong."""
    regex = re.compile(_regex(_parse(pattern), is_longest=True), re.DOTALL)
    first = re.compile(_parse(pattern).pieces[0], re.DOTALL)
    out: list[str] = []
    size, done, at = 0, 0, 0
    previous_end = -1
    while at <= len(value):
        start = first.search(value, at)
        match = start and regex.match(value, start.start())
        if match is None:
            # What the later pieces need does not follow the first place; it follows no later one either.
            break
        if match.end() == match.start() == previous_end:
            # Nothing, right behind a match, is no second match.
            at = match.end() + 1
            continue
        out += (value[done : match.start()], replacement)
        size += match.start() - done + len(replacement)
        if size > limit:
            raise TooLong
        done = previous_end = match.end()
        at = done if match.end() > match.start() else done + 1
        if not is_all:
            break
    out.append(value[done:])
    return "".join(out)


def _parse(pattern: str) -> _Pattern:
    pieces = [""]
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            pieces.append("")
        elif character == "?":
            pieces[-1] += "."
        elif character == "\\":
            escaped = next(characters, "")
            if escaped not in _ESCAPABLE or not escaped:
                raise BadPattern(f"\\{escaped}")
            pieces[-1] += re.escape(escaped)
        else:
            pieces[-1] += re.escape(character)
    return _Pattern(tuple(pieces))


def _regex(pattern: _Pattern, *, is_longest: bool) -> str:
    """For ``match``. The first place of each inner piece is always right, so nothing is tried twice."""
    first, *rest = pattern.pieces
    if not rest:
        return first
    *inner, last = rest
    middle = "".join(f"(?>.*?{piece})" for piece in inner if piece)
    return first + middle + (".*" if is_longest else ".*?") + last


def _turn(piece: str) -> str:
    """A piece for text that is read backwards."""
    return "".join(reversed(re.findall(r"\\.|.", piece, re.DOTALL)))
