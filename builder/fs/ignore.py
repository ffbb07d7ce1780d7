"""The .dockerignore file as Docker reads it, and trees without what it excludes.

The meaning is that of Docker's own matcher, which decides going down from the root: a rule applies to a
path if it matches the path itself or applied to its directory; the last rule that applies wins. A rule is
not even tried on a path where it would change nothing (a ``!`` rule on a path that is not excluded so far),
and what was not tried on a directory does not apply to its children: ``docs/*.md`` and then ``!docs`` leaves
``docs/a.md`` out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.core.location import Location
from builder.fs.patterns import InvalidPattern, clean, has_wildcards, ignore_expression
from builder.fs.tree import Entry, Tree

_State = tuple[bool, ...]


class InvalidIgnoreRule(PybuildError):
    """A line of an ignore file that Docker refuses."""

    kind = Kind.INVALID
    code = "invalid-ignore-rule"


class Rule(NamedTuple):
    """One line of an ignore file; ``text`` is the line as written, trimmed."""

    text: str
    pattern: str
    is_exception: bool
    file: str
    line: int


class IgnoreRules:
    """The rules of one ignore file, in order. Not thread-safe: it remembers directories."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        """Raises InvalidIgnoreRule."""
        self.rules = rules
        sources = [_expression(rule) for rule in rules]
        self._matchers = [re.compile(source, re.DOTALL).fullmatch for source in sources]
        self._any = re.compile("|".join(f"(?:{source})" for source in sources), re.DOTALL).fullmatch
        self._exceptions = [_literal_prefix(rule.pattern) for rule in rules if rule.is_exception]
        self._none: _State = (False,) * len(rules)
        self._directories: dict[str, _State] = {"": self._none}

    @classmethod
    def parse(cls, data: bytes, file: str) -> IgnoreRules:
        """The rules of an ignore file's bytes. Raises InvalidIgnoreRule, located in ``file``."""
        rules = []
        lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        for number, raw in enumerate(lines, start=1):
            if raw.startswith(b"#"):
                continue
            text = raw.decode("utf-8", "surrogateescape").strip()
            if not text:
                continue
            is_exception = text.startswith("!")
            pattern = text[1:].strip() if is_exception else text
            if not pattern:
                raise InvalidIgnoreRule(
                    f'"{text}" re-includes nothing', hint="write a pattern after the exclamation mark"
                ).at(Location(number, 0, number, 0, file))
            pattern = clean(pattern)
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
            rules.append(Rule(text, pattern, is_exception, file, number))
        return cls(tuple(rules))

    def excluding(self, path: str) -> Rule | None:
        """The rule that keeps a clean relative path out, None if the path is in; the root always is."""
        if not self.rules or not path:
            return None
        return self._decide(path, self._directory(path.rpartition("/")[0]))[0]

    def deciding(self, path: str) -> Rule | None:
        """The last rule that applies to a clean relative path, an exception or not; None: none does."""
        if not self.rules or not path:
            return None
        state = self._decide(path, self._directory(path.rpartition("/")[0]))[1]
        return next(
            (rule for rule, applies in zip(self.rules[::-1], state[::-1], strict=True) if applies), None
        )

    def may_include_below(self, directory: str) -> bool:
        """Whether some ``!`` rule could bring back something below an excluded directory."""
        below = f"{directory}/"
        for prefix, is_whole in self._exceptions:
            if prefix.startswith(below):
                return True
            if not is_whole and (not prefix or f"{prefix}/" == below or below.startswith(f"{prefix}/")):
                return True
        return False

    def excluding_child(self, path: str, directory: str) -> Rule | None:
        """As ``excluding`` for a path whose directory is known, for loops over directories."""
        state = self._directory(directory)
        if state is self._none and self._any(path) is None:
            return None
        return self._decide(path, state)[0]

    def _directory(self, path: str) -> _State:
        unknown = []
        while path not in self._directories:
            unknown.append(path)
            path = path.rpartition("/")[0]
        state = self._directories[path]
        for below in reversed(unknown):
            state = self._directories[below] = self._decide(below, state)[1]
        return state

    def _decide(self, path: str, inherited: _State) -> tuple[Rule | None, _State]:
        """Which rule excludes ``path``, and which rules apply to it, given those of its directory."""
        if inherited is self._none and self._any(path) is None:
            return None, inherited
        excluding: Rule | None = None
        state = list(self._none)
        for index, rule in enumerate(self.rules):
            applies = inherited[index]
            if not applies:
                if rule.is_exception != (excluding is not None):
                    continue
                applies = self._matchers[index](path) is not None
            if applies:
                state[index] = True
                excluding = None if rule.is_exception else rule
        return excluding, tuple(state) if True in state else self._none


def _expression(rule: Rule) -> str:
    try:
        return ignore_expression(rule.pattern)
    except InvalidPattern as error:
        where = Location(rule.line, 0, rule.line, 0, rule.file)
        raise InvalidIgnoreRule(error.message, hint=error.hint).at(where) from error


def _literal_prefix(pattern: str) -> tuple[str, bool]:
    """The leading parts of a pattern that hold no special character, and whether that is all of it."""
    literal: list[str] = []
    for part in pattern.split("/"):
        if has_wildcards(part) or "\\" in part:
            return "/".join(literal), False
        literal.append(part)
    return "/".join(literal), True


class IgnoredTree:
    """A tree without what ignore rules exclude.

    An excluded directory is there all the same if something below it is re-included (Docker then sends the
    directory too), and only then. The rules count from ``base``, and only what is below it may be asked for.
    """

    def __init__(self, tree: Tree, rules: IgnoreRules, base: str = "") -> None:
        self.tree = tree
        self.rules = rules
        self._start = len(base) + 1 if base else 0
        self._holding: dict[str, bool] = {}

    def lookup(self, path: str) -> Entry | None:
        """See Tree."""
        entry = self.tree.lookup(path)
        if entry is None or not self._is_visible(entry, self.rules.excluding(path[self._start :])):
            return None
        return entry

    def children(self, path: str) -> list[Entry]:
        """See Tree."""
        entries = self.tree.children(path)
        if not self.rules.rules:
            return entries
        return [entry for entry in entries if self._is_visible(entry, self._excluding(entry.path, path))]

    def excluded_by(self, path: str) -> Rule | None:
        """The rule that hides a path which the tree below does have."""
        return self.rules.excluding(path[self._start :]) if self.tree.lookup(path) is not None else None

    def is_implied(self, path: str) -> bool:
        """Whether a directory is there only for what it holds."""
        return self.rules.excluding(path[self._start :]) is not None

    def _excluding(self, path: str, directory: str) -> Rule | None:
        return self.rules.excluding_child(path[self._start :], directory[self._start :])

    def _is_visible(self, entry: Entry, rule: Rule | None) -> bool:
        return rule is None or (entry.kind == "dir" and self._holds_something(entry.path))

    def _holds_something(self, directory: str) -> bool:
        known = self._holding.get(directory)
        if known is None:
            known = self.rules.may_include_below(directory[self._start :]) and any(
                self._is_visible(entry, self._excluding(entry.path, directory))
                for entry in self.tree.children(directory)
            )
            self._holding[directory] = known
        return known
