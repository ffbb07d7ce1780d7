"""Which commit a folder of the user is at: a hint for provenance, read without running git."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from builder.core.weburl import all_shown

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SECTION = re.compile(r'\[remote\s+"origin"\]')
_READ_LIMIT = 16 << 20  # bytes; packed references of a large repository are some MiB


def vcs_of(context: Path, dockerfile: Path | None) -> dict[str, str]:
    """As buildx tells it: ``revision``, ``source``, and where context and Dockerfile lie; {} if unknown.

    Whether files differ from that commit is not looked at, as in buildx.
    """
    root, git = _find(context)
    if root is None or git is None:
        return {}
    shared = git / _line(git / "commondir") if (git / "commondir").is_file() else git
    revision = _revision(git, shared)
    if not revision:
        return {}
    found = {"revision": revision, "localdir:context": os.path.relpath(context.resolve(), root)}
    if dockerfile is not None and dockerfile.resolve().is_relative_to(root):
        found["localdir:dockerfile"] = os.path.relpath(dockerfile.resolve().parent, root)
    source = _origin(shared / "config")
    if source:
        found["source"] = source
    return dict(sorted(found.items()))


def _find(context: Path) -> tuple[Path | None, Path | None]:
    """The work tree that a folder is in, and its repository."""
    start = context.resolve()
    for folder in (start, *start.parents):
        git = folder / ".git"
        if git.is_dir():
            return folder, git
        if git.is_file():  # another work tree, or a submodule
            place = _line(git).removeprefix("gitdir:").strip()
            return folder, folder / place if place else None
    return None, None


def _revision(git: Path, shared: Path) -> str:
    head = _line(git / "HEAD")
    reference = head.removeprefix("ref:").strip()
    if reference == head:
        return head if _COMMIT.fullmatch(head) else ""
    if not reference.startswith("refs/") or ".." in reference:
        return ""
    for place in (git, shared):
        commit = _line(place / reference)
        if _COMMIT.fullmatch(commit):
            return commit
    for line in _lines(shared / "packed-refs"):
        commit, _, name = line.partition(" ")
        if name == reference and _COMMIT.fullmatch(commit):
            return commit
    return ""


def _origin(config: Path) -> str:
    """The address of the remote called origin, without its login."""
    is_inside = False
    for line in _lines(config):
        if line.startswith("["):
            is_inside = _SECTION.match(line) is not None
        elif is_inside:
            name, equals, value = line.partition("=")
            if equals and name.strip().lower() == "url":
                return all_shown(value.strip().strip('"'))
    return ""


def _line(path: Path) -> str:
    return next(_lines(path), "")


def _lines(path: Path) -> Iterator[str]:
    """Without blanks around them; none of what cannot be read."""
    try:
        with open(path, "rb") as file:
            text = file.read(_READ_LIMIT).decode("utf-8", "replace")
    except OSError:
        return
    yield from map(str.strip, text.splitlines())
