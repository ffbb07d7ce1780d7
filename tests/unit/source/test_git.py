from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.core.errors import Cancelled
from builder.core.gitref import parse_git
from builder.core.job import Job, Session
from builder.source.git import GitRepositories
from builder.source.interface import GitFailed, GitNotInstalled, GitRefNotFound, SourceChanged
from tests.support.repositories import Repository, git
from tests.support.web import WebServer

_JOB = Job("test")


class Place(NamedTuple):
    server: WebServer
    root: Path  # of repositories
    scratch: Path
    noted: list[tuple[str, str]]

    def source(self, path: str = os.environ["PATH"]) -> GitRepositories:
        return GitRepositories(
            self.scratch, lambda ref, commit: self.noted.append((ref, commit)), path=path, proxies={}
        )

    def checkout(self, text: str, job: Job = _JOB) -> Path:
        reference = parse_git(text)
        source = self.source()
        return source.checkout(reference, source.pin(reference, job), job)


@pytest.fixture(params=["smart", "plain"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Repositories behind git's own program, and behind a server of plain files."""
    root, scratch = tmp_path / "repositories", tmp_path / "scratch"
    scratch.mkdir()
    root.mkdir()
    with WebServer.open() as server:
        if request.param == "smart":
            server.backend = root
        else:
            server.root = root
        yield Place(server, root, scratch, [])


def files(tree: Path) -> dict[str, str]:
    """Path → mode, or where a link leads to."""
    found = {}
    for directory, names, leaves in os.walk(tree):
        for name in (*names, *leaves):
            path = Path(directory, name)
            st = path.lstat()
            if stat.S_ISLNK(st.st_mode):
                found[str(path.relative_to(tree))] = f"-> {os.readlink(path)}"
            elif not stat.S_ISDIR(st.st_mode):
                found[str(path.relative_to(tree))] = oct(stat.S_IMODE(st.st_mode))
    return found


def test_refs(place: Place) -> None:
    """Branches, tags, full names and commits lead where git's own checkout would go, branches first."""
    repository = Repository(place.root, "r")
    first = repository.commit({"f": "1"})
    note = repository.tag("v1", is_annotated=True)
    repository.tag("both", is_annotated=False)
    second = repository.commit({"f": "2"}, branch="both")
    url = place.server.url("/r.git")
    source = place.source()
    pins = {
        ref: source.pin(parse_git(f"{url}{ref}"), _JOB)
        for ref in ("", "#main", "#v1", "#both", "#refs/tags/both", "?tag=both", f"#{second}", "#heads/main")
    }

    assert pins == {
        "": first, "#main": first, "#v1": first, "#both": second, "#refs/tags/both": first,
        "?tag=both": first, f"#{second}": second, "#heads/main": first,
    }  # fmt: skip
    assert source.pin(parse_git(f"{url}?tag=v1&keep-git-dir=1"), _JOB) == note
    assert (f"{url}#v1", first) in place.noted


def test_asked_once(place: Place) -> None:
    """A ref means the same all through a build; a commit id asks nobody."""
    repository = Repository(place.root, "r")
    commit = repository.commit({"f": "1"})
    source = place.source()
    url = place.server.url("/r.git")
    source.pin(parse_git(f"{url}#main"), _JOB)
    asked = len(place.server.asked)
    source.pin(parse_git(f"{url}#main:d"), _JOB)
    source.pin(parse_git(f"{url}#{commit}"), _JOB)

    assert len(place.server.asked) == asked


def test_checkout(place: Place) -> None:
    """Files have 0644 or 0755, links stay as they are, and nothing of git's own is left."""
    Repository(place.root, "r").commit({"a": "x", "d/run": "#!x", "link": "-> /etc/passwd"})

    tree = place.checkout(place.server.url("/r.git"))
    assert files(tree) == {"a": "0o644", "d/run": "0o755", "link": "-> /etc/passwd"}


def test_old_commit(place: Place) -> None:
    """A commit that no branch ends in is found too."""
    repository = Repository(place.root, "r")
    first = repository.commit({"f": "1"})
    repository.commit({"f": "2"})

    assert (place.checkout(f"{place.server.url('/r.git')}#{first}") / "f").read_text() == "1"


def test_kept_git_dir(place: Place) -> None:
    """The kept directory .git tells the remote without its login, and nothing of this machine."""
    repository = Repository(place.root, "r")
    commit = repository.commit({"f": "1"})
    url = place.server.url("/r.git").replace("://", "://user:canary@")
    tree = place.checkout(f"{url}?keep-git-dir=true")

    assert git(tree, "rev-parse", "HEAD") == commit
    assert git(tree, "status", "--porcelain") == ""
    assert git(tree, "config", "remote.origin.url") == place.server.url("/r.git")
    held = b"".join(p.read_bytes() for p in (tree / ".git").rglob("*") if p.is_file())
    assert b"canary" not in held
    assert str(tree).encode() not in held
    assert place.server.asked[0].headers["Authorization"] == "Basic dXNlcjpjYW5hcnk="


def test_subdirectory(place: Place) -> None:
    """A directory of the commit alone; links on the way are followed inside the checkout only."""
    Repository(place.root, "r").commit(
        {"a/b/f": "x", "in": "-> a/b", "out": "-> /etc", "up": "-> ../../..", "self": "-> self", "top": "x"}
    )
    url = place.server.url("/r.git")

    assert files(place.checkout(f"{url}#:a")) == {"b/f": "0o644"}
    assert files(place.checkout(f"{url}#:in")) == {"f": "0o644"}
    assert "top" in files(place.checkout(f"{url}#:up"))
    for wrong in ("out", "top", "nowhere", "up/etc"):
        with pytest.raises(GitRefNotFound, match="no directory"):
            place.checkout(f"{url}#:{wrong}")


def test_submodules(place: Place) -> None:
    """Submodules come along, relative and nested ones too, unless they are not wanted."""
    inner, middle, outer = (Repository(place.root, name) for name in ("inner", "middle", "outer"))
    deep = inner.commit({"i": "x"})
    middle.commit({"m": "x"})
    inside = middle.add_submodule("inner", "../inner.git", deep)
    outer.commit({"o": "x"})
    outer.add_submodule("middle", place.server.url("/middle.git"), inside)
    url = place.server.url("/outer.git")

    assert set(files(place.checkout(url))) == {
        ".gitmodules",
        "o",
        "middle/.gitmodules",
        "middle/m",
        "middle/inner/i",
    }
    assert set(files(place.checkout(f"{url}?submodules=false"))) == {".gitmodules", "o"}


@pytest.mark.parametrize("scheme", ["file://", "", "ext::sh -c touch% "])
def test_submodule_of_this_machine(place: Place, tmp_path: Path, scheme: str) -> None:
    """A submodule cannot be a repository, or a program, of this machine."""
    secret = Repository(tmp_path / "private", "secret")
    commit = secret.commit({"key": "x"})
    outer = Repository(place.root, "outer")
    outer.commit({"o": "x"})
    target = tmp_path / "touched" if scheme.startswith("ext") else secret.bare
    outer.add_submodule("s", f"{scheme}{target}", commit)

    with pytest.raises(GitFailed):
        place.checkout(place.server.url("/outer.git"))
    assert not (tmp_path / "touched").exists()


def test_commit_times(place: Place) -> None:
    """mtime=commit gives every file the commit's time."""
    Repository(place.root, "r").commit({"d/f": "x", "l": "-> d"})
    tree = place.checkout(place.server.url("/r.git?mtime=commit"))

    assert {os.lstat(tree / name).st_mtime for name in ("d", "d/f", "l", ".")} == {1600000000.0}


def test_missing(place: Place) -> None:
    """Refs, commits and repositories that are not there are said to be so."""
    Repository(place.root, "r").commit({"f": "x"})
    url = place.server.url("/r.git")
    with pytest.raises(GitRefNotFound, match='has no "nowhere"'):
        place.checkout(f"{url}#nowhere")
    with pytest.raises(GitFailed, match="0123456789"):
        place.checkout(f"{url}#{'0123456789' * 4}")
    with pytest.raises(GitFailed, match=r"other\.git"):
        place.checkout(place.server.url("/other.git"))


def test_checksum(place: Place) -> None:
    """A ref must lead to the commit that was named with it, or to one that begins so."""
    repository = Repository(place.root, "r")
    first = repository.commit({"f": "1"})
    url = place.server.url("/r.git")

    assert place.source().pin(parse_git(f"{url}?ref=main&commit={first[:7]}"), _JOB) == first
    repository.commit({"f": "2"})
    with pytest.raises(SourceChanged, match=first[:7]):
        place.source().pin(parse_git(f"{url}?ref=main&commit={first[:7]}"), _JOB)


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("GIT_AUTH_TOKEN", b"canary\n", "Basic eC1hY2Nlc3MtdG9rZW46Y2FuYXJ5"),
        ("GIT_AUTH_HEADER.127.0.0.1", b"Bearer canary", "Bearer canary"),
    ],
)
def test_secrets(place: Place, name: str, value: bytes, sent: str) -> None:
    """A secret goes to the remote as a header."""
    Repository(place.root, "r").commit({"f": "x"})
    place.checkout(place.server.url("/r.git"), Job("test", Session(secrets={name: lambda: value})))

    assert {each.headers["Authorization"] for each in place.server.asked} == {sent}


