"""Golden syntax trees and syntax errors: a case is a directory under testdata/parse or parse-errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.frontend.dockerfile.parser import parse
from builder.frontend.dockerfile.syntax_error import DockerfileSyntaxError
from builder.frontend.dockerfile.syntax_json import to_json

TESTDATA = Path(__file__).parents[2] / "testdata"

Golden = Callable[[Path, str], None]


def cases(family: str) -> list[Path]:
    found = sorted(path for path in (TESTDATA / family).iterdir() if path.is_dir())
    assert found, f"no cases in {family}"
    return found


@pytest.mark.parametrize("case", cases("parse"), ids=lambda path: path.name)
def test_syntax_tree(case: Path, golden: Golden) -> None:
    """A Dockerfile has the instructions, words and heredocs that Docker's parser finds in it."""
    commands = to_json(parse((case / "Dockerfile").read_bytes()))
    golden(case / "expected.json", json.dumps(commands, indent=1, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("case", cases("parse-errors"), ids=lambda path: path.name)
def test_syntax_error(case: Path, golden: Golden) -> None:
    """What Docker's parser refuses is refused, with the place, the reason and a hint."""
    with pytest.raises(DockerfileSyntaxError) as caught:
        parse((case / "Dockerfile").read_bytes())
    error = caught.value
    assert error.location is not None
    start_line, start_column, end_line, end_column, file = error.location
    place = f"{file}:{start_line}:{start_column}-{end_line}:{end_column}"
    golden(case / "error.txt", f"{place}\nerror[{error.code}]: {error.message}\nhint: {error.hint}\n")
