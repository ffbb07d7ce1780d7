"""Errors as people see them: ``testdata/render/<case>/error.toml`` and the file it is about."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from render_cases import CASES

from builder.cli.render.diagnostics import render_error, render_step_failure, render_warning
from builder.core.errors import PybuildError
from builder.core.events import Warned
from builder.core.location import Location

REPORTS = sorted(CASES.glob("*/error.toml"))


@pytest.mark.parametrize("color", [False, True], ids=["plain", "color"])
@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.parent.name)
def test_error_report(path: Path, *, color: bool, golden: Callable[[Path, str], None]) -> None:
    """The report of error.toml is what error.txt says, and error-color.txt in colour; ESC is written as ␛."""
    case = tomllib.loads(path.read_text(encoding="utf-8"))
    location = Location(*case["location"]) if "location" in case else None
    error = PybuildError(case["message"], hint=case.get("hint"), location=location)
    error.code = case["code"]
    for note in case.get("notes", ()):
        error.add_note(note)
    dockerfile = path.parent / "Dockerfile"
    source = dockerfile.read_bytes() if dockerfile.exists() else None

    if "tail" in case:
        report = render_step_failure(case["name"], case["tail"], error, source, color=color)
    else:
        report = render_error(error, source, color=color)

    golden(path.parent / ("error-color.txt" if color else "error.txt"), report.replace("\x1b", "␛"))


def test_failure_without_output_is_the_error_alone() -> None:
    """A step that printed nothing has no block of output in its report."""
    error = PybuildError("failed")

    report = render_step_failure("RUN x", [], error, None, color=False)

    assert report == "error[error]: failed\n"


def test_warning_report() -> None:
    """A warning looks like an error without a code."""
    warning = Warned("word is odd", "use another", Location(1, 5, 1, 8))

    report = render_warning(warning, b"RUN odd\n", color=False)

    assert report == (
        "warning: word is odd\n  --> Dockerfile:1:5\n 1 | RUN odd\n   |     ^^^\nhint: use another\n"
    )


@given(
    message=st.text(),
    hint=st.none() | st.text(),
    source=st.none() | st.binary(max_size=300) | st.text().map(lambda text: text.encode("utf-8", "replace")),
    numbers=st.tuples(*[st.integers(0, 400)] * 4),
)
def test_any_report_is_harmless_and_aligned(
    message: str, hint: str | None, source: bytes | None, numbers: tuple[int, int, int, int]
) -> None:
    """Whatever error, place and file: no control character, and a mark within the clip."""
    error = PybuildError(message, hint=hint, location=Location(*numbers))

    *lines, rest = render_error(error, source, color=False).split("\n")

    assert rest == ""
    assert not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in "".join(lines)
    )
    marks = [line.partition(" | ")[2] for line in lines if line.strip(" ^") == "|"]
    assert all("^" in mark and len(mark) <= 102 for mark in marks)
