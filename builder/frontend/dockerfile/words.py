"""Expansion of ``$VAR`` and removal of quotes, as Docker does it to the words of most instructions.

It is close to a shell's, and is not a shell's: no commands, no arithmetic, and one word stays one word
except where ``expand_words`` is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.frontend.dockerfile import patterns

# ${a}${a} in a chain of ENV lines doubles with each line, and an environment goes through execve.
_LONGEST = 1 << 20
_DEEPEST = 100
_SPECIAL = "@*#?-$!0"  # a shell's own parameters; nothing sets them here
_NAMELESS = ("+", "%", "/")  # Docker takes these without a name before them for those of a variable not set
_ANY = ""  # stands for "no stop character"


class InvalidExpansion(PybuildError):
    """A word's quotes or ``${…}`` make no sense, or demand a variable that is not there."""

    kind = Kind.INVALID
    code = "invalid-expansion"


class Mode(NamedTuple):
    """How words are read; the default is how instructions read theirs."""

    escape: str = "\\"
    has_quotes: bool = True  # False: quotes are ordinary characters (bodies of heredocs)
    keeps_quotes: bool = False  # quotes have their meaning, and stay
    keeps_unset: bool = False  # $NAME stays where NAME is not set


class Expansion(NamedTuple):
    """``unset`` are the names that were used and are not set, in order, once each."""

    text: str
    unset: tuple[str, ...] = ()


class Expansions(NamedTuple):
    """What one word became, split at blanks outside of quotes."""

    words: tuple[str, ...]
    unset: tuple[str, ...] = ()


_DEFAULT = Mode()


def expand(word: str, env: Mapping[str, str], mode: Mode = _DEFAULT) -> Expansion:
    """One value, blanks included. Raises InvalidExpansion without a location."""
    if not _needs_work(mode).search(word):
        return Expansion(word)
    scanner = _Scanner(word, env, mode)
    text = "".join(piece for piece, _ in scanner.pieces(_ANY))
    return Expansion(text, tuple(scanner.unset))


def expand_words(word: str, env: Mapping[str, str], mode: Mode = _DEFAULT) -> Expansions:
    """Any number of values: blanks in the values of variables split too. Raises InvalidExpansion."""
    scanner = _Scanner(word, env, mode)
    words: list[str] = []
    is_inside = False
    for piece, splits in scanner.pieces(_ANY):
        for character in piece:
            if splits and character.isspace():
                is_inside = False
            elif is_inside:
                words[-1] += character
            else:
                words.append(character)
                is_inside = True
        if not splits and not is_inside:  # empty quotes are a word
            words.append("")
            is_inside = True
    return Expansions(tuple(words), tuple(scanner.unset))


@cache
def _needs_work(mode: Mode) -> re.Pattern[str]:
    quotes = "'\"" if mode.has_quotes else ""
    return re.compile(f"[${re.escape(mode.escape)}{quotes}]")


@cache
def _plain_run(mode: Mode, stop: str) -> re.Pattern[str]:
    quotes = "'\"" if mode.has_quotes else ""
    return re.compile(f"[^${re.escape(mode.escape + stop)}{quotes}]+")


@cache
def _plain_in_double_quotes(escape: str) -> re.Pattern[str]:
    return re.compile(f'[^"${re.escape(escape)}]+')


