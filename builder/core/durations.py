"""Spans of time as Go writes and reads them, ``1m30s``; and as people do, with days and weeks."""

from __future__ import annotations

import re
from collections.abc import Mapping

_UNITS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000,
    "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip
_LONG_UNITS = {**_UNITS, "d": 24 * _UNITS["h"], "w": 7 * 24 * _UNITS["h"]}
_SPAN = re.compile(r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|[smhdw]))+")
_PART = re.compile(r"([0-9]*)\.?([0-9]*)(ns|us|µs|μs|ms|[smhdw])")
_LONGEST = (1 << 63) - 1  # time.Duration is an int64


def parse_duration(text: str) -> int | None:
    """``time.ParseDuration`` in nanoseconds; None if the text is none."""
    return _parse(text, _UNITS)


def parse_span(text: str) -> float | None:
    """Seconds of ``1h30m``, ``7d`` or ``2w``, not below 0; None if the text is none."""
    found = _parse(text.strip().lower(), _LONG_UNITS)
    return None if found is None or found < 0 else found / _UNITS["s"]


def _parse(text: str, units: Mapping[str, int]) -> int | None:
    if text in ("0", "+0", "-0"):
        return 0
    if _SPAN.fullmatch(text) is None:
        return None
    total = 0
    for whole, fraction, unit in _PART.findall(text):
        if unit not in units:
            return None
        total += int(whole or "0") * units[unit]
        total += int(fraction or "0") * units[unit] // 10 ** len(fraction)
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
