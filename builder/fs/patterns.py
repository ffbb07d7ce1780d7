"""Go's file name patterns: ``filepath.Match`` for COPY sources, and the ``**`` dialect of .dockerignore."""

from __future__ import annotations

import re
from functools import lru_cache

from builder.core.errors import Kind, PybuildError

_SPECIAL = re.compile(r"[*?\[\]\\]")


class InvalidPattern(PybuildError):
    """A file name pattern that Go's ``filepath.Match`` refuses."""

    kind = Kind.INVALID
    code = "invalid-pattern"

    def __init__(self, pattern: str, problem: str) -> None:
        super().__init__(
            f'"{pattern}" is not a valid pattern: {problem}',
            hint="put a backslash before a bracket, star or question mark that is meant literally",
        )
        self.pattern = pattern


def has_wildcards(text: str) -> bool:
    """Whether Docker takes the text for a pattern: it holds an unescaped star, question mark or bracket.

    Text with backslashes alone is a plain name, backslashes included.
    """
    skip = False
    for char in text:
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif char in "*?[":
            return True
    return False


def clean(path: str) -> str:
    """Go's ``path.Clean``: no empty, ``.`` or inner ``..`` part; "." for nothing."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif parts and parts[-1] != "..":
            parts.pop()
        elif not rooted:
            parts.append(part)
    text = "/".join(parts)
    return f"/{text}" if rooted else text or "."


@lru_cache(maxsize=256)
def compile_match(pattern: str) -> re.Pattern[str]:
    """Go's ``filepath.Match`` as a regular expression for ``fullmatch``. Raises InvalidPattern."""
    return re.compile("".join(_translate(pattern, knows_depth=False)), re.DOTALL)


def ignore_expression(pattern: str) -> str:
    """The source of a regular expression (for ``fullmatch``, DOTALL) of one cleaned .dockerignore pattern.

    Patterns count from the root of the context. ``**`` stands for any number of directories (``a**b`` does
    not match ``axb``); but where it begins or ends a pattern without other wildcards it stands for any text,
    even half a name: ``**b`` matches ``ab``. Raises InvalidPattern.
    """
    compile_match(pattern)
    if pattern.startswith("**") and not _SPECIAL.search(pattern, 2):
        rest = pattern[2:]
        return "(?:.*/)?" + re.escape(rest[1:]) if rest.startswith("/") else ".*" + re.escape(rest)
    if pattern.endswith("**") and not _SPECIAL.search(pattern[:-2]):
        return re.escape(pattern[:-2]) + ".*"
    return "".join(_translate(pattern, knows_depth=True))


def _translate(pattern: str, *, knows_depth: bool) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*" and knows_depth and pattern.startswith("*", at):
            at += 2 if pattern.startswith("/", at + 1) else 1
            out.append(".*" if at == len(pattern) else "(?:.*/)?")
        elif char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            text, at = _class(pattern, at)
            # Docker's matcher lets [^a] stand for a slash; a COPY source is matched name by name.
            out.append(text if knows_depth else f"(?!/){text}")
        elif char == "\\":
            literal, at = _escaped(pattern, at)
            out.append(re.escape(literal))
        else:
            out.append(re.escape(char))
    return out


def _class(pattern: str, at: int) -> tuple[str, int]:
    """The character class whose ``[`` ends at ``at``, in Python's spelling, and where it ends."""
    is_negated = pattern.startswith("^", at)
    if is_negated:
        at += 1
    ranges: list[str] = []
    is_empty = True
    while is_empty or not pattern.startswith("]", at):
        is_empty = False
        low, at = _class_char(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_char(pattern, at + 1)
        if low <= high:
            ranges.append(f"\\U{ord(low):08x}-\\U{ord(high):08x}")
    if not ranges:  # such as [b-a], which nothing lies in
        return ("." if is_negated else "(?!)"), at + 1
    return f"[{'^' if is_negated else ''}{''.join(ranges)}]", at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern):
        raise InvalidPattern(pattern, "a bracket is not closed")
    if pattern[at] in "-]":
        raise InvalidPattern(pattern, f'"{pattern[at]}" cannot stand there inside brackets')
    if pattern[at] == "\\":
        return _escaped(pattern, at + 1)
    return pattern[at], at + 1


def _escaped(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern):
        raise InvalidPattern(pattern, "it ends in a backslash")
    return pattern[at], at + 1
