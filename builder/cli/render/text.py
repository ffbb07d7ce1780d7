"""Text that is safe to show: no control sequence from a step or a file reaches the terminal."""

from __future__ import annotations

import re

# Everything but tab: C0, DEL and C1 (U+009B alone starts a control sequence in some terminals).
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
# ECMA-48: control sequences, then control strings (titles, clipboard, hyperlinks, device control),
# which end at BEL or ST, then any other escape. The last two alternatives leave no ESC behind.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x07|\x1b\\|\x9c|\Z)"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f]",
    re.DOTALL,
)
_COLOR = re.compile(r"\x1b\[[0-9;:]*m")
_RESETS = ("\x1b[0m", "\x1b[m")
_SPACES = re.compile(r"\s+")
# Characters that reorder or hide text (Unicode TR 36): shown escaped in excerpts of a user's file.
_INVISIBLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean(text: str, *, keep_color: bool) -> str:
    """``text`` without control characters and sequences; SGR colours may stay, and end with the text."""
    if _CONTROL.search(text) is None:
        return text
    colored = False

    def keep(match: re.Match[str]) -> str:
        nonlocal colored
        if not keep_color or _COLOR.fullmatch(match.group()) is None:
            return ""
        colored = match.group() not in _RESETS
        return match.group()

    cleaned = _SEQUENCE.sub(keep, text)
    return cleaned + _RESETS[0] if colored else cleaned


def one_line(text: str) -> str:
    """A step's name or a message on one line: white space joined, controls gone."""
    return clean(_SPACES.sub(" ", text), keep_color=False).strip()


def escape(text: str) -> str:
    """Control and invisible characters written out (``\\x1b``, ``\\u202e``), tabs included."""
    return _INVISIBLE.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    point = ord(match.group())
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def cells(character: str) -> int:
    """Columns that one printable character takes in a terminal: 0, 1 or 2."""
    if character < "\x7f":
        return 1
    # Imported here: plain ASCII, nearly every Dockerfile, never needs the tables.
    import unicodedata

    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def counted(number: int, noun: str) -> str:
    """``1 warning``, ``2 warnings``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def amount(value: int, unit: str) -> str:
    """A count, or bytes in decimal units as Docker shows them: ``357B``, ``29.78MB``."""
    if unit != "B":
        return f"{value}{unit}"
    if value < 1000:
        return f"{value}B"
    scaled, prefixes = value / 1000, iter("kMGTPE")
    prefix = next(prefixes)
    while scaled >= 999.995 and prefix != "E":
        scaled, prefix = scaled / 1000, next(prefixes)
    return f"{scaled:.2f}".rstrip("0").rstrip(".") + f"{prefix}B"
