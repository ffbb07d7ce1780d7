"""What of an input a step reads, in words: they name it uniquely in memos, and say where its files lie."""

from __future__ import annotations

from collections.abc import Iterable

from builder.fs.patterns import has_wildcards
from builder.llb.ops import CacheMount, CopyAction, InputMount

_MOUNT = "mount "


def copy_selector(actions: Iterable[CopyAction]) -> str:
    """Of all that one input is copied from."""
    return "\0".join(map(_of_action, actions))


def mount_selector(mount: InputMount | CacheMount) -> str:
    return f"{_MOUNT}{mount.selector}"


def roots_of(selector: str) -> tuple[str, ...]:
    """The paths that listed ones count from, one for each source; with wildcards, what is before them."""
    if selector.startswith(_MOUNT):
        return ("",)
    return tuple(_root(*text.split("\1")[:2]) for text in selector.split("\0"))


def _of_action(action: CopyAction) -> str:
    parts = [action.source, f"{action.allows_wildcards:d}", f"{action.keeps_owner:d}"]
    if action.includes or action.excludes:
        parts += ("\2".join(action.includes), "\2".join(action.excludes))
    return "\1".join(parts)


def _root(source: str, allows_wildcards: str = "0") -> str:
    literal: list[str] = []
    for part in source.strip("/").split("/"):
        if allows_wildcards == "1" and has_wildcards(part):
            break
        literal.append(part)
    return "/".join(literal)
