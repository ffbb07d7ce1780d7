"""`pybuild lock`, and builds with a lock file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Pybuild, write_project
from tests.support.registry import FakeRegistry
from tests.support.repositories import Repository
from tests.support.web import Reply, WebServer

pytestmark = pytest.mark.e2e


def test_lock(pybuild: Pybuild, tmp_path: Path) -> None:
    """What is locked stays what it was, until it is updated; --check tells, --locked insists."""
    with FakeRegistry() as registry, WebServer.open() as server:
        server.backend = tmp_path / "repositories"
        repository = Repository(server.backend, "r")
        commit = repository.commit({"f": "one"})
        first = registry.push_image("base", "1", [], {"author": "one"})
        server.answers["/f"] = Reply(200, b"one")
        base, url, git = f"{registry.host}/base:1", server.url("/f"), server.url("/r.git#main")
        project = write_project(tmp_path / "p", f"FROM {base}\nADD {url} /f\nADD {git} /g\n")
        lock = project / "Dockerfile.lock"

        assert "error[lock-drift]" in pybuild.build(project, "--locked", code=1).err
        assert "missing" in pybuild("lock", "--check", project, code=1).out
        assert not lock.exists()
        pybuild("lock", project)
        document = json.loads(lock.read_bytes())
        assert document["images"] == {base: str(first)}
        assert list(document["urls"]) == [url]
        assert document["git"] == {git: commit}

        registry.push_image("base", "1", [], {"author": "two"})
        repository.commit({"f": "two"})
        asked = len(registry.log)
        built = pybuild.build(project, "--locked", "--pull", "-t", "x")
        assert "[internal] use Dockerfile.lock" in built.err
        assert len(registry.log) == asked
        assert pybuild.inspect("x")["Author"] == "one"
        changed = pybuild("lock", "--check", project, code=1).out
        assert (changed.count("changed"), changed.count("missing")) == (2, 0)

        pybuild("lock", "--update", base, project)
        updated = json.loads(lock.read_bytes())
        assert updated["images"] != document["images"]
        assert (updated["urls"], updated["git"]) == (document["urls"], document["git"])
        assert "error[not-in-lock]" in pybuild("lock", "--update", "nosuch", project, code=1).err
        lock.write_text("{\n<<<")
        assert "line 2" in pybuild.build(project, code=1).err
