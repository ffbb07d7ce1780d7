"""Times as images and Docker's documents have them."""

from __future__ import annotations

import re
import time

_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def rfc3339(at: float) -> str:
    """Epoch seconds, in UTC with nanoseconds, as Go prints them."""
    # The whole part first: in one piece, a time of today times 10^9 is beyond what a float holds exactly.
    whole = int(at // 1)
    carry, nanoseconds = divmod(round((at - whole) * 1e9), 10**9)
    whole += carry
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{date}.{nanoseconds:09d}".rstrip("0").rstrip(".") + "Z"


def moment(text: str, now: float) -> float | None:
    """Epoch seconds, as Docker's filters take them; None: it is no time.

    A number of seconds since 1970, a Go duration before ``now`` (``1h30m``), or a date, with or without a
    time and a zone: without, this machine's.
    """
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
        return float(text)
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return now - sum(float(number) * _UNITS[unit] for number, unit in parts)
    import datetime

    try:
        return datetime.datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        return None
