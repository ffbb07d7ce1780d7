"""What changed of the files that a step reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from builder.engine.why.cause import Cause, changed
from builder.fs.gitmode import is_recorded
from builder.fs.listing import Difference, Listed, Listing, differences

_NAMES = {
    "dir": "directory", "symlink": "link", "char": "device", "block": "device", "fifo": "pipe",
    "socket": "socket",
}  # fmt: skip


class Read(NamedTuple):
    """What was listed, and the paths that the listed ones count from."""

    listing: Listing
    roots: Sequence[str]

    def shown(self, path: str) -> str:
        number, _, below = path.partition(":")
        root = self.roots[int(number)] if number.isdecimal() and int(number) < len(self.roots) else ""
        return "/".join(part for part in (root, below) if part) or "."


def file_causes(old: Read, new: Read, *, step: str = "", is_context: bool = False) -> list[Cause]:
    """A cause for each path. ``step`` made them; of a context it is said where Git would not tell."""
    found = [
        each._replace(path=(old if each.new is None else new).shown(each.path))
        for each in differences(old.listing, new.listing)
    ]
    renames = _renames(found)
    gone = {before.path for before in renames.values()}
    causes: list[Cause] = []
    for each in found:
        if each.path in renames:
            before = renames[each.path].path
            text = f'{_kind(each)} "{before}" is now called "{each.path}"{_made_by(step)}'
            causes.append(
                Cause(kind="renamed", text=text, subject=each.path, old=before, new=each.path, step=step)
            )
        elif each.path not in gone:
            causes += _of_path(each, step, is_context=is_context)
    return causes


def _of_path(each: Difference, step: str, *, is_context: bool) -> list[Cause]:
    path, old, new = each
    made_by = _made_by(step)
    if old is None:
        text = f'{_kind(each)} "{path}" is new{made_by}'
        return [Cause(kind="added", text=text, subject=path, step=step)]
    if new is None:
        return [
            Cause(kind="removed", text=f'{_kind(each)} "{path}" is gone{made_by}', subject=path, step=step)
        ]
    if old.kind != new.kind:
        text = f'"{path}" was a {_named(old)} and is a {_named(new)}{made_by}'
        return [Cause(kind="type", text=text, subject=path, old=_named(old), new=_named(new), step=step)]
    causes = []
    if old.content != new.content:
        if new.kind == "symlink":
            what = f'what the link "{path}" leads to'
            causes.append(changed("link", what, path, old.content, new.content, step=step))
        else:
            text = f'{_kind(each)} "{path}" changed{made_by}'
            causes.append(Cause(kind="file", text=text, subject=path, step=step))
    if old.mode != new.mode:
        causes.append(_of_mode(path, old, new, step, is_context=is_context))
    if old.owner != new.owner:
        causes.append(changed("owner", f'the owner of "{path}"', path, old.owner, new.owner, step=step))
    return causes


def _of_mode(path: str, old: Listed, new: Listed, step: str, *, is_context: bool) -> Cause:
    before, after = f"{old.mode:04o}", f"{new.mode:04o}"
    text = f'the mode of "{path}" changed: {before} → {after}'
    if is_context and (new.kind == "dir" or not is_recorded(old.mode, new.mode)):
        text += ", which Git does not record: --context-modes=git leaves it out"
    return Cause(kind="mode", text=text, subject=path, old=before, new=after, step=step)


def _renames(found: list[Difference]) -> dict[str, Difference]:
    """New paths that are just what a path was that is gone, each with that."""
    gone = {each.old: each for each in found if each.new is None}
    renames: dict[str, Difference] = {}
    for each in found:
        if each.old is None and each.new is not None and each.new.kind == "file":
            before = gone.pop(each.new, None)
            if before is not None:
                renames[each.path] = before
    return renames


def _kind(each: Difference) -> str:
    listed = each.new or each.old
    assert listed is not None, "a difference has a side"
    return _named(listed)


def _named(listed: Listed) -> str:
    return _NAMES.get(listed.kind, listed.kind)


def _made_by(step: str) -> str:
    # A step of ours that brings a mount in says nothing to whoever wrote the instruction.
    return f", which follows from {step}" if step and not step.startswith("[internal]") else ""