class _Scanner:
    """One pass over one word."""

    def __init__(self, text: str, env: Mapping[str, str], mode: Mode) -> None:
        self._text = text
        self._env = env
        self._mode = mode
        self._at = 0
        self._depth = 0
        self._size = 0
        self.unset: dict[str, None] = {}

    def pieces(self, stop: str, *, keeps_escapes: bool = False) -> list[tuple[str, bool]]:
        """Texts up to ``stop`` (and past it), each with whether blanks in it split words."""
        mode = self._mode
        run = _plain_run(mode, stop)
        out: list[tuple[str, bool]] = []
        while character := self._peek():
            if character == stop:
                self._at += 1
                return out
            if match := run.match(self._text, self._at):
                self._at = match.end()
                out.append((match[0], True))
            elif character == "$":
                out.append((self._dollar(), True))
            elif character == mode.escape:
                self._at += 1
                escaped = self._next()
                out.append((character + escaped if keeps_escapes else escaped, not escaped))
            elif character == "'":
                out.append((self._single_quoted(), False))
            else:
                out.append((self._double_quoted(keeps_escapes), False))
            self._count(out[-1][0])
        if stop != _ANY:
            raise _invalid(f'"{self._text}" lacks a "{stop}"', 'a "${" ends with "}"')
        return out

    def _count(self, piece: str) -> None:
        self._size += len(piece)
        if self._size > _LONGEST:
            raise _too_long()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def _single_quoted(self) -> str:
        start = self._at
        end = self._text.find("'", start + 1)
        if end < 0:
            raise _unclosed(self._text, "'")
        self._at = end + 1
        return self._text[start : end + 1] if self._mode.keeps_quotes else self._text[start + 1 : end]

    def _double_quoted(self, keeps_escapes: bool) -> str:
        escape = self._mode.escape
        run = _plain_in_double_quotes(escape)
        quote = '"' if self._mode.keeps_quotes else ""
        self._at += 1
        out = [quote]
        while character := self._peek():
            if match := run.match(self._text, self._at):
                self._at = match.end()
                out.append(match[0])
            elif character == "$":
                out.append(self._dollar())
            elif character == '"':
                self._at += 1
                return "".join((*out, quote))
            else:
                self._at += 1
                if keeps_escapes:
                    out.append(escape)
                # Before anything but these the escape character stays.
                following = self._peek()
                if following and following in f'"${escape}':
                    self._at += 1
                    out.append(following)
                elif following:
                    out.append(escape)
            self._count(out[-1])
        raise _unclosed(self._text, '"')

    def _dollar(self) -> str:
        start = self._at
        self._at += 1
        if self._peek() == "{":
            self._depth += 1
            if self._depth > _DEEPEST:
                raise _invalid(f'more than {_DEEPEST} "${{" in one another', "use an ARG for a part of it")
            value = self._braces(start)
            self._depth -= 1
            return value
        name = self._name()
        if not name:
            return "$"
        return self._value(name, self._text[start : self._at])

    def _name(self) -> str:
        start = self._at
        first = self._peek()
        if first.isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif first and first in _SPECIAL:
            self._at += 1
        else:
            while (character := self._peek()) and (
                character == "_" or character.isalpha() or character.isdecimal()
            ):
                self._at += 1
        return self._text[start : self._at]

    def _value(self, name: str, as_written: str) -> str:
        """Of a variable whose absence is worth a word."""
        value = self._env.get(name)
        if value is None:
            self.unset[name] = None
            return as_written if self._mode.keeps_unset else ""
        return value

    def _braces(self, start: int) -> str:
        """From ``{`` to behind ``}``."""
        self._at += 1
        name = self._name()
        modifier = self._next()
        if not name and modifier not in _NAMELESS:
            raise _bad_substitution(self._text)
        if modifier == "}":
            return self._value(name, self._text[start : self._at])
        if modifier == "/":
            return self._replacement(name, start)
        if modifier in ("#", "%"):
            return self._trimmed(name, modifier, start)
        treats_empty_as_unset = modifier == ":"
        if treats_empty_as_unset:
            modifier = self._next()
        if not modifier:
            raise _invalid(f'"{self._text}" lacks a "}}"', 'a "${" ends with "}"')
        if modifier not in "-+?":
            shown = ":" * treats_empty_as_unset + modifier
            raise _invalid(
                f'unsupported modifier "{shown}" in substitution "{self._text}"',
                "known: :- - :+ + :? ? # ## % %% / //",
            )
        return self._conditional(name, modifier, treats_empty_as_unset=treats_empty_as_unset)

    def _conditional(self, name: str, modifier: str, *, treats_empty_as_unset: bool) -> str:
        unset_before = dict(self.unset)
        word = self._nested("}")
        value = self._env.get(name)
        is_set = bool(value) if treats_empty_as_unset else value is not None
        if is_set != (modifier == "+"):
            # The word is not used, and so are its variables.
            self.unset = unset_before
        if modifier == "+":
            return word if is_set else ""
        if is_set and value is not None:
            return value
        if modifier == "-":
            return word
        why = word or f"is not allowed to be {'empty' if value is not None else 'unset'}"
        raise _invalid(f'variable "{name}": {why}', f"give it with ARG, ENV or --build-arg {name}=VALUE")

    def _trimmed(self, name: str, modifier: str, start: int) -> str:
        pattern = self._nested("}", keeps_escapes=True)
        is_longest = pattern.startswith(modifier)
        trim = patterns.remove_prefix if modifier == "#" else patterns.remove_suffix
        value = self._value(name, self._text[start : self._at])
        try:
            return trim(value, pattern[is_longest:], is_longest=is_longest)
        except patterns.BadPattern as error:
            raise _bad_pattern(pattern, str(error)) from error

    def _replacement(self, name: str, start: int) -> str:
        is_all = self._peek() == "/"
        self._at += is_all
        pattern = self._nested("/", keeps_escapes=True)
        replacement = self._nested("}", keeps_escapes=True)
        value = self._env.get(name, "")
        try:
            replaced = patterns.replace(value, pattern, replacement, is_all=is_all, limit=_LONGEST)
        except patterns.BadPattern as error:
            raise _bad_pattern(pattern, str(error)) from error
        except patterns.TooLong as error:
            raise _too_long() from error
        return replaced if name in self._env else self._value(name, self._text[start : self._at])

    def _nested(self, stop: str, *, keeps_escapes: bool = False) -> str:
        """A word inside of ``${…}``."""
        return "".join(piece for piece, _ in self.pieces(stop, keeps_escapes=keeps_escapes))


def _invalid(message: str, hint: str) -> InvalidExpansion:
    return InvalidExpansion(message, hint=hint)


def _bad_substitution(text: str) -> InvalidExpansion:
    return _invalid(f'bad substitution in "{text}"', 'write "\\${" for a dollar sign and a brace')


def _bad_pattern(pattern: str, escape: str) -> InvalidExpansion:
    return _invalid(
        f'invalid pattern "{pattern}": nothing to escape in "{escape}"', "write a plain character"
    )


def _unclosed(text: str, quote: str) -> InvalidExpansion:
    shown = text if len(text) <= 200 else text[:200] + "…"
    return _invalid(
        f"the quote ({quote}) in {shown} is not closed", "close it, or write a backslash before it"
    )


def _too_long() -> InvalidExpansion:
    return _invalid(
        f"the expansion is longer than {_LONGEST} characters", "put that much text into a file instead"
    )
