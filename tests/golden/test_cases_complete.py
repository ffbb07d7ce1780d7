"""The cases and the projects together show every instruction, every flag and every key of a mount."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.frontend.dockerfile.flags import FLAGS
from builder.frontend.dockerfile.meaning import READERS
from builder.frontend.dockerfile.mount_flags import ALIASES, MOUNT_TYPES
from builder.frontend.dockerfile.node import Node
from builder.frontend.dockerfile.parser import parse
from builder.frontend.dockerfile.syntax_error import DockerfileSyntaxError

_TESTDATA = Path(__file__).parents[2] / "testdata"


def _nodes() -> Iterator[Node]:
    for file in (*_TESTDATA.glob("cases/*/Dockerfile"), *_TESTDATA.glob("projects/*/Dockerfile")):
        try:
            nodes = parse(file.read_bytes()).nodes
        except DockerfileSyntaxError:
            continue  # a case of a file that cannot be read
        for node in nodes:
            yield node
            if node.trigger is not None:
                yield node.trigger


@pytest.fixture(scope="module")
def nodes() -> list[Node]:
    return list(_nodes())


def test_every_instruction_occurs(nodes: list[Node]) -> None:
    assert set(READERS) - {node.keyword for node in nodes} == set()


def test_every_flag_occurs(nodes: list[Node]) -> None:
    written = {
        (node.keyword, flag.text.removeprefix("--").partition("=")[0])
        for node in nodes
        for flag in node.flags
    }
    assert {(keyword, flag) for keyword, flags in FLAGS.items() for flag in flags} - written == set()


def test_every_key_of_every_mount_occurs(nodes: list[Node]) -> None:
    written, spellings = set(), set()
    for text in (flag.text for node in nodes if node.keyword == "run" for flag in node.flags):
        if not text.startswith("--mount="):
            continue
        fields = [field.partition("=") for field in text.removeprefix("--mount=").split(",")]
        kind = next((value.lower() for key, _, value in fields if key.lower() == "type"), "bind")
        spellings |= {key.lower() for key, _, _ in fields}
        written |= {(kind, ALIASES.get(key.lower(), key.lower())) for key, _, _ in fields}

    known = {(kind, key) for kind, (keys, _) in MOUNT_TYPES.items() for key in keys}
    assert known - written == set()
    assert set(ALIASES) - spellings == set()
