"""The commit of a checkout, read from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.engine.vcs import vcs_of
from tests.support.repositories import git

_COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_real_repository(tmp_path: Path) -> None:
    """Loose and packed references, other work trees, detached heads, folders below; no login is told."""
    root = write(tmp_path / "repo", {"app/Dockerfile": "FROM scratch\n"})
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    git(root, "remote", "add", "other", "https://other.example/x.git")
    git(root, "remote", "add", "origin", "https://me:pw@host.example/repo.git")
    commit = git(root, "rev-parse", "HEAD")
    expected = {
        "localdir:context": "app", "localdir:dockerfile": "app", "revision": commit,
        "source": "https://host.example/repo.git",
    }  # fmt: skip

    assert vcs_of(root / "app", root / "app/Dockerfile") == expected
    git(root, "pack-refs", "--all")
    assert vcs_of(root / "app", root / "app/Dockerfile") == expected
    git(root, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
    assert vcs_of(tmp_path / "tree", None) == {
        "localdir:context": ".", "revision": commit, "source": "https://host.example/repo.git",
    }  # fmt: skip
    git(root, "checkout", "-q", "--detach")
    assert vcs_of(root / "app", tmp_path / "Dockerfile") == {
        key: value for key, value in expected.items() if key != "localdir:dockerfile"
    }


@pytest.mark.parametrize(
    "files",
    [
        {},
        {".git/HEAD": "ref: refs/heads/none\n"},
        {".git/HEAD": "ref: ../../etc/passwd\n"},
        {".git/HEAD": "ref: refs/heads/../../secret\n", ".git/secret": _COMMIT},
        {".git/HEAD": "something else\n"},
        {".git": "gitdir: nowhere\n"},
        {".git": "\n"},
    ],
)
def test_nothing_to_tell(tmp_path: Path, files: dict[str, str]) -> None:
    """No repository, or one that is not in order, is no error."""
    assert vcs_of(write(tmp_path, files), None) == {}
