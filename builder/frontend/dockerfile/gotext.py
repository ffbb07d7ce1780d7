"""Text as Go writes and reads it: the quoting of image histories."""

from __future__ import annotations

from collections.abc import Iterable

_ESCAPES = {
    "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\\": r"\\",
}  # fmt: skip


def quote(text: str) -> str:
    """``strconv.Quote``."""
    return '"' + "".join(r"\"" if c == '"' else _escape(c) for c in text) + '"'


def quote_list(words: Iterable[str]) -> str:
    """``fmt``'s ``%q`` of a slice of strings."""
    return "[" + " ".join(map(quote, words)) + "]"


def quote_rune(number: int) -> str:
    """``fmt``'s ``%q`` of an integer, which is the character of that number."""
    is_rune = 0 <= number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF
    character = chr(number) if is_rune else "\ufffd"
    return r"'\''" if character == "'" else f"'{_escape(character)}'"


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was no UTF-8
        return rf"\x{number - 0xDC00:02x}"
    if number < 0x20 or number == 0x7F:
        return rf"\x{number:02x}"
    return rf"\u{number:04x}" if number < 0x10000 else rf"\U{number:08x}"
