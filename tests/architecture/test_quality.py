"""The linters are tests: pytest alone tells the truth."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "words",
    [
        ["ruff", "check", "builder", "tests"],
        ["ruff", "format", "--check", "builder", "tests"],
        ["mypy", "builder"],
    ],
    ids=["lint", "format", "types"],
)
def test_quality(words: list[str]) -> None:
    """Product and tests are clean."""
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
