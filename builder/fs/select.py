"""Resolves what a COPY names as its source, inside one tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.fs.ignore import IgnoredTree
from builder.fs.patterns import compile_match, has_wildcards
from builder.fs.tree import Entry, Tree, resolve

_Matcher = Callable[[str], object]


class CopySourceMissing(PybuildError):
    """A source without wildcards that is not in its tree."""

    kind = Kind.NOT_FOUND
    code = "copy-source-missing"

    def __init__(self, source: str, place: str, hint: str | None, *, what: str = "COPY source") -> None:
        super().__init__(f'{what} "{source}" is not in {place}', hint=hint)
        self.source = source


class Match(NamedTuple):
    """One path that a source stands for."""

    name: str  # the last name as written or as the wildcard found it; a copy into a directory keeps it
    relative: str  # of a wildcard: the path below the part without wildcards; else ""
    entry: Entry  # with the symbolic links of the source itself followed


def select(
    tree: Tree,
    source: str,
    *,
    allows_wildcards: bool = True,
    place: str = "the build context",
    shown: str = "",
    includes: Sequence[str] = (),
    what: str = "COPY source",
) -> list[Match]:
    """The paths that one COPY source stands for, in the order of their names.

    Everything stays inside the tree: a leading ``/`` and ``..`` stop at its root, links too. Links are
    followed in the part without wildcards and in what is found, never in between. A wildcard may find
    nothing; anything else that is absent raises CopySourceMissing, which calls the tree ``place`` and the
    source ``what`` and ``shown``. With ``includes``, the patterns of what is meant below the source, only
    directories are found, and of a pattern without wildcards there must be something in a source without
    wildcards; links below the source are not followed then. Raises InvalidPattern, TooManySymlinks.
    """
    parts = _parts(source)
    first = next((i for i, part in enumerate(parts) if allows_wildcards and has_wildcards(part)), len(parts))
    literal = "/".join(parts[:first])
    if first == len(parts):
        entry = tree.lookup(resolve(tree, literal))
        if entry is None:
            raise _missing(tree, literal, shown or source, place, what)
        for pattern in includes:
            below = f"{entry.path}/{pattern}" if entry.path else pattern
            if not has_wildcards(pattern) and tree.lookup(below) is None:
                raise _missing(tree, below, shown or source, place, what)
        if includes and entry.kind != "dir":
            return []
        return [Match(parts[-1] if parts else "", "", entry)]
    matchers: list[_Matcher] = [compile_match(part).fullmatch for part in parts[first:]]
    root = resolve(tree, literal)
    matches = []
    for found in _find(tree, root, matchers):
        entry = tree.lookup(resolve(tree, found.path)) if found.kind == "symlink" else found
        if entry is None:
            raise _missing(tree, found.path, found.path, place, what)
        if includes and entry.kind != "dir":
            continue
        matches.append(Match(found.path.rpartition("/")[2], found.path[len(root) :].lstrip("/"), entry))
    return matches


def _parts(source: str) -> list[str]:
    """A source's names; ``..`` is taken by its text before links are followed, as Docker does."""
    parts: list[str] = []
    for part in source.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _find(tree: Tree, directory: str, matchers: list[_Matcher]) -> list[Entry]:
    found: list[Entry] = []
    start = len(directory) + 1 if directory else 0
    for entry in tree.children(directory):
        if matchers[0](entry.path[start:]) is None:
            continue
        if len(matchers) == 1:
            found.append(entry)
        elif entry.kind == "dir":
            found.extend(_find(tree, entry.path, matchers[1:]))
    return found


def _missing(tree: Tree, path: str, shown: str, place: str, what: str) -> CopySourceMissing:
    hint = _ignored_hint(tree, path)
    resolved = resolve(tree, path)
    if hint is None and resolved != path:
        hint = f'it leads to "{resolved}" through a symbolic link'
    return CopySourceMissing(shown, place, hint or _near_hint(tree, path), what=what)


def _ignored_hint(tree: Tree, path: str) -> str | None:
    if not isinstance(tree, IgnoredTree):
        return None
    rule = tree.excluded_by(resolve(tree.tree, path))
    return None if rule is None else f'it is excluded by "{rule.text}", line {rule.line} of {rule.file}'


def _near_hint(tree: Tree, path: str) -> str | None:
    """A name that the user may have meant, at the first part of the path that does not exist."""
    # A hint is made once per failed build; difflib would cost every other start 7 ms.
    from difflib import get_close_matches

    parts = path.split("/")
    for depth, part in enumerate(parts):
        directory = resolve(tree, "/".join(parts[:depth]))
        names = [entry.path.rpartition("/")[2] for entry in tree.children(directory)]
        if part in names:
            continue
        near = get_close_matches(part, names, n=1)
        return f'did you mean "{"/".join([*parts[:depth], near[0], *parts[depth + 1 :]])}"?' if near else None
    return None
