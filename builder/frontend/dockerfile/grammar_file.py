"""The grammar file: where it is, its text and its digest; imports no Lark."""

from __future__ import annotations

import hashlib
import os

# ``builder/``; in a wheel the grammars lie inside it, in a checkout beside it.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PLACES = (os.path.join(_PACKAGE, "_grammar"), os.path.join(os.path.dirname(_PACKAGE), "grammar"))

# The escape character in the grammar, as the octal escapes of regular expressions: \ and `.
_BACKSLASH, _BACKTICK = r"\134", r"\140"


def grammar_text() -> str:
    """The Dockerfile grammar, for files whose escape character is a backslash."""
    for place in _PLACES:
        try:
            with open(os.path.join(place, "dockerfile.lark"), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise FileNotFoundError(f"dockerfile.lark is in none of {_PLACES}: the installation is incomplete")


def for_escape(text: str, escape: str) -> str:
    """The grammar for files with this escape character."""
    return text if escape == "\\" else text.replace(_BACKSLASH, _BACKTICK)


def grammar_digest() -> bytes:
    """What a remembered parse depends on besides the file itself."""
    return hashlib.sha256(grammar_text().encode()).digest()
