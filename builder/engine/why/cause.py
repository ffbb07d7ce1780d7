"""One reason for a step to run, and how it is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "file", "mode", "owner", "type", "link", "added", "removed", "renamed", "content",  # of what is copied
    "argument", "environment", "instruction", "option", "platform", "mount", "place",  # of the operation
    "base", "source", "order",  # of what it stands on
    "follows", "new", "pruned", "unfinished", "forced",
]  # fmt: skip

_LONGEST = 80  # characters of a value


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """``subject`` is what changed: a path, a variable, an option; ``step`` the one that it comes from."""

    kind: Kind
    text: str  # one line
    subject: str = ""
    old: str | None = None
    new: str | None = None
    step: str = ""

    def document(self) -> dict[str, Any]:
        """For JSON; what is not known is left out."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value not in ("", None)}


def changed(kind: Kind, what: str, subject: str, old: str, new: str, *, step: str = "") -> Cause:
    """``WHAT changed: OLD → NEW``."""
    text = f"{what} changed: {shortened(old)} → {shortened(new)}"
    return Cause(kind=kind, text=text, subject=subject, old=old, new=new, step=step)


def summary(causes: Sequence[Cause]) -> str:
    """The first cause, and how many more there are; "" without one."""
    if not causes:
        return ""
    more = f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""
    return f"{causes[0].text}{more}"


def shortened(text: str) -> str:
    """One line of it, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def quoted(text: str) -> str:
    return f'"{shortened(text)}"'
