"""Physical lines to logical ones: directives, comments, continuations, heredoc bodies, and the map back."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from builder.core.location import Location
from builder.frontend.dockerfile.node import Directive, SyntaxNote, Word
from builder.frontend.dockerfile.syntax_error import DockerfileSyntaxError

# What unicode.IsSpace says in Go; str.strip() without arguments also takes \x1c-\x1f.
BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

# bufio.MaxScanTokenSize: a longer line, its newline included, does not fit Docker's reader.
_LINE_BUFFER = 65536

_DIRECTIVE = re.compile(r"#[\t\f\r ]*([a-zA-Z][a-zA-Z0-9]*)[\t\f\r ]*=(.+)")
_DIRECTIVE_BLANKS = "\t\f\r "
_INVALID = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of bytes that are not UTF-8
_DIRECTIVES = ("syntax", "escape", "check")


class _Segment(NamedTuple):
    """A piece of a physical line within a logical line."""

    offset: int
    line: int
    column: int


class LogicalLine(NamedTuple):
    """One instruction, continuations joined."""

    text: str  # without blanks at its end
    original: str  # with them
    segments: tuple[_Segment, ...]
    end_line: int
    comments: tuple[Word, ...]
    file: str

    @property
    def start(self) -> Location:
        """Where the line begins, be it with nothing but an escape character."""
        first = self.segments[0]
        return Location(first.line, first.column, first.line, first.column, self.file)

    def locate(self, start: int, end: int) -> Location:
        """The physical range of ``text[start:end]``."""
        if len(self.segments) == 1:  # nearly always
            _, line, column = self.segments[0]
            return Location(line, column + start, line, column + end, self.file)
        first_line, first_column = self._position(start)
        if end == start:
            return Location(first_line, first_column, first_line, first_column, self.file)
        last_line, last_column = self._position(end - 1)
        return Location(first_line, first_column, last_line, last_column + 1, self.file)

    def _position(self, offset: int) -> tuple[int, int]:
        segments = self.segments
        segment = segments[bisect_right(segments, offset, key=_offset_of) - 1]
        return segment.line, segment.column + offset - segment.offset


def _offset_of(segment: _Segment) -> int:
    return segment.offset


class LineReader:
    """Reads a Dockerfile from top to bottom; the caller, who knows their names, asks for heredoc bodies."""

    def __init__(self, data: bytes, *, file: str) -> None:
        self.file = file
        self.escape = "\\"
        self.directives: list[Directive] = []
        self.notes: list[SyntaxNote] = []
        self._too_long: int | None = None
        self._raw = self._decode(data)
        self._lines = [line.rstrip("\r") for line in self._raw] if b"\r" in data else self._raw
        self._next = 0
        self._comments: list[Word] = []
        self._top = True  # still in the block of directives

    def next_line(self) -> LogicalLine | None:
        """The next instruction's text, None at the end."""
        while self._next < len(self._lines):
            raw = self._take()
            text = raw.lstrip(BLANKS)
            if self._top and self._take_directive(raw, text):
                continue
            if text.startswith("#"):
                self._comments.append(self._comment(raw, text))
            elif text:
                return self._join(text, column=len(raw) - len(text) + 1)
            else:
                self._comments.clear()
        return None

    def heredoc_body(self, name: str, *, is_chomped: bool) -> str | None:
        """The lines up to the one that is ``name``, as written; None if that never comes."""
        start = self._next
        while self._next < len(self._lines):
            line = self._take()
            if name == (line.lstrip("\t") if is_chomped else line):
                return "".join(f"{text}\n" for text in self._raw[start : self._next - 1])
        return None

    @property
    def end_line(self) -> int:
        """The last line that was read."""
        return self._next

    def end_column(self, line: int) -> int:
        """The column after the last character of a line; 1 for a file without lines."""
        return len(self._lines[line - 1]) + 1 if line else 1

    def end_of_file(self) -> Location:
        """Where the text stops."""
        line = len(self._lines)
        column = self.end_column(line)
        return Location(max(line, 1), column, max(line, 1), column, self.file)

    def check_end(self) -> None:
        """Raise what the end of the input hides: a line that was too long to read."""
        if self._too_long is not None:
            raise DockerfileSyntaxError(
                f"dockerfile line greater than max allowed size of {_LINE_BUFFER - 1}",
                hint="break the line with the escape character, or COPY the text from a file",
                location=Location(self._too_long, 0, self._too_long, 0, self.file),
            )

    def _decode(self, data: bytes) -> list[str]:
        data = self._cut_at_long_line(
            data.removeprefix(b"\xef\xbb\xbf"), bom=data.startswith(b"\xef\xbb\xbf")
        )
        text = data.decode("utf-8", "surrogateescape")
        if not text.isascii() and (invalid := _INVALID.search(text)):
            text = self._replace_invalid(text, invalid)
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        return lines

    def _cut_at_long_line(self, data: bytes, *, bom: bool) -> bytes:
        if len(data) < _LINE_BUFFER - 3:
            return data
        start = 0
        lines = data.split(b"\n")
        for number, line in enumerate(lines, 1):
            # The byte order mark counts; so does a newline at the end, even if it is missing.
            size = len(line) + 1 + (3 if bom and number == 1 else 0)
            if size > _LINE_BUFFER:
                self._too_long = number
                return data[:start]
            start += len(line) + 1
        return data

    def _replace_invalid(self, text: str, first: re.Match[str]) -> str:
        """One U+FFFD for each byte that is no UTF-8: what Docker makes of it when it sends the build on."""
        at = first.start()
        line = text.count("\n", 0, at) + 1
        column = at - text.rfind("\n", 0, at)
        self.notes.append(
            SyntaxNote(
                "InvalidUtf8",
                "bytes that are not UTF-8 are read as U+FFFD",
                Location(line, column, line, column + 1, self.file),
            )
        )
        return _INVALID.sub("\ufffd", text)

    def _take(self) -> str:
        line = self._lines[self._next]
        self._next += 1
        return line

    def _comment(self, raw: str, text: str) -> Word:
        words = text[1:].strip(BLANKS)
        column = len(raw) - len(text[1:].lstrip(BLANKS)) + 1
        return Word(words, Location(self._next, column, self._next, column + len(words), self.file))

    def _take_directive(self, raw: str, text: str) -> bool:
        """Whether the line is a directive; the first line that is none ends them for good."""
        match = _DIRECTIVE.fullmatch(text)
        name = match[1].lower() if match else ""
        if match is None or name not in _DIRECTIVES:
            self._top = False
            return False
        value = match[2].strip(_DIRECTIVE_BLANKS) or match[2][-1:]  # all blank: the last one
        margin = len(raw) - len(text) + 1
        end = margin + text.rindex(value) + len(value)
        location = Location(self._next, margin, self._next, end, self.file)
        if any(name == seen.name for seen in self.directives):
            raise DockerfileSyntaxError(
                f"only one {name} parser directive can be used",
                hint="remove the second one",
                location=location,
            )
        if name == "escape":
            self._set_escape(value, location._replace(start_column=end - len(value)))
        self.directives.append(Directive(name, value, location))
        return True

    def _set_escape(self, value: str, location: Location) -> None:
        if value not in ("\\", "`"):
            raise DockerfileSyntaxError(
                f'invalid escape token "{value}"',
                hint="the escape character is \\ or `",
                location=location,
            )
        self.escape = value

    def _join(self, text: str, *, column: int) -> LogicalLine:
        parts: list[str] = []
        segments: list[_Segment] = []
        offset = 0
        empty_line = 0
        text, is_continued = self._split_continuation(text)
        while True:
            parts.append(text)
            segments.append(_Segment(offset, self._next, column))
            offset += len(text)
            if not is_continued:
                break
            following, empty = self._continuation()
            empty_line = empty_line or empty
            if following is None:
                break
            text, is_continued = self._split_continuation(following)
            column = 1
        if empty_line:
            self._note_empty(empty_line)
        comments = tuple(self._comments)
        self._comments.clear()
        joined = parts[0] if len(parts) == 1 else "".join(parts)
        return LogicalLine(joined.rstrip(BLANKS), joined, tuple(segments), self._next, comments, self.file)

    def _continuation(self) -> tuple[str | None, int]:
        """The next line that counts, and the first empty line before it (0: none)."""
        empty = 0
        while self._next < len(self._lines):
            raw = self._take()
            text = raw.lstrip(BLANKS)
            if text and not text.startswith("#"):
                return raw, empty
            if not text:
                empty = empty or self._next
        return None, empty

    def _split_continuation(self, line: str) -> tuple[str, bool]:
        # An escaped escape character continues nothing. So is the last of three, which Docker keeps.
        text = line.rstrip(" \t")
        if text.endswith(self.escape) and text[-2:-1] != self.escape:
            return text[:-1], True
        return line, False

    def _note_empty(self, line: int) -> None:
        self.notes.append(
            SyntaxNote(
                "NoEmptyContinuation",
                "empty continuation line",
                Location(line, 1, line, self.end_column(line), self.file),
            )
        )
