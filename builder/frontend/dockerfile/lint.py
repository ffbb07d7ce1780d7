"""What the build checks share: the options that switch them, and the list of findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.core.events import Warned
from builder.core.location import Location
from builder.core.suggest import did_you_mean
from builder.frontend.dockerfile.node import Node, SyntaxTree
from builder.frontend.dockerfile.rules import RULES, Rule

_BUILD_ARG = "BUILDKIT_DOCKERFILE_CHECK"  # replaces the directive
_COMMENT = re.compile(r"check\s*=\s*((?:skip|error|experimental)\s*=.*)", re.IGNORECASE)
_MOST_PARTS = 3
_ALL = "all"
_OPTIONS = ("skip", "error", "experimental")
_USAGE = "write skip=RULE,RULE or skip=all, error=true, experimental=RULE, joined by ;"
# strconv.ParseBool
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class InvalidCheck(PybuildError):
    """The options of the build checks make no sense."""

    kind = Kind.INVALID
    code = "invalid-check"


class LintViolation(PybuildError):
    """``error=true`` was asked for, and the Dockerfile breaks a rule."""

    kind = Kind.INVALID
    code = "lint-violation"

    def __init__(self, rules: Iterable[str]) -> None:
        self.rules = tuple(sorted(rules))
        super().__init__(
            f"lint violation found for rules: {', '.join(self.rules)}",
            hint="the warnings above say where; # check=skip=RULE leaves a rule out",
        )


class CheckOptions(NamedTuple):
    """``# check=skip=A,B;error=true;experimental=C``."""

    skipped: frozenset[str] = frozenset()  # names of rules, or "all"
    experimental: frozenset[str] = frozenset()
    is_error: bool = False

    def allows(self, rule: Rule) -> bool:
        """As in Docker, skip=all is about those that are on by default."""
        if rule.name in self.skipped:
            return False
        if rule.is_experimental:
            return rule.name in self.experimental or _ALL in self.experimental
        return _ALL not in self.skipped

    def merged(self, other: CheckOptions) -> CheckOptions:
        return CheckOptions(
            self.skipped | other.skipped,
            self.experimental | other.experimental,
            self.is_error or other.is_error,
        )


def parse_options(text: str, location: Location | None) -> CheckOptions:
    """Raises InvalidCheck."""
    options = CheckOptions()
    for part in text.strip().split(";", _MOST_PARTS - 1) if text.strip() else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name == "skip" and equals:
            options = options._replace(skipped=_names(value))
        elif name == "experimental" and equals:
            options = options._replace(experimental=_names(value))
        elif name == "error" and value in (*_TRUE, *_FALSE):
            options = options._replace(is_error=value in _TRUE)
        else:
            raise InvalidCheck(
                f'invalid check option "{part.strip()}"',
                hint=did_you_mean(name, (each for each in _OPTIONS if each != name), otherwise=_USAGE),
                location=location,
            )
    return options


def _names(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split(","))


class Linter:
    """Collects warnings, each once; a finding counts if the options of the instruction at hand allow it."""

    def __init__(self, options: CheckOptions) -> None:
        self.is_muted = False  # for what does not stand in the file
        self.violated: set[str] = set()
        self._options = options
        self._current = options
        self._warnings: dict[Warned, None] = {}

    @classmethod
    def of(cls, tree: SyntaxTree, build_args: Mapping[str, str]) -> Linter:
        """With the options of the build argument, or else of the directive. Raises InvalidCheck."""
        given = build_args.get(_BUILD_ARG)
        if given is not None:
            return cls(parse_options(given, None))
        for directive in tree.directives:
            if directive.name == "check":
                linter = cls(parse_options(directive.value, directive.location))
                linter._warn_of_unknown(linter._options, directive.location)
                return linter
        return cls(CheckOptions())

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """In the order of the file; what stands nowhere comes last."""
        return tuple(sorted(self._warnings, key=lambda each: each.location or _NOWHERE))

    def enter(self, node: Node) -> None:
        """From here on it is about this instruction, and the comments above it count."""
        self._current = self._options
        for comment in node.comments:
            match = _COMMENT.match(comment.text)
            if match:
                options = parse_options(match[1], comment.location)
                self._warn_of_unknown(options, comment.location)
                self._current = self._current.merged(options)

    def warn(self, message: str, hint: str | None, location: Location | None) -> None:
        """Something that is no rule's affair."""
        self._warnings[Warned(message, hint, location)] = None

    def report(self, rule: Rule, message: str, location: Location, *, hint: str | None = None) -> None:
        """A finding; ``hint`` in place of the rule's."""
        if self.is_muted or not self._current.allows(rule):
            return
        self._warnings[Warned(message, hint or rule.hint, location, rule.name)] = None
        if self._current.is_error:
            self.violated.add(rule.name)

    def _warn_of_unknown(self, options: CheckOptions, location: Location) -> None:
        for name in sorted((options.skipped | options.experimental) - {_ALL, *RULES}):
            hint = did_you_mean(name, RULES, otherwise="docs/errors.md lists the rules")
            self.warn(f'there is no check called "{name}"', hint, location)


_NOWHERE = Location(1 << 62, 0, 1 << 62, 0)
