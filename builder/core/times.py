"""Times as images and Docker's documents have them."""

from __future__ import annotations

import time


def rfc3339(at: float) -> str:
    """Epoch seconds, in UTC with nanoseconds, as Go prints them."""
    # The whole part first: in one piece, a time of today times 10^9 is beyond what a float holds exactly.
    whole = int(at // 1)
    carry, nanoseconds = divmod(round((at - whole) * 1e9), 10**9)
    whole += carry
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{date}.{nanoseconds:09d}".rstrip("0").rstrip(".") + "Z"
