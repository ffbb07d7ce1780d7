"""Text as Go writes and reads it: the quoting and durations of image histories and HEALTHCHECK."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ESCAPES = {
    "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\\": r"\\",
}  # fmt: skip
_UNITS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000,
    "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip
_DURATION = re.compile(r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]*)\.?([0-9]*)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = (1 << 63) - 1  # time.Duration is an int64


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


def parse_duration(text: str) -> int | None:
    """``time.ParseDuration`` in nanoseconds; None if the text is none."""
    if text in ("0", "+0", "-0"):
        return 0
    if _DURATION.fullmatch(text) is None:
        return None
    total = 0
    for whole, fraction, unit in _DURATION_PART.findall(text):
        total += int(whole or "0") * _UNITS[unit]
        total += int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
    if total > _LONGEST:
        return None
    return -total if text.startswith("-") else total


def format_duration(nanoseconds: int) -> str:
    """``time.Duration.String``."""
    if nanoseconds < 0:
        return "-" + format_duration(-nanoseconds)
    if nanoseconds == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < _UNITS[unit] * 1000:
            return _decimal(nanoseconds, _UNITS[unit]) + unit
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = _decimal(rest, _UNITS["s"]) + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")
