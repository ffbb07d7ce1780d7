"""References to Git repositories, as Dockerfiles and command lines write them.

https://host/path.git   git://host/path   ssh://user@host/path   user@host:path
…#REF:SUBDIRECTORY      …?ref=&tag=&branch=&commit=&subdir=&keep-git-dir=&submodules=&mtime=
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.core.weburl import shown, without_login

_SCP = re.compile(r"([\w.-]+)@([\w.-]+):(?!//)([^#?]*)")
_SCHEME = re.compile(r"(https?|git|ssh)://", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{7,64}")
# What git-check-ref-format(1) forbids; the first character is checked apart.
_NOT_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|\Z)")
_TRUE, _FALSE = ("", "1", "t", "true"), ("0", "f", "false")
_PARAMETERS = (
    "ref", "tag", "branch", "commit", "checksum", "subdir", "keep-git-dir", "submodules", "mtime",
)  # fmt: skip


class InvalidGitReference(PybuildError):
    """Text that is meant as a Git repository, and cannot be one."""

    kind = Kind.INVALID
    code = "invalid-git-reference"

    def __init__(self, text: str, why: str, *, hint: str | None = None) -> None:
        super().__init__(
            f'"{shown(text)}" {why}', hint=hint or "write it as https://host/path.git#branch:directory"
        )


class GitReference(NamedTuple):
    """``remote`` holds no login; ``ref`` "" is what the remote's HEAD leads to."""

    remote: str
    ref: str = ""
    subdirectory: str = ""  # clean and relative; "" is all
    commit: str = ""  # a commit id, or the beginning of one, that the ref must lead to
    keeps_git_dir: bool = False
    has_submodules: bool = True
    has_commit_times: bool = False  # files get the commit's time, not that of the checkout
    login: str = ""  # name:password, out of the address

    @property
    def shown(self) -> str:
        """For people and records."""
        fragment = self.ref + (f":{self.subdirectory}" if self.subdirectory else "")
        return f"{self.remote}#{fragment}" if fragment else self.remote

    @property
    def pinned(self) -> str:
        """The full commit id, where the reference itself says it; "" where the remote must be asked."""
        if is_commit(self.ref):
            return self.ref
        return self.commit if is_commit(self.commit) and not self.ref else ""


def is_commit(text: str) -> bool:
    """Whether this is a whole commit id."""
    return _COMMIT.fullmatch(text) is not None


def is_git(text: str) -> bool:
    """Whether this is meant as a Git repository, and not as a file or a web page."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _SCP.match(text) is not None
    if scheme[1].lower() in ("git", "ssh"):
        return True
    return text.partition("#")[0].partition("?")[0].endswith(".git")


def parse_git(text: str) -> GitReference:
    """Of text for which ``is_git`` holds. Raises InvalidGitReference."""
    from urllib.parse import parse_qsl

    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
        raise InvalidGitReference(text, "has control characters in it")
    address, _, fragment = text.partition("#")
    address, _, query = address.partition("?")
    ref, _, directory = fragment.partition(":")
    reference = _remote(text, address)._replace(ref=ref, subdirectory=directory)
    for name, value in parse_qsl(query, keep_blank_values=True):
        reference = _with_parameter(text, reference, name, value)
    return _checked(text, reference)


def with_checksum(reference: GitReference, checksum: str) -> GitReference:
    """The same, which must lead to this commit. Raises InvalidGitReference."""
    if _PREFIX.fullmatch(checksum) is None:
        raise InvalidGitReference(
            reference.remote, f'has the checksum "{checksum[:80]}", which is no commit id', hint=_COMMIT_HINT
        )
    if reference.commit and not _agree(reference.commit, checksum):
        raise InvalidGitReference(
            reference.remote, "is given two different commits", hint="leave one of the checksums out"
        )
    longest = max(reference.commit, checksum, key=len)
    return reference._replace(commit=longest)


_COMMIT_HINT = "a commit is named by the hexadecimal digits of its id, at least 7 of them"


def _agree(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _remote(text: str, address: str) -> GitReference:
    from urllib.parse import urlsplit

    scp = _SCP.fullmatch(address)
    if scp is not None:
        user, host, path = scp.groups()
        if user.startswith("-") or host.startswith("-") or path.startswith("-") or not path:
            raise InvalidGitReference(text, "is no address of a repository")
        return GitReference(address)
    try:
        parts = urlsplit(address)
        is_named = bool(parts.hostname) and bool(parts.path.strip("/")) and parts.port != 0
    except ValueError as error:
        raise InvalidGitReference(text, "is no address of a repository") from error
    hostname, user = parts.hostname or "", parts.username or ""
    if not is_named or hostname.startswith("-") or user.startswith("-") or parts.path.startswith("/-"):
        raise InvalidGitReference(text, "is no address of a repository")
    if parts.scheme.lower() in ("http", "https"):
        remote, login = without_login(address)
        return GitReference(remote, login=login)
    if parts.password is not None:
        raise InvalidGitReference(text, "holds a password, which ssh does not take", hint="use a key")
    return GitReference(address)


def _with_parameter(text: str, reference: GitReference, name: str, value: str) -> GitReference:
    match name:
        case "ref" | "tag" | "branch":
            ref = {"ref": "", "tag": "refs/tags/", "branch": "refs/heads/"}[name] + value
            if reference.ref not in ("", ref):
                raise InvalidGitReference(text, "names two refs", hint="leave one of them out")
            return reference._replace(ref=ref)
        case "commit" | "checksum":
            return with_checksum(reference, value)
        case "subdir":
            if reference.subdirectory not in ("", value):
                raise InvalidGitReference(text, "names two directories", hint="leave one of them out")
            return reference._replace(subdirectory=value)
        case "keep-git-dir":
            return reference._replace(keeps_git_dir=_switch(text, name, value))
        case "submodules":
            return reference._replace(has_submodules=_switch(text, name, value))
        case "mtime":
            if value not in ("checkout", "commit"):
                raise InvalidGitReference(text, f'has mtime "{value}"', hint="it is checkout or commit")
            return reference._replace(has_commit_times=value == "commit")
        case _:
            listed = ", ".join(_PARAMETERS)
            raise InvalidGitReference(text, f'has an unknown parameter "{name}"', hint=f"there are {listed}")


def _switch(text: str, name: str, value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise InvalidGitReference(text, f'has {name} "{value}"', hint="it is true or false")
    return value.lower() in _TRUE


def _checked(text: str, reference: GitReference) -> GitReference:
    ref = reference.ref
    if ref.startswith(("-", "/", ".")) or ref.endswith(("/", ".")) or _NOT_IN_REF.search(ref):
        raise InvalidGitReference(text, f'has the ref "{ref[:80]}", which no branch or tag can be called')
    directory = posixpath.normpath("/" + reference.subdirectory).strip("/")
    return reference._replace(subdirectory=directory)
