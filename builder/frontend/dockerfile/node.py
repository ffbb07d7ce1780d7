"""The syntax tree of a Dockerfile: what the parser knows before anything is given a meaning."""

from __future__ import annotations

from typing import NamedTuple

from builder.core.location import Location


class Word(NamedTuple):
    """A piece of an instruction: quotes and escapes kept, line continuations removed."""

    text: str
    location: Location


class Heredoc(NamedTuple):
    """One ``<<NAME`` with its body."""

    name: str  # without quotes
    file_descriptor: int
    is_expanded: bool  # False if any part of the name was quoted
    is_chomped: bool  # <<-: leading tabs of the body and the terminator are gone
    content: str
    content_as_written: str  # the body with its tabs, to put back behind an ONBUILD
    location: Location  # of the token on the instruction's line


class Node(NamedTuple):
    """One instruction.

    ``words`` are, as in Docker's Go parser: for RUN, CMD, ENTRYPOINT, SHELL in shell form one word with the
    whole text; in JSON form the decoded strings; for ENV and LABEL triples key, value, separator ("=", or " "
    in the legacy form); for HEALTHCHECK its type and then as for CMD; for MAINTAINER, STOPSIGNAL, USER and
    WORKDIR one word; for the others their words; for unknown instructions none. ``flags`` have their quotes
    and escapes removed. ``trigger`` is the instruction below ONBUILD; both have the heredocs.
    """

    keyword: str  # lower case
    keyword_as_written: str
    keyword_location: Location
    flags: tuple[Word, ...]  # "--from=build"
    words: tuple[Word, ...]
    is_json: bool
    original: str  # the logical line
    heredocs: tuple[Heredoc, ...]
    trigger: Node | None
    comments: tuple[Word, ...]  # the comment lines directly above, without "#" and outer blanks
    location: Location  # first to last physical line, heredoc bodies included


class Directive(NamedTuple):
    """A parser directive, ``# name=value``; name in lower case."""

    name: str
    value: str
    location: Location


class SyntaxNote(NamedTuple):
    """Something harmless that the parser noticed, such as an empty continuation line."""

    rule: str  # the linter's name: NoEmptyContinuation
    message: str
    location: Location


class SyntaxTree(NamedTuple):
    """A parsed Dockerfile."""

    nodes: tuple[Node, ...]
    directives: tuple[Directive, ...]
    notes: tuple[SyntaxNote, ...]
    escape: str  # a backslash or a backtick
