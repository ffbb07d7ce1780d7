"""Every project of testdata that a bootstrapped base image is enough for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import BUG, Pybuild
from tests.support.processes import assert_intact
from tests.support.projects import Project, all_projects

pytestmark = pytest.mark.e2e

# Docker takes an unknown --chown name for root, and refuses USER by name where there is no group file; here
# it is the other way round.
_DIFFERENT = {"copy-chown-unknown-name", "fail-user-without-group-file"}
_HERE = [
    p
    for p in all_projects()
    if not p.installs and p.bases <= {"busybox", "scratch"} and p.name not in _DIFFERENT
]
_GOOD = [p for p in _HERE if not p.fails]
_BAD = [p for p in _HERE if p.fails]


def _name(project: Project) -> str:
    return project.name


def test_there_are_projects() -> None:
    """The selection is not empty by mistake."""
    assert len(_GOOD) >= 100
    assert len(_BAD) >= 60


@pytest.mark.parametrize("project", _GOOD, ids=_name)
def test_project_builds_and_is_cached(project: Project, pybuild: Pybuild, tmp_path: Path) -> None:
    """It builds; the second time every step is cached and the image is the same."""
    context = project.copy(tmp_path)
    first = pybuild.build(context, *project.options)
    second = pybuild.build(context, *project.options)

    assert second.image == first.image
    assert set(second.steps.values()) <= {"CACHED"}
    assert BUG not in first.err
    assert_intact(pybuild.root)


@pytest.mark.parametrize("project", _BAD, ids=_name)
def test_failing_project_fails_well(project: Project, pybuild: Pybuild, tmp_path: Path) -> None:
    """It fails with one error, and the store serves the next build."""
    context = project.copy(tmp_path)
    failed = pybuild.build(context, *project.options, code=1)

    assert failed.err.count("error[") == 1
    assert "Traceback" not in failed.err
    assert_intact(pybuild.root)
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo fine > /fine\n")
    (context / ".dockerignore").unlink(missing_ok=True)
    pybuild.build(context)
