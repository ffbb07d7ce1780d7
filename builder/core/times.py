"""Times as images and Docker's documents have them."""

from __future__ import annotations

import time


def rfc3339(at: float) -> str:
    """Epoch seconds, in UTC with nanoseconds, as Go prints them."""
    whole, nanoseconds = divmod(round(at * 1e9), 10**9)
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{date}.{nanoseconds:09d}".rstrip("0").rstrip(".") + "Z"
