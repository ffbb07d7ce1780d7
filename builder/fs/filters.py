"""What --parents and --exclude let through below the directories that a COPY names."""

from __future__ import annotations

from collections.abc import Sequence

from builder.fs.ignore import IgnoredTree, IgnoreRules, Rule
from builder.fs.patterns import InvalidPattern, clean, ignore_expression
from builder.fs.tree import Entry, Tree

# In front of what is included, as the first line of a .dockerignore file that lists what to keep.
_EVERYTHING = Rule("**", "**", False, "", 0)


class FilteredTree:
    """The tree at and below one directory, without what a filter keeps out."""

    def __init__(self, tree: Tree, base: str, rules: Sequence[IgnoreRules]) -> None:
        self._filters: list[IgnoredTree] = []
        for each in rules:
            tree = IgnoredTree(tree, each, base)
            self._filters.append(tree)
        self._tree = tree

    def lookup(self, path: str) -> Entry | None:
        """See Tree."""
        return self._tree.lookup(path)

    def children(self, path: str) -> list[Entry]:
        """See Tree."""
        return self._tree.children(path)

    def is_implied(self, path: str) -> bool:
        """Whether a directory is there only for what it holds."""
        return any(each.is_implied(path) for each in self._filters)


class CopyFilter:
    """Patterns in the dialect of .dockerignore that count from each source directory.

    With ``includes``, only what one of them matches is let through, and what is below it; never what
    ``excludes`` keep out, of which the last one that applies decides. Of directories between, those are
    there that hold something.
    """

    def __init__(self, includes: Sequence[str], excludes: Sequence[str]) -> None:
        """Raises InvalidPattern."""
        self._rules: list[IgnoreRules] = []
        if rules := [rule for rule in map(_exclude, excludes) if rule is not None]:
            self._rules.append(IgnoreRules(tuple(rules)))
        if includes:
            self._rules.append(IgnoreRules((_EVERYTHING, *map(_include, includes))))

    def below(self, tree: Tree, base: str) -> FilteredTree:
        """The tree as it is seen by a copy of its directory ``base``."""
        return FilteredTree(tree, base, self._rules)


def _include(pattern: str) -> Rule:
    ignore_expression(pattern)
    return Rule(pattern, pattern, True, "", 0)


def _exclude(text: str) -> Rule | None:
    """A pattern is never about a leading slash: one that has it matches nothing, as in Docker."""
    text = text.strip()
    is_exception = text.startswith("!")
    pattern = text[1:].strip() if is_exception else text
    if not pattern:
        if is_exception:
            raise InvalidPattern(text, "it re-includes nothing")
        return None
    pattern = clean(pattern)
    ignore_expression(pattern)
    return Rule(text, pattern, is_exception, "", 0)
