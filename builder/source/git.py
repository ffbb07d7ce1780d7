"""Commits of Git repositories: what a ref leads to, and the files of a commit."""

from __future__ import annotations

import base64
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

from builder.core.gitref import GitReference
from builder.core.job import Job
from builder.fs.tree import DirectoryTree, resolve
from builder.source.gitcli import PROTOCOLS, GitProgram
from builder.source.interface import (
    GitFailed,
    GitNotInstalled,
    GitRefNotFound,
    Locked,
    SourceChanged,
    nothing_locked,
)
from builder.source.secrets import secret_line

_PEELED = "^{}"  # what ls-remote appends to a tag object's name, for the commit that it means


Agent = Callable[[Job, Path], AbstractContextManager[Path | None]]


def _no_agent(job: Job, directory: Path) -> AbstractContextManager[Path | None]:
    return contextlib.nullcontext()


class GitRepositories:
    """See GitSource. ``note(reference, commit)`` is told what was found."""

    def __init__(
        self,
        scratch: Path,
        note: Callable[[str, str], object],
        *,
        path: str,
        proxies: Mapping[str, str],
        ca_bundle: str = "",
        agent: Agent = _no_agent,
        locked: Locked = nothing_locked,
    ) -> None:
        """``agent`` serves the socket of the build's SSH agent, if it has one, in a directory."""
        self._scratch = scratch
        self._note = note
        self._path = path
        self._proxies = proxies
        self._ca_bundle = ca_bundle
        self._agent = agent
        self._locked = locked
        self._lock = threading.Lock()
        self._pins: dict[GitReference, tuple[str, str]] = {}  # → object, the full name of the ref

    def pin(self, reference: GitReference, job: Job) -> str:
        """See GitSource."""
        pinned = reference.pinned
        if pinned:
            self._note(reference.shown, pinned)
            return pinned
        locked = self._locked(reference.shown)
        if locked is not None and locked.startswith(reference.commit):
            self._note(reference.shown, locked)
            return locked
        asked = reference._replace(subdirectory="", has_submodules=True, has_commit_times=False)
        with self._lock:
            known = self._pins.get(asked)
        if known is None:
            known = self._ask(reference, job)
            with self._lock:
                self._pins[asked] = known
        self._note(reference.shown, known[0])
        return known[0]

    def checkout(self, reference: GitReference, commit: str, job: Job) -> Path:
        """See GitSource."""
        home = self._home()
        tree = home / "tree"
        tree.mkdir(mode=0o755)
        with self._program(reference, home, job) as git, _named(reference):
            git.run("init", "--quiet", directory=tree)
            git.run("remote", "add", "origin", reference.remote, directory=tree)
            self._fetch(git, reference, commit, tree)
            git.run("checkout", "--quiet", "--detach", commit, directory=tree)
            if reference.has_submodules and (tree / ".gitmodules").is_file():
                _add_submodules(git, tree)
            committed_at = git.run("show", "-s", "--format=%ct", "HEAD", directory=tree)
        if reference.keeps_git_dir and not reference.subdirectory:
            (tree / ".git/FETCH_HEAD").unlink(missing_ok=True)
        else:
            _drop_git_directories(str(tree))
        if reference.has_commit_times:
            _set_times(tree, int(committed_at.split()[-1]))
        return tree if not reference.subdirectory else _subdirectory(tree, reference)

    def _home(self) -> Path:
        home = self._scratch / f"git-{os.urandom(8).hex()}"
        home.mkdir(mode=0o700)
        return home

    @contextlib.contextmanager
    def _program(
        self, reference: GitReference, home: Path, job: Job, protocols: str = PROTOCOLS
    ) -> Iterator[GitProgram]:
        is_ssh = not reference.remote.lower().startswith(("http:", "https:", "git:"))
        with self._agent(job, home) if is_ssh else contextlib.nullcontext() as agent:
            yield GitProgram(
                home,
                path=self._path,
                proxies=self._proxies,
                ca_bundle=self._ca_bundle,
                headers=_headers(reference, job),
                ssh_agent=None if agent is None else str(agent),
                cancel=job.cancel,
                protocols=protocols,
            )

    # -- refs -----------------------------------------------------------------------------------------------

    def _ask(self, reference: GitReference, job: Job) -> tuple[str, str]:
        ref = reference.ref or "HEAD"
        home = self._home()
        # Who answers decides which commit it is: an https server must not send us to one without TLS.
        protocols = "https" if reference.remote.lower().startswith("https:") else PROTOCOLS
        patterns = (ref, f"{ref}{_PEELED}") if ref != "HEAD" else (ref,)
        with self._program(reference, home, job, protocols) as git, _named(reference):
            answer = git.run("ls-remote", "--quiet", "--", reference.remote, *patterns, directory=home)
        listed: dict[str, str] = {}
        for line in answer.splitlines():
            commit, _, name = line.partition("\t")
            listed[name] = commit
        found = next((name for name in _candidates(ref) if name in listed), None)
        if found is None:
            raise GitRefNotFound(
                f'the repository "{reference.remote}" has no "{ref}"',
                hint="name a branch, a tag or a whole commit id after #",
            )
        commit = listed.get(found + _PEELED, listed[found])
        if reference.commit and not commit.startswith(reference.commit):
            raise SourceChanged(
                f'"{reference.shown}" should be commit {reference.commit} and is {commit}',
                hint="the branch or tag was moved; look at what changed before you take the new id",
            )
        return (listed[found] if reference.keeps_git_dir else commit), found

    def _fetch(self, git: GitProgram, reference: GitReference, commit: str, tree: Path) -> None:
        with self._lock:
            asked = reference._replace(subdirectory="", has_submodules=True, has_commit_times=False)
            name = self._pins.get(asked, ("", ""))[1]
        kept = f"+{commit}:{name}" if name.startswith("refs/tags/") else commit
        # An old server gives no commit by its id, one without a program knows no depth: then take all.
        with contextlib.suppress(GitFailed):
            git.run("fetch", "--quiet", "--depth=1", "--no-tags", "origin", kept, directory=tree)
            return
        everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        git.run("fetch", "--quiet", "--no-tags", "origin", *everything, directory=tree)
        try:
            git.run("cat-file", "-e", f"{commit}^{{commit}}", directory=tree)
        except GitFailed as error:
            raise GitRefNotFound(
                f'the repository "{reference.remote}" has no commit {commit}',
                hint="it may be on no branch, or the branch was rewritten meanwhile",
            ) from error


