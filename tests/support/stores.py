"""Fixtures for tests that drive the command; ``tests/{e2e,stress,conformance}/conftest.py`` import them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pybuild, is_root, write_project
from tests.support.processes import assert_nothing_left, become_subreaper, children, kill_children

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def base_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with `busybox`, made once; tests get copies."""
    if not is_root():
        pytest.fail("these tests make sandboxes: run them as root")
    become_subreaper()
    directory = tmp_path_factory.mktemp("base")
    Pybuild(directory / "store", directory / "home")("bootstrap")
    return directory / "store"


@pytest.fixture
def known(base_store: Path) -> set[int]:
    """The children that this process had before the test."""
    return set(children())


@pytest.fixture
def pybuild(base_store: Path, tmp_path: Path, known: set[int]) -> Iterator[Pybuild]:
    """The command on a store of its own; after the test nothing of it may be left."""
    root = copy_store(base_store, tmp_path / "store")
    command = Pybuild(root, tmp_path / "home")
    try:
        yield command
        assert_nothing_left(command.root, known)
    finally:
        kill_children(known)
        # Contexts and stores are large in sum, and pytest keeps the directories of three runs.
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(dockerfile, {name: content})`` makes a build context, or adds to it."""

    def write_into(
        dockerfile: str, files: dict[str, str | bytes] | None = None, name: str = "project"
    ) -> Path:
        return write_project(tmp_path / name, dockerfile, files or {})

    return write_into


def copy_store(source: Path, target: Path) -> Path:
    """A store is its files: a copy works as the original."""
    shutil.copytree(source, target, symlinks=True)
    return target
