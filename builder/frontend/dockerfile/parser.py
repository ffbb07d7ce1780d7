"""Text to syntax tree: the syntactic stage, which accepts what Docker's own parser accepts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from builder.core.location import Location
from builder.frontend.dockerfile import ast_cache
from builder.frontend.dockerfile.lines import LineReader, LogicalLine
from builder.frontend.dockerfile.node import Heredoc, Node, SyntaxNote, SyntaxTree, Word
from builder.frontend.dockerfile.syntax_error import DockerfileSyntaxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.core.errors import PybuildError
    from builder.frontend.dockerfile.line_parser import HeredocToken, LineParser, Span, Statement

_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
_HEREDOC_KEYWORDS = ("run", "copy", "add")


def parse(
    data: bytes,
    *,
    file: str = "Dockerfile",
    cache: ast_cache.ParseCache | None = None,
    errors: list[PybuildError] | None = None,
) -> SyntaxTree:
    """The syntax tree of a Dockerfile; raises DockerfileSyntaxError for the first mistake.

    ``file`` is what locations call it. What ``cache`` remembers is not parsed again, nor is Lark imported.
    Given ``errors``, all mistakes go there, and the tree is that of the instructions without any.
    """
    if cache is None:
        return _FileParser(data, file, errors).parse()
    key = ast_cache.cache_key(data)
    if (value := cache.get(key)) is not None and (tree := ast_cache.unpack(value, file=file)) is not None:
        return tree
    tree = _FileParser(data, file, errors).parse()
    if not errors:
        cache.put(key, ast_cache.pack(tree))
    return tree


class _FileParser:
    """One pass over one file."""

    def __init__(self, data: bytes, file: str, errors: list[PybuildError] | None) -> None:
        self._file = file
        self._errors = errors
        self._reader = LineReader(data, file=file)
        self._notes: list[SyntaxNote] = []

    def parse(self) -> SyntaxTree:
        # Imported where the work starts: a build whose Dockerfile is remembered does without Lark.
        from builder.frontend.dockerfile.line_parser import line_parser

        reader = self._reader
        nodes: list[Node] = []
        try:
            while (line := reader.next_line()) is not None:
                try:
                    # The escape directive comes before any instruction, so it is settled by now.
                    nodes.append(self._node(line, line_parser(reader.escape)))
                except DockerfileSyntaxError as error:
                    # Whose heredocs cannot be told from what follows them ends the reading.
                    if self._errors is None or "<<" in line.text:
                        raise
                    self._errors.append(error)
            reader.check_end()
            if not nodes and not self._errors:
                self._refuse_nothing()
        except DockerfileSyntaxError as error:
            if self._errors is None:
                raise
            self._errors.append(error)
        notes = sorted([*reader.notes, *self._notes], key=lambda note: note.location)
        return SyntaxTree(tuple(nodes), tuple(reader.directives), tuple(notes), reader.escape)

    def _refuse_nothing(self) -> NoReturn:
        raise DockerfileSyntaxError(
            "file with no instructions",
            hint="a Dockerfile begins with FROM",
            location=self._reader.end_of_file(),
        )

    def _node(self, line: LogicalLine, parser: LineParser) -> Node:
        from builder.frontend.dockerfile.line_parser import LineError

        if not line.text:
            return _nothing(line)
        try:
            statement = parser.statement(line.text)
        except LineError as error:
            raise DockerfileSyntaxError(
                error.message, hint=error.hint, location=line.locate(error.start, error.end)
            ) from None
        heredocs: tuple[Heredoc, ...] = ()
        if "<<" in line.text and _may_have_heredocs(statement):
            heredocs = tuple(self._heredoc(line, token) for token in parser.heredocs(line.original))
        return self._build(line, statement, heredocs)

    def _heredoc(self, line: LogicalLine, token: HeredocToken) -> Heredoc:
        location = line.locate(token.start, token.end)
        body = self._reader.heredoc_body(token.name, is_chomped=token.is_chomped)
        if body is None:
            self._reader.check_end()
            raise DockerfileSyntaxError(
                "unterminated heredoc",
                hint=f'the text must end with a line that is exactly "{token.name}"',
                location=location,
            )
        content = _without_tabs(body) if token.is_chomped else body
        return Heredoc(
            token.name, token.file_descriptor, token.is_expanded, token.is_chomped, content, body, location
        )

    def _build(
        self,
        line: LogicalLine,
        statement: Statement,
        heredocs: tuple[Heredoc, ...],
        *,
        is_trigger: bool = False,
    ) -> Node:
        """The node of an instruction, or of the one below ONBUILD, which shares its heredocs."""
        trigger = statement.trigger and self._build(line, statement.trigger, heredocs, is_trigger=True)
        keyword = statement.keyword
        if statement.after_array is not None:
            self._notes.append(_dropped_text(line, statement.after_array))
        return Node(
            keyword=keyword.text.lower(),
            keyword_as_written=keyword.text,
            keyword_location=line.locate(keyword.start, keyword.end),
            flags=_words(line, statement.flags),
            words=_words(line, statement.words),
            is_json=statement.is_json,
            original=line.text[keyword.start :] if is_trigger else line.original,
            heredocs=heredocs,
            trigger=trigger,
            comments=() if is_trigger else line.comments,
            location=self._extent(line, keyword.start if is_trigger else 0),
        )

    def _extent(self, line: LogicalLine, start: int) -> Location:
        """From there to the last line that belongs to the instruction."""
        first = line.start if start == 0 else line.locate(start, start)
        end_line = self._reader.end_line
        return first._replace(end_line=end_line, end_column=self._reader.end_column(end_line))


def _words(line: LogicalLine, spans: Sequence[Span]) -> tuple[Word, ...]:
    return tuple(Word(text, line.locate(start, end)) for text, start, end in spans)


def _may_have_heredocs(statement: Statement) -> bool:
    """RUN, COPY and ADD may, also right below ONBUILD; an array never does."""
    innermost = statement.trigger or statement
    return not innermost.is_json and innermost.keyword.text.lower() in _HEREDOC_KEYWORDS


def _without_tabs(body: str) -> str:
    return _LEADING_TABS.sub("", body)


def _dropped_text(line: LogicalLine, text: Span) -> SyntaxNote:
    return SyntaxNote(
        "TextAfterJsonArray",
        f'the text "{text.text}" behind the JSON array is ignored',
        line.locate(text.start, text.end),
    )


def _nothing(line: LogicalLine) -> Node:
    """What continuations of nothing make: an instruction without a name, refused by a later stage."""
    at = line.start
    return Node(
        "", "", at, (), (), False, line.original, (), None, line.comments, at._replace(end_line=line.end_line)
    )
