"""The name that a misspelt one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable

# Docker suggests below an edit distance of 3.
_FARTHEST = 2


def closest(text: str, candidates: Iterable[str]) -> str | None:
    """The candidate fewest edits away from ``text``, if it is near enough; case does not count."""
    # With as many edits as letters, anything is near.
    best, best_distance = None, min(_FARTHEST + 1, max(2, len(text)))
    folded = text.lower()
    for candidate in candidates:
        if abs(len(candidate) - len(text)) < best_distance:
            distance = _distance(folded, candidate.lower())
            if distance < best_distance:
                best, best_distance = candidate, distance
    return best


def did_you_mean(text: str, candidates: Iterable[str], *, otherwise: str) -> str:
    """A hint."""
    found = closest(text, candidates)
    return otherwise if found is None else f'did you mean "{found}"?'


def _distance(one: str, other: str) -> int:
    """Levenshtein's."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]
