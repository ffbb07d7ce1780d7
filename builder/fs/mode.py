"""The values of ``--chmod``: octal, or symbolic as chmod(1) has it with umask 0."""

from __future__ import annotations

import re
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError

_OCTAL = re.compile(r"0*[0-7]{1,4}")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o0007, "a": 0o6777}
_SHIFT = {"u": 6, "g": 3, "o": 0}
_PERMISSIONS = {"r": 0o444, "w": 0o222, "x": 0o111, "s": 0o6000}


class InvalidMode(PybuildError):
    """Text that is no file mode."""

    kind = Kind.INVALID
    code = "invalid-mode"

    def __init__(self, text: str) -> None:
        super().__init__(f'"{text}" is not a file mode', hint="write it as 0644, or as u=rwX,go=rX")


class _Action(NamedTuple):
    operator: str
    who: int  # the bits it may touch
    permissions: str


class ModeChange:
    """What a mode does to the permissions of files and directories."""

    def __init__(self, octal: int | None, actions: tuple[_Action, ...]) -> None:
        self.octal = octal
        self._actions = actions

    @classmethod
    def parse(cls, text: str) -> ModeChange:
        """Raises InvalidMode."""
        if _OCTAL.fullmatch(text):
            return cls(int(text, 8), ())
        actions = []
        for clause in text.split(","):
            match = _CLAUSE.fullmatch(clause)
            if match is None:
                raise InvalidMode(text)
            who = 0
            for letter in match[1] or "a":
                who |= _WHO[letter]
            # The sticky bit belongs to nobody in particular.
            who |= 0o1000 if not match[1] or "a" in match[1] or "o" in match[1] else 0
            actions += [_Action(a[1], who, a[2]) for a in _ACTION.finditer(match[2])]
        return cls(None, tuple(actions))

    def apply(self, mode: int, *, is_directory: bool) -> int:
        """The new permission bits of something that has ``mode``."""
        if self.octal is not None:
            return self.octal
        for operator, who, permissions in self._actions:
            bits = _bits(permissions, mode, is_directory=is_directory) & who
            if operator == "+":
                mode |= bits
            elif operator == "-":
                mode &= ~bits
            else:
                # The sticky bit goes only if it is named.
                mode = (mode & ~(who & 0o6777)) | bits
        return mode


def _bits(permissions: str, mode: int, *, is_directory: bool) -> int:
    if permissions in _SHIFT:
        return ((mode >> _SHIFT[permissions]) & 7) * 0o111
    bits = 0
    for letter in permissions:
        if letter == "X":
            bits |= 0o111 if is_directory or mode & 0o111 else 0
        elif letter == "t":
            bits |= 0o1000
        else:
            bits |= _PERMISSIONS[letter]
    return bits
