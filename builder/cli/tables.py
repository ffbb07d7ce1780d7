"""Tables, sizes and times as Docker's client shows them."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns three blanks apart, left-aligned."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join(lines)


def size(count: float) -> str:
    """Bytes in decimal units with three digits: 4.42MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g}TB"


def ago(at: float) -> str:
    """``3 minutes ago``, for epoch seconds."""
    seconds = max(0, int(time.time() - at))
    for limit, length, unit in (
        (1, 1, "second"), (60, 1, "second"), (3600, 60, "minute"), (48 * 3600, 3600, "hour"),
        (14 * 86400, 86400, "day"), (60 * 86400, 7 * 86400, "week"), (730 * 86400, 30 * 86400, "month"),
    ):  # fmt: skip
        if seconds < limit:
            count = seconds // length
            if seconds < 1:
                return "Less than a second ago"
            return f"{count} {unit}{'s' if count != 1 else ''} ago"
    return f"{seconds // (365 * 86400)} years ago"


def ago_rfc3339(text: str) -> str:
    """The same for a time as images have it; "N/A" for none."""
    try:
        return ago(datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp())
    except ValueError:
        return "N/A"
