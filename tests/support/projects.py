"""The projects under testdata/projects."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

PROJECTS = Path(__file__).parents[2] / "testdata/projects"


class Project(NamedTuple):
    """One of them; ``bases`` are the images that it is made of, as far as its text names them."""

    name: str
    fails: bool
    installs: bool
    options: tuple[str, ...]
    bases: frozenset[str]

    def copy(self, directory: Path) -> Path:
        """A context to build, with what a checkout cannot keep."""
        target = directory / self.name
        shutil.copytree(PROJECTS / self.name, target, symlinks=True)
        if (target / "setup.sh").exists():
            subprocess.run(["sh", "setup.sh"], cwd=target, check=True, capture_output=True)
        return target


def all_projects() -> list[Project]:
    return [_read(path) for path in sorted(PROJECTS.iterdir()) if (path / "project.toml").exists()]


def _read(path: Path) -> Project:
    values = tomllib.loads((path / "project.toml").read_text(encoding="utf-8"))
    dockerfiles = [file for file in path.iterdir() if "ockerfile" in file.name and file.is_file()]
    words = " ".join(file.read_text(encoding="utf-8", errors="replace") for file in dockerfiles)
    bases = re.findall(r"\b(busybox|debian(?:-\w+)?:bookworm|scratch|no-such-image[\w:-]*)", words)
    return Project(
        path.name, values["fails"], values["installs"], tuple(values.get("options", ())), frozenset(bases)
    )
