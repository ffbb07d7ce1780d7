"""From the text of a Go template to its parts (the grammar of Go's text/template/parse)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError

_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<string>"(?:[^"\\\n]|\\.)*")|`(?P<raw>[^`]*)`|(?P<character>'(?:[^'\\\n]|\\.)')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?)(?!\w))
    |(?P<field>\.[^\W\d]\w*)|(?P<dot>\.)|(?P<variable>\$\w*)|(?P<word>[^\W\d]\w*)
    |(?P<sign>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)
_UNKNOWN_BLOCKS = ("define", "template", "block")


class InvalidTemplate(PybuildError):
    """`--format` is no template, or one that does not fit what it is applied to."""

    kind = Kind.INVALID
    code = "invalid-format"

    def __init__(self, at: int, why: str) -> None:
        super().__init__(
            f"the template of --format is wrong at character {at + 1}: {why}",
            hint='it is a Go template such as "{{.ID}} {{json .}}", json, or table; see docs/cli.md',
        )


class Literal(NamedTuple):
    """A value that the template spells out."""

    value: str | int | float | bool | None


class Field(NamedTuple):
    """``.A.B``; no names: the dot itself. ``at`` is where it stands."""

    names: tuple[str, ...]
    at: int


class Variable(NamedTuple):
    """``$x.A.B``."""

    name: str
    names: tuple[str, ...]
    at: int


class Function(NamedTuple):
    """A function's name; what follows in the command are its arguments."""

    name: str
    at: int


class Group(NamedTuple):
    """``(pipeline).A.B``."""

    pipeline: Pipeline
    names: tuple[str, ...]
    at: int


Operand = Literal | Field | Variable | Function | Group


class Command(NamedTuple):
    """Operands side by side."""

    operands: tuple[Operand, ...]
    at: int