def test_no_git(place: Place) -> None:
    """Without git the error says what to install."""
    with pytest.raises(GitNotInstalled):
        place.source(path="/nowhere").pin(parse_git(place.server.url("/r.git")), _JOB)


def test_cancelled(place: Place) -> None:
    """A job that is cancelled starts no git."""
    job = Job("test")
    job.cancel.cancel()

    with pytest.raises(Cancelled):
        place.source().pin(parse_git(place.server.url("/r.git")), job)


def test_users_configuration_is_not_read(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks, filters and redirected addresses of the user's configuration have no effect."""
    home = tmp_path / "home"
    home.mkdir()
    hook = home / "hooks/post-checkout"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    (home / ".gitconfig").write_text(
        f'[core]\n\thooksPath = {hook.parent}\n[filter "x"]\n\tsmudge = touch {tmp_path}/filtered\n'
        f'[url "file:///"]\n\tinsteadOf = http://\n'
    )
    monkeypatch.setenv("HOME", str(home))
    Repository(place.root, "r").commit({"f": "x", ".gitattributes": "f filter=x\n"})
    place.checkout(place.server.url("/r.git"))

    assert not (tmp_path / "hooked").exists()
    assert not (tmp_path / "filtered").exists()


def test_ssh(tmp_path: Path) -> None:
    """ssh gets the build's agent and no file of the user; it is asked for ssh addresses only."""
    repository = Repository(tmp_path / "repositories", "r")
    commit = repository.commit({"f": "x"})
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$SSH_AUTH_SOCK $*" >> {tmp_path}/said\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    program.chmod(0o755)
    source = GitRepositories(
        tmp_path,
        lambda ref, commit: None,
        path=f"{program.parent}:{os.environ['PATH']}",
        proxies={},
        agent=lambda job, directory: contextlib.nullcontext(Path("/agent")),
    )
    reference = parse_git(f"ssh://git@localhost{repository.bare}#main")
    tree = source.checkout(reference, source.pin(reference, _JOB), _JOB)
    said = (tmp_path / "said").read_text().splitlines()

    assert git(repository.work, "rev-parse", "HEAD") == commit
    assert files(tree) == {"f": "0o644"}
    assert said[0].startswith("/agent -F none -o IdentityFile=none -o BatchMode=yes")
    assert all(line.startswith("/agent ") for line in said)
