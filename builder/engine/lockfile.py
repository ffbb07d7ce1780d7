"""The lock file beside a Dockerfile: what its names led to when it was written.

{
  "version": 1,
  "images": {"docker.io/library/busybox:1.36": "sha256:…"},     of the manifest, or of the index
  "urls": {"https://host.example/file": "sha256:…"},
  "git": {"https://host.example/repo.git#main": "…"}            the commit
}

Written whole, and put in place by a rename. A name that is missing is resolved as without a lock.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from builder.core.errors import Kind, PybuildError
from builder.core.weburl import shown

Family = Literal["images", "urls", "git"]
Names = Mapping[tuple[Family, str], str]

FAMILIES: tuple[Family, ...] = ("images", "urls", "git")
_VERSION = 1
_VALUES = {
    "images": re.compile(r"sha256:[0-9a-f]{64}"),
    "urls": re.compile(r"sha256:[0-9a-f]{64}"),
    "git": re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}"),
}


class BrokenLock(PybuildError):
    """A lock file cannot be read as one."""

    kind = Kind.INVALID
    code = "broken-lock"

    def __init__(self, file: str, line: int, why: str) -> None:
        super().__init__(
            f'"{file}", line {line}: {why}', hint="repair that line, or write the file anew: pybuild lock"
        )


class LockDrift(PybuildError):
    """A build with ``--locked`` needs a name that the lock file does not have, or there is no lock file."""

    kind = Kind.CONFLICT
    code = "lock-drift"


class NotInLock(PybuildError):
    """The Dockerfile needs no such name, so that its entry cannot be refreshed."""

    kind = Kind.NOT_FOUND
    code = "not-in-lock"


def lock_path(dockerfile: Path) -> Path:
    """``Dockerfile.lock`` for ``Dockerfile``."""
    return dockerfile.with_name(f"{dockerfile.name}.lock")


def parse_lock(data: bytes, file: str) -> Names:
    """Raises BrokenLock."""
    text = data.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise BrokenLock(file, error.lineno, f"it is no JSON: {error.msg.lower()}") from error
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise BrokenLock(file, _line_of(text, "version"), f'its "version" is not {_VERSION}')
    found: dict[tuple[Family, str], str] = {}
    for family in FAMILIES:
        entries = document.get(family, {})
        if not isinstance(entries, dict):
            raise BrokenLock(file, _line_of(text, family), f'"{family}" is not an object')
        for name, value in entries.items():
            if not isinstance(value, str) or _VALUES[family].fullmatch(value) is None:
                what = "commit id" if family == "git" else "sha256 digest"
                raise BrokenLock(file, _line_of(text, name), f'"{name}" has no {what}')
            found[family, name] = value
    return found


def format_lock(names: Names) -> bytes:
    """The same names give the same bytes."""
    document: dict[str, object] = {"version": _VERSION}
    for family in FAMILIES:
        document[family] = {name: value for (kind, name), value in sorted(names.items()) if kind == family}
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")


def write_lock(path: Path, names: Names) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(format_lock(names))
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _line_of(text: str, name: str) -> int:
    """Of a key; 1 if it is not there, or is written with escapes."""
    at = text.find(f'"{name}"')
    return text.count("\n", 0, at) + 1 if at >= 0 else 1


class Lock:
    """What names are pinned to in one command, and what those that it needs led to. Thread-safe."""

    def __init__(self, *, is_strict: bool = False, is_fresh: bool = False, update: str = "") -> None:
        """``is_fresh`` ignores the file's entries: all of them, or with ``update`` those of that name."""
        self._is_strict = is_strict
        self._is_fresh = is_fresh
        self._update = update
        self.path: Path | None = None
        self.entries: Names = {}
        self.found: dict[tuple[Family, str], str | None] = {}

    def use(self, path: Path, data: bytes | None) -> None:
        """``data`` None: there is no such file. Raises BrokenLock, LockDrift."""
        self.path = path
        if data is not None:
            self.entries = parse_lock(data, str(path))
        elif self._is_strict:
            raise LockDrift(f'there is no "{path}"', hint="write it with pybuild lock, or leave --locked out")

    def find(self, family: Family, name: str) -> str | None:
        """None: to be resolved. Raises LockDrift for a missing name of a strict lock."""
        value = self.entries.get((family, name))
        if self._is_fresh and self._update in ("", name):
            value = None
        if value is None and self._is_strict:
            raise LockDrift(
                f'"{name}" is not in the lock file', hint="run pybuild lock, or leave --locked out"
            )
        self.found.setdefault((family, name), value)
        return value

    def note(self, family: Family, name: str, value: str) -> None:
        """What a name led to; those that nobody looked for pin themselves."""
        if (family, name) in self.found:
            self.found[family, name] = value

    def resolved(self) -> Names:
        return {key: value for key, value in self.found.items() if value is not None}


def update_name(text: str) -> str:
    """The form of a name in the file, of what --update says."""
    from builder.core.gitref import is_git, parse_git
    from builder.core.reference import Reference
    from builder.core.weburl import is_http

    if is_git(text):
        return parse_git(text).shown
    return shown(text) if is_http(text) else str(Reference.parse(text).with_default_tag())
