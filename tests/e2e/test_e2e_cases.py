"""Every case of testdata/cases that a bootstrapped base image is enough for: it builds, or fails well."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.cli import BUG, Pybuild

pytestmark = pytest.mark.e2e

_CASES = Path(__file__).parents[2] / "testdata/cases"
_NEEDS_USERS = {"link-off"}  # a bootstrapped base has none but root
_BASE = re.compile(r"\b(?:debian(?:-\w+)?:bookworm)\b")


class Case(NamedTuple):
    name: str
    fails: bool
    options: tuple[str, ...]

    def copy(self, directory: Path) -> Path:
        target = directory / self.name
        shutil.copytree(_CASES / self.name, target, symlinks=True)
        if (target / "setup.sh").exists():
            subprocess.run(["sh", "setup.sh"], cwd=target, check=True, capture_output=True)
        return target


def _cases() -> list[Case]:
    found = []
    for file in sorted(_CASES.glob("*/case.toml")):
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        text = (file.parent / "Dockerfile").read_text(encoding="utf-8", errors="replace")
        if not _BASE.search(text) and file.parent.name not in _NEEDS_USERS:
            found.append(Case(file.parent.name, values.get("fails", False), tuple(values.get("options", ()))))
    return found


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.name)
def test_case(case: Case, pybuild: Pybuild, tmp_path: Path) -> None:
    """It builds, and the second time every step is cached; or it fails, and every error is counted."""
    place = case.copy(tmp_path)
    first = pybuild.build(Path("."), *case.options, cwd=place, code=1 if case.fails else 0)

    assert BUG not in first.err
    if case.fails:
        count = first.err.count("error[")

        # A Dockerfile may have several; their number is the last line then.
        assert count == 1 or first.err.endswith(f"\n{count} errors\n")
        return
    second = pybuild.build(Path("."), *case.options, cwd=place)
    assert second.image == first.image
    assert set(second.steps.values()) <= {"CACHED"}
