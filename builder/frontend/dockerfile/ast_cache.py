"""Remembered parses: a syntax tree as bytes and back, without Lark.

A value is the sha256 of a marshal of plain tuples, followed by that marshal. The checksum keeps
damaged bytes from ``marshal.loads``, which trusts its input; nothing is ever unpickled. A value that
is damaged, or made in another format, is a miss.
"""

from __future__ import annotations

import hashlib
import marshal
import sys
from typing import Protocol, TypeAlias

from builder.core.location import Location
from builder.frontend.dockerfile.grammar_file import grammar_digest
from builder.frontend.dockerfile.node import Directive, Heredoc, Node, SyntaxNote, SyntaxTree, Word

_FORMAT = b"syntax tree 1"  # raise it whenever the parser or the types in node.py change
_CHECKSUM_SIZE = 32

_Place: TypeAlias = tuple[int, int, int, int]
_Word: TypeAlias = tuple[str, _Place]
_Heredoc: TypeAlias = tuple[str, int, bool, bool, str, str, _Place]
# A node's fields before its trigger, the trigger, and those behind it.
_Node: TypeAlias = "tuple[_Head, _Node | None, _Tail]"
_Head: TypeAlias = (
    "tuple[str, str, _Place, tuple[_Word, ...], tuple[_Word, ...], bool, str, tuple[_Heredoc, ...]]"
)
_Tail: TypeAlias = tuple[tuple[_Word, ...], _Place]
_Named: TypeAlias = tuple[str, str, _Place]  # a directive or a note
_Tree: TypeAlias = tuple[tuple[_Node, ...], tuple[_Named, ...], tuple[_Named, ...], str]


class ParseCache(Protocol):
    """Where parses are remembered; it may forget at any time."""

    def get(self, key: bytes) -> bytes | None:
        """The value put under this key, None if there is none."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Remember a value."""
        ...


def cache_key(data: bytes) -> bytes:
    """What a parse depends on: the file, the grammar, the format, and the Python that marshals."""
    state = hashlib.sha256(_FORMAT + b"\0" + sys.version.encode() + b"\0" + grammar_digest())
    state.update(data)
    return state.digest()


def pack(tree: SyntaxTree) -> bytes:
    """The tree as bytes; the file's name is left out, so that a moved file is still known."""
    plain: _Tree = (
        tuple(_pack_node(node) for node in tree.nodes),
        tuple((name, value, location[:4]) for name, value, location in tree.directives),
        tuple((rule, message, location[:4]) for rule, message, location in tree.notes),
        tree.escape,
    )
    payload = marshal.dumps(plain)
    return hashlib.sha256(payload).digest() + payload


def unpack(value: bytes, *, file: str) -> SyntaxTree | None:
    """The tree, with ``file`` in its locations; None if these are not the bytes of ``pack``."""
    payload = value[_CHECKSUM_SIZE:]
    if hashlib.sha256(payload).digest() != value[:_CHECKSUM_SIZE]:
        return None
    plain: _Tree = marshal.loads(payload)  # noqa: S302 - its checksum says that it is what pack() made
    nodes, directives, notes, escape = plain
    return SyntaxTree(
        tuple(_unpack_node(node, file) for node in nodes),
        tuple(Directive(name, text, Location(*place, file)) for name, text, place in directives),
        tuple(SyntaxNote(rule, text, Location(*place, file)) for rule, text, place in notes),
        escape,
    )


def _pack_node(node: Node) -> _Node:
    head: _Head = (
        node.keyword,
        node.keyword_as_written,
        node.keyword_location[:4],
        _pack_words(node.flags),
        _pack_words(node.words),
        node.is_json,
        node.original,
        tuple(_pack_heredoc(heredoc) for heredoc in node.heredocs),
    )
    trigger = None if node.trigger is None else _pack_node(node.trigger)
    return head, trigger, (_pack_words(node.comments), node.location[:4])


def _unpack_node(plain: _Node, file: str) -> Node:
    head, trigger, (comments, extent) = plain
    keyword, as_written, place, flags, words, is_json, original, heredocs = head
    return Node(
        keyword,
        as_written,
        Location(*place, file),
        _unpack_words(flags, file),
        _unpack_words(words, file),
        is_json,
        original,
        tuple(_unpack_heredoc(heredoc, file) for heredoc in heredocs),
        None if trigger is None else _unpack_node(trigger, file),
        _unpack_words(comments, file),
        Location(*extent, file),
    )


def _pack_heredoc(heredoc: Heredoc) -> _Heredoc:
    name, descriptor, is_expanded, is_chomped, content, as_written, location = heredoc
    return name, descriptor, is_expanded, is_chomped, content, as_written, location[:4]


def _unpack_heredoc(plain: _Heredoc, file: str) -> Heredoc:
    name, descriptor, is_expanded, is_chomped, content, as_written, place = plain
    return Heredoc(name, descriptor, is_expanded, is_chomped, content, as_written, Location(*place, file))


def _pack_words(words: tuple[Word, ...]) -> tuple[_Word, ...]:
    return tuple((text, location[:4]) for text, location in words)


def _unpack_words(words: tuple[_Word, ...], file: str) -> tuple[Word, ...]:
    return tuple(Word(text, Location(*place, file)) for text, place in words)
