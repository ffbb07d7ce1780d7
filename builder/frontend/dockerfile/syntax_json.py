"""The syntax tree in the shape that the ``dockerfile`` package gives Docker's own parser in Python."""

from __future__ import annotations

from typing import TypedDict

from builder.frontend.dockerfile.node import Node, SyntaxTree

KEYWORDS = frozenset((
    "add", "arg", "cmd", "copy", "entrypoint", "env", "expose", "from", "healthcheck", "label", "maintainer",
    "onbuild", "run", "shell", "stopsignal", "user", "volume", "workdir",
))  # fmt: skip
_PAIR_KEYWORDS = ("env", "label")


class HeredocJson(TypedDict):
    """A heredoc; ``content`` as written, tabs included."""

    name: str
    file_descriptor: int
    content: str


class CommandJson(TypedDict):
    """One instruction."""

    cmd: str | None
    sub_cmd: str | None
    json: bool
    original: str | None
    start_line: int
    end_line: int
    flags: list[str]
    value: list[str]
    heredocs: list[HeredocJson]


def to_json(tree: SyntaxTree) -> list[CommandJson]:
    """The instructions, ready for ``json.dump``.

    As that package has it: below ONBUILD are the words of the trigger and no heredocs, flags are
    those of the outer instruction, and an unknown instruction has one empty word.
    """
    return [_command(node) for node in tree.nodes]


def _command(node: Node) -> CommandJson:
    inner = node.trigger or node
    heredocs: list[HeredocJson] = []
    original = node.original
    if node.heredocs and node.trigger is None:
        bodies = "".join(f"{doc.content_as_written}{doc.name}\n" for doc in node.heredocs)
        original = f"{original}\n{bodies}"
        heredocs = [
            {
                "name": doc.name,
                "file_descriptor": _signed(doc.file_descriptor),
                "content": doc.content_as_written,
            }
            for doc in node.heredocs
        ]
    return {
        "cmd": node.keyword_as_written or None,
        "sub_cmd": node.trigger.keyword_as_written if node.trigger else None,
        "json": inner.is_json,
        "original": original or None,
        "start_line": node.location.start_line,
        "end_line": node.location.end_line,
        "flags": [_bytewise(flag.text) for flag in node.flags],
        "value": _value(inner),
        "heredocs": heredocs,
    }


def _value(node: Node) -> list[str]:
    if node.keyword not in KEYWORDS or (node.keyword == "onbuild" and node.trigger is not None):
        return [""]
    words = [word.text for word in node.words]
    if node.keyword in _PAIR_KEYWORDS:
        return [word for index, word in enumerate(words) if index % 3 != 2]
    return words


def _bytewise(text: str) -> str:
    # The Go parser takes each byte of a flag for a character.
    return text.encode().decode("latin-1")


def _signed(number: int) -> int:
    # 64 bits without a sign in Go, with one in C.
    return number - 2**64 if number >= 2**63 else number
