"""Names of users and groups to numbers, by the passwd and group files of the tree that is written to."""

from __future__ import annotations

import os

from builder.core.errors import Kind, PybuildError
from builder.fs.editor import TreeEditor
from builder.fs.tree import Entry, StackedTree, resolve
from builder.sandbox.users import UserNotFound, lookup_owner, lookup_user

# As the sandbox: a hostile image must not fill the memory.
_MAX_FILE = 16 << 20


class UnknownOwner(PybuildError):
    """--chown names somebody whom the image does not know."""

    kind = Kind.NOT_FOUND
    code = "unknown-owner"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f'cannot give files to "{text}": {why}',
            hint="add the user in an earlier step, or use numbers: --chown=1000:1000",
        )


def owner_of(editor: TreeEditor, text: str) -> tuple[int, int]:
    """uid and gid for ``user[:group]``. Raises UnknownOwner."""
    try:
        return lookup_owner(text, _read(editor, "etc/passwd"), _read(editor, "etc/group"))
    except UserNotFound as error:
        raise UnknownOwner(text, str(error)) from error


def user_of(tree: StackedTree, text: str) -> tuple[int, int] | None:
    """uid and gid of a step's USER; None if the tree does not know it."""
    files = [_content(tree.lookup(resolve(tree, path))) for path in ("etc/passwd", "etc/group")]
    try:
        identity = lookup_user(text, *files)
    except UserNotFound:
        return None
    return identity.uid, identity.gid


def _read(editor: TreeEditor, path: str) -> bytes:
    return _content(editor.lookup(editor.resolve(path)))


def _content(entry: Entry | None) -> bytes:
    if entry is None or entry.kind != "file":
        return b""
    descriptor = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_MAX_FILE)
    finally:
        os.close(descriptor)
