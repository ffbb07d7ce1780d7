"""The Lark door: a logical line to its keyword, flags and words, all with offsets into the line."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput

from builder.frontend.dockerfile.grammar_file import for_escape, grammar_text
from builder.frontend.dockerfile.lines import BLANKS

_FLAG_PIECE = re.compile(
    r"""'((?:[^'\\]|\\.?)*)(?:'|\Z)|"((?:[^"\\]|\\.?)*)(?:"|\Z)|((?:[^'"\\]|\\.?)+)""", re.DOTALL
)
_QUOTING = re.compile(r"""['"\\]""")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)
# strconv.ParseUint stops here, and Docker's parser does not look at its error.
_MAX_DESCRIPTOR = 2**64 - 1
# ONBUILD below ONBUILD means nothing; the limit only keeps what walks the tree from overflowing.
_MAX_DEPTH = 100


class Span(NamedTuple):
    """A word's value and where it stands in the line."""

    text: str
    start: int
    end: int


class Statement(NamedTuple):
    """One instruction as the grammar has it; ``words`` as in ``node.Node``."""

    keyword: Span
    flags: tuple[Span, ...]
    words: tuple[Span, ...]
    is_json: bool
    trigger: Statement | None = None  # what ONBUILD will run
    after_array: Span | None = None  # the text behind a JSON array, which nobody reads
    bracket: Span | None = None  # an argument that begins like an array, and is no array of strings


class HeredocToken(NamedTuple):
    """A ``<<NAME`` in a line."""

    name: str
    file_descriptor: int
    is_expanded: bool
    is_chomped: bool
    start: int
    end: int