class Pipeline(NamedTuple):
    """``$x := command | command``; ``declares`` False: the variables are there already."""

    variables: tuple[str, ...]
    declares: bool
    commands: tuple[Command, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Action:
    """``{{pipeline}}``."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Block:
    """``{{if}}``, ``{{with}}`` or ``{{range}}``."""

    keyword: str
    pipeline: Pipeline
    body: tuple[Part, ...]
    otherwise: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """``{{break}}`` or ``{{continue}}``."""

    keyword: str


Part = str | Action | Block | Jump


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Piece(NamedTuple):
    """Text, or what stands between braces as tokens."""

    text: str
    tokens: list[_Token] | None
    at: int


def parse(text: str) -> tuple[Part, ...]:
    """Raises InvalidTemplate."""
    parser = _Parser(_pieces(text), len(text))
    parts, end = parser.parts(())
    assert end == ""
    return parts


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    at = 0
    trims = False
    while at <= len(text):
        start = text.find("{{", at)
        plain = text[at:] if start < 0 else text[at:start]
        if trims:
            plain = plain.lstrip()
        if start < 0:
            pieces.append(_Piece(plain, None, at))
            break
        inside = start + 2
        if re.match(r"-\s", text[inside:]):
            plain = plain.rstrip()
            inside += 1
        pieces.append(_Piece(plain, None, at))
        comment = re.match(r"\s*/\*(.*?)\*/\s*?( -)?\}\}", text[inside:], re.DOTALL)
        if comment:
            at, trims = inside + comment.end(), comment[2] is not None
            continue
        tokens, at, trims = _tokens(text, inside, start)
        pieces.append(_Piece("", tokens, start))
    return pieces


def _tokens(text: str, at: int, start: int) -> tuple[list[_Token], int, bool]:
    """The tokens of one action, where the text goes on, and whether white space is left out there."""
    tokens: list[_Token] = []
    while True:
        if text.startswith("}}", at):
            return tokens, at + 2, False
        found = _TOKEN.match(text, at)
        if found is None:
            if at >= len(text):
                raise InvalidTemplate(start, "unclosed action")
            raise InvalidTemplate(at, f'unexpected "{text[at]}" in an action')
        end = found.end()
        if found.lastgroup == "space" and text.startswith("-}}", end):
            return tokens, end + 3, True
        tokens.append(_Token(str(found.lastgroup), found[str(found.lastgroup)], at))
        at = end


class _Parser:
    def __init__(self, pieces: list[_Piece], end: int) -> None:
        self._pieces = pieces
        self._next = 0
        self._end = end
        self._tokens: list[_Token] = []
        self._index = 0
        self._at = 0
        self._ranges = 0  # that the parser is inside of

    def parts(self, ends: tuple[str, ...]) -> tuple[tuple[Part, ...], str]:
        """Up to one of ``ends`` (or the end of the text, for none); and which it was."""
        parts: list[Part] = []
        while self._next < len(self._pieces):
            piece = self._pieces[self._next]
            self._next += 1
            if piece.tokens is None:
                if piece.text:
                    parts.append(piece.text)
                continue
            self._tokens, self._index, self._at = piece.tokens, 0, piece.at
            self._skip()
            word = self._peek()
            keyword = word.text if word is not None and word.kind == "word" else ""
            if keyword in ("end", "else"):
                if keyword not in ends:
                    raise InvalidTemplate(piece.at, f"unexpected {{{{{keyword}}}}}")
                self._index += 1
                return tuple(parts), keyword
            if keyword in ("if", "with", "range"):
                self._index += 1
                parts.append(self._block(keyword))
            elif keyword in ("break", "continue"):
                self._index += 1
                parts.append(self._jump(keyword, piece.at))
            elif keyword in _UNKNOWN_BLOCKS:
                raise InvalidTemplate(piece.at, f"{{{{{keyword}}}}} is not supported")
            else:
                parts.append(Action(self._whole_pipeline("command")))
        if ends:
            raise InvalidTemplate(self._end, "unexpected end, {{end}} is missing")
        return tuple(parts), ""

    def _jump(self, keyword: str, at: int) -> Jump:
        self._skip()
        rest = self._peek()
        if rest is not None:
            raise InvalidTemplate(rest.at, f'unexpected "{rest.text}" in {{{{{keyword}}}}}')
        if not self._ranges:
            raise InvalidTemplate(at, f"{{{{{keyword}}}}} outside {{{{range}}}}")
        return Jump(keyword)

    def _block(self, keyword: str) -> Block:
        pipeline = self._whole_pipeline(keyword)
        self._ranges += keyword == "range"
        body, end = self.parts(("else", "end"))
        self._ranges -= keyword == "range"
        otherwise: tuple[Part, ...] = ()
        if end == "else":
            self._skip()
            again = self._peek()
            if again is not None and again.text in ("if", "with"):
                # {{else if}} shares the {{end}} of its {{if}}.
                self._index += 1
                otherwise = (self._block(again.text),)
            else:
                otherwise, _ = self.parts(("end",))
        return Block(keyword, pipeline, body, otherwise)

    def _whole_pipeline(self, what: str) -> Pipeline:
        pipeline = self._pipeline(what)
        rest = self._peek()
        if rest is not None:
            raise InvalidTemplate(rest.at, f'unexpected "{rest.text}"')
        return pipeline

    def _pipeline(self, what: str) -> Pipeline:
        self._skip()
        variables, declares = self._variables()
        commands = [self._command(what)]
        while (token := self._peek()) is not None and token.text == "|" and token.kind == "sign":
            self._index += 1
            commands.append(self._command(what))
        return Pipeline(variables, declares, tuple(commands), self._at)

    def _variables(self) -> tuple[tuple[str, ...], bool]:
        """``$x :=`` or ``$i, $x :=``, if the pipeline begins so."""
        start, names = self._index, []
        while (token := self._peek()) is not None and token.kind == "variable" and len(token.text) > 1:
            names.append(token.text)
            self._index += 1
            self._skip()
            sign = self._peek()
            if sign is None or sign.kind != "sign" or sign.text not in (",", ":=", "="):
                break
            self._index += 1
            self._skip()
            if sign.text != ",":
                return tuple(names), sign.text == ":="
        self._index = start
        return (), False

    def _command(self, what: str) -> Command:
        operands: list[Operand] = []
        self._skip()
        first = self._peek()
        at = first.at if first is not None else self._at
        while (token := self._peek()) is not None and not (token.kind == "sign" and token.text in ("|", ")")):
            operands.append(self._operand())
            after = self._peek()
            if after is not None and after.kind != "space" and after.text not in ("|", ")"):
                raise InvalidTemplate(after.at, f'unexpected "{after.text}"')
            self._skip()
        if not operands:
            raise InvalidTemplate(at, f"missing value for {what}")
        return Command(tuple(operands), at)

    def _operand(self) -> Operand:
        token = self._tokens[self._index]
        self._index += 1
        match token.kind:
            case "string":
                return Literal(_unquoted(token))
            case "raw":
                return Literal(token.text)
            case "number":
                return Literal(_number(token))
            case "character":
                return Literal(ord(_unquoted(token._replace(text=f'"{token.text[1:-1]}"'))))
            case "dot":
                return Field((), token.at)
            case "field":
                return Field((token.text[1:], *self._fields()), token.at)
            case "variable":
                return Variable(token.text, self._fields(), token.at)
            case "word":
                constants = {"true": True, "false": False, "nil": None}
                if token.text in constants:
                    return Literal(constants[token.text])
                return Function(token.text, token.at)
            case _:
                pass
        if token.text == "(":
            pipeline = self._pipeline("parenthesized pipeline")
            closing = self._peek()
            if closing is None or closing.text != ")":
                raise InvalidTemplate(token.at, "unclosed parenthesis")
            self._index += 1
            return Group(pipeline, self._fields(), token.at)
        raise InvalidTemplate(token.at, f'unexpected "{token.text}"')

    def _fields(self) -> tuple[str, ...]:
        names = []
        while (token := self._peek()) is not None and token.kind == "field":
            names.append(token.text[1:])
            self._index += 1
        return tuple(names)

    def _peek(self) -> _Token | None:
        return self._tokens[self._index] if self._index < len(self._tokens) else None

    def _skip(self) -> None:
        while (token := self._peek()) is not None and token.kind == "space":
            self._index += 1


def _number(token: _Token) -> int | float:
    text = token.text
    is_float = any(letter in text for letter in ".eE") and "x" not in text.lower()
    try:
        return float(text) if is_float else int(text, 0)
    except ValueError as error:
        raise InvalidTemplate(token.at, f'"{text}" is not a number') from error


def _unquoted(token: _Token) -> str:
    try:
        value = json.loads(token.text, strict=False)
    except ValueError as error:
        raise InvalidTemplate(token.at, "a string with an escape that JSON does not have") from error
    assert isinstance(value, str)
    return value