def _candidates(ref: str) -> list[str]:
    """The full names that a ref may have; git's own checkout prefers branches as well."""
    if ref == "HEAD" or ref.startswith("refs/"):
        return [ref]
    return [f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/{ref}"]


def _headers(reference: GitReference, job: Job) -> Mapping[str, str]:
    """Authorization for the remote's own host, from the address or from secrets."""
    try:
        parts = urlsplit(reference.remote)
    except ValueError:
        return {}
    if parts.scheme.lower() not in ("http", "https"):
        return {}
    origin = f"{parts.scheme}://{parts.netloc}/"
    if reference.login:
        return {origin: f"Basic {_base64(reference.login)}"}
    for suffix in (f".{parts.netloc}", f".{parts.hostname}", ""):
        header = secret_line(job, f"GIT_AUTH_HEADER{suffix}")
        if header is not None:
            return {origin: header}
        token = secret_line(job, f"GIT_AUTH_TOKEN{suffix}")
        if token is not None:
            return {origin: f"Basic {_base64(f'x-access-token:{token}')}"}
    return {}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")


# -- trees --------------------------------------------------------------------------------------------------


def _add_submodules(git: GitProgram, tree: Path) -> None:
    # --checkout: whatever the repository's own file says should be done instead.
    arguments = ("submodule", "--quiet", "update", "--init", "--recursive", "--checkout")
    try:
        git.run(*arguments, "--depth=1", directory=tree)
    except GitFailed:  # the same servers as above
        git.run(*arguments, directory=tree)


def _subdirectory(tree: Path, reference: GitReference) -> Path:
    """Links on the way are followed, inside the checkout only."""
    inside = DirectoryTree(str(tree))
    entry = inside.lookup(resolve(inside, reference.subdirectory))
    if entry is None or entry.kind != "dir":
        raise GitRefNotFound(
            f'the repository "{reference.remote}" has no directory "{reference.subdirectory}"',
            hint="the part after the colon names a directory of that commit",
        )
    return Path(entry.real)


def _drop_git_directories(tree: str) -> None:
    """Of submodules too; no file of a repository can be called so."""
    import shutil

    for directory, names, files in os.walk(tree):
        if ".git" in names:
            names.remove(".git")
            shutil.rmtree(f"{directory}/.git")
        if ".git" in files:
            os.unlink(f"{directory}/.git")


def _set_times(tree: Path, seconds: int) -> None:
    for directory, names, files in os.walk(tree, topdown=False):
        for name in (*names, *files):
            os.utime(f"{directory}/{name}", (seconds, seconds), follow_symlinks=False)
    os.utime(tree, (seconds, seconds))


@contextlib.contextmanager
def _named(reference: GitReference) -> Iterator[None]:
    """Tells which repository git's complaint is about."""
    try:
        yield
    except GitFailed as error:
        if reference.remote in error.message or isinstance(error, GitNotInstalled):
            raise
        hint = error.hint or "look at the address, and at what login it needs"
        raise type(error)(f'"{reference.remote}": {error.message}', hint=hint) from error