class LineError(Exception):
    """What is wrong in a line, by offsets; the caller knows the file."""

    def __init__(self, message: str, start: int, end: int, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end
        self.hint = hint


class _Array(NamedTuple):
    words: tuple[Span, ...]
    after: Span | None


class _Piece(NamedTuple):
    """A part of a shell word, quotes removed."""

    text: str
    is_quoted: bool
    end: int


_Spans = tuple[Span, ...]


@functools.cache
def line_parser(escape: str) -> LineParser:
    """The parser for files with this escape character; its tables are built once a process."""
    return LineParser(escape)


class LineParser:
    """Parses lines that ``lines.LineReader`` has joined."""

    def __init__(self, escape: str) -> None:
        self._lark = Lark(
            for_escape(grammar_text(), escape),
            parser="lalr",
            lexer="contextual",
            start=["instruction", "shell_line"],
            maybe_placeholders=False,
            transformer=_Builder(),
        )

    def statement(self, text: str) -> Statement:
        """The instruction in a line that is not blank; raises LineError."""
        try:
            statement: object = self._lark.parse(text, start="instruction")
        except UnexpectedInput as error:
            # Nothing is known to get here: the grammar has a rule for each mistake that Docker refuses.
            at = getattr(error, "pos_in_stream", None) or 0
            raise LineError(
                "unexpected text", at, len(text), hint="see the syntax of the instruction"
            ) from error
        assert isinstance(statement, Statement)
        _refuse_mixed_array(_innermost(statement), text)
        return statement

    def heredocs(self, text: str) -> list[HeredocToken]:
        """The heredocs that a line opens, in order; none if its quotes or parameters do not close."""
        try:
            tokens: object = self._lark.parse(text, start="shell_line")
        except UnexpectedInput:
            return []
        assert isinstance(tokens, list)
        # Docker wants no further "<" anywhere in the word, quoted or not: <<<x is a shell's own affair.
        return [token for token in tokens if token.name and text.count("<", token.start, token.end) == 2]


class _Builder(Transformer[Token, object]):
    """Makes values of what the rules match, as they match; methods are named after rules."""

    def _plain(self, children: list[Token]) -> Statement:
        """An instruction whose arguments are just their tokens."""
        flags, rest = _split_flags(children)
        return Statement(_span(children[0]), flags, tuple(map(_span, rest)), False)

    words_keyword = text_keyword = arg = _plain

    def unknown(self, children: list[Token]) -> Statement:
        flags, _ = _split_flags(children)
        return Statement(_span(children[0]), flags, (), False)

    def _maybe_array(self, children: list[Token | _Array]) -> Statement:
        """An instruction whose arguments may be a JSON array, behind the type in a HEALTHCHECK."""
        keyword = children[0]
        flags, rest = _split_flags(children)
        words: list[Span] = []
        array: _Array | None = None
        for child in rest:
            if isinstance(child, _Array):
                array = child
                words += child.words
            else:
                words.append(_span(child))
        assert isinstance(keyword, Token)
        if array is not None:
            return Statement(_span(keyword), flags, tuple(words), True, after_array=array.after)
        at = 1 if keyword.type == "HEALTHCHECK" else 0
        bracket = words[at] if len(words) > at and words[at].text.lstrip(BLANKS).startswith("[") else None
        return Statement(_span(keyword), flags, tuple(words), False, bracket=bracket)

    shell_keyword = list_keyword = healthcheck = _maybe_array

    def pairs_keyword(self, children: list[Token | _Spans]) -> Statement:
        keyword = children[0]
        assert isinstance(keyword, Token)
        flags, rest = _split_flags(children)
        words = [span for pair in rest if not isinstance(pair, Token) for span in pair]
        if len(words) == 1:
            name = keyword.upper()
            raise LineError(
                f"{name} must have two arguments",
                words[0].start,
                words[0].end,
                hint=f"write {name} name=value",
            )
        return Statement(_span(keyword), flags, tuple(words), False)

    def onbuild(self, children: list[Token | Statement]) -> Statement:
        keyword, trigger = children[0], children[-1]
        assert isinstance(keyword, Token)
        flags, _ = _split_flags(children)
        return Statement(
            _span(keyword), flags, (), False, trigger if isinstance(trigger, Statement) else None
        )

    def array(self, children: list[Token]) -> _Array:
        strings = [token for token in children if token.type == "JSON_STRING"]
        after = _span(children[-1]) if len(strings) < len(children) else None
        return _Array(tuple(_span(token)._replace(text=_json_string(token)) for token in strings), after)

    def pair(self, children: list[Token]) -> _Spans:
        """Key, value, separator."""
        at = next(index for index, token in enumerate(children) if token.type.endswith("EQUALS"))
        equals = _span(children[at])
        key = _span(children[0]) if at else Span("", equals.start, equals.start)
        value = _span(children[-1]) if at + 1 < len(children) else Span("", equals.end, equals.end)
        return key, value, equals

    def legacy_pair(self, children: list[Token]) -> _Spans:
        key = _span(children[0])
        if len(children) == 1:
            return (key,)
        value = _span(children[1])
        return key, value, Span(" ", key.end, value.start)

    def no_pair(self, children: list[Token]) -> _Spans:
        word = _span(children[0])
        raise LineError(
            f'can\'t find = in "{word.text}"',
            word.start,
            word.end,
            hint="each word must be of the form name=value; quote a value that has blanks",
        )

    def shell_line(self, children: list[HeredocToken | None]) -> list[HeredocToken]:
        return [child for child in children if child is not None]

    def plain_word(self, children: list[Token | _Piece]) -> None:
        return None

    def heredoc(self, children: list[Token | _Piece]) -> HeredocToken:
        opener = children[0]
        assert isinstance(opener, Token)
        pieces = [_piece(child) for child in children[1:]]
        digits = opener.rstrip("-").rstrip("<").lstrip("0")
        return HeredocToken(
            name="".join(piece.text for piece in pieces),
            file_descriptor=min(int(digits or "0"), _MAX_DESCRIPTOR) if len(digits) < 24 else _MAX_DESCRIPTOR,
            is_expanded=not any(piece.is_quoted for piece in pieces),
            is_chomped=opener.endswith("-"),
            start=_span(opener).start,
            end=pieces[-1].end,
        )

    def double_quoted(self, children: list[Token | _Piece]) -> _Piece:
        pieces = [_piece(child) for child in children]
        return _Piece("".join(piece.text for piece in pieces[:-1]), True, pieces[-1].end)

    def parameter(self, children: list[Token | _Piece]) -> _Piece:
        pieces = [_piece(child) for child in children]
        is_quoted = any(piece.is_quoted for piece in pieces)
        return _Piece("".join(piece.text for piece in pieces), is_quoted, pieces[-1].end)


def _span(token: Token) -> Span:
    return Span(token.value, token.start_pos or 0, token.end_pos or 0)


T = TypeVar("T")


def _split_flags(children: Sequence[Token | T]) -> tuple[_Spans, list[Token | T]]:
    """The flags and the arguments behind a keyword."""
    flags: list[Span] = []
    for child in children[1:]:
        if not isinstance(child, Token) or child.type != "FLAG":
            break
        flags.append(_span(child)._replace(text=_unquoted_flag(child.value)))
    return tuple(flags), list(children[1 + len(flags) :])


def _unquoted_flag(text: str) -> str:
    if not _QUOTING.search(text):
        return text
    pieces = (match[1] or match[2] or match[3] or "" for match in _FLAG_PIECE.finditer(text))
    return "".join(_ESCAPE.sub(r"\1", piece) for piece in pieces)


def _json_string(token: str) -> str:
    # Half of a surrogate pair is no character; Go reads it as U+FFFD.
    text: str = json.loads(token)
    return _SURROGATE.sub("\ufffd", text)


def _piece(child: Token | _Piece) -> _Piece:
    """A piece of a shell word without its quotes and escapes."""
    if isinstance(child, _Piece):
        return child
    end = child.end_pos or 0
    match child.type:
        case "SINGLE_QUOTED":
            return _Piece(child.value[1:-1], True, end)
        case "ESCAPED":
            return _Piece(child.value[1:], False, end)
        case "QUOTED_ESCAPE":
            return _Piece(child.value[1:] or "\\", False, end)
        case _:
            return _Piece(child.value, False, end)


def _innermost(statement: Statement) -> Statement:
    depth = 0
    outer = statement.keyword
    while statement.trigger is not None:
        statement = statement.trigger
        depth += 1
        if depth > _MAX_DEPTH:
            raise LineError(
                "ONBUILD is nested too deep",
                outer.start,
                outer.end,
                hint="ONBUILD takes any other instruction",
            )
    return statement


def _refuse_mixed_array(statement: Statement, text: str) -> None:
    """Raise for an array of other things than strings; bracketed text that is no JSON at all is just text."""
    bracket = statement.bracket
    if bracket is None or not _is_json_array(text[bracket.start :].lstrip(BLANKS)):
        return
    raise LineError(
        "when using JSON array syntax, arrays must be comprised of strings only",
        bracket.start,
        len(text),
        hint="put every element in double quotes",
    )


def _is_json_array(text: str) -> bool:
    try:
        _JSON.raw_decode(text)
    except ValueError:
        return False
    except RecursionError:
        return True  # nested deeper than anything but a list of lists of lists
    return True


def _number(text: str) -> float:
    """A number that Go can hold; one it cannot makes the text no JSON."""
    if math.isinf(value := float(text)):
        raise ValueError(text)
    return value


def _no_constant(name: str) -> float:
    """NaN and Infinity, which only Python knows."""
    raise ValueError(name)


_JSON = json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=_no_constant)
