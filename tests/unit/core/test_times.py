"""Times as text."""

from __future__ import annotations

import pytest

from builder.core.times import moment, rfc3339


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.5Z"),
        (0.001, "1970-01-01T00:00:00.001Z"),
        (0.9999999999, "1970-01-01T00:00:01Z"),
        (-0.5, "1969-12-31T23:59:59.5Z"),
    ],
)
def test_rfc3339(at: float, expected: str) -> None:
    """Times are written as Go writes them: UTC, nanoseconds without trailing zeros."""
    assert rfc3339(at) == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("0", 0.0), ("1600000000", 1.6e9), ("1600000000.5", 1600000000.5), ("10s", 990.0), ("1h30m", -4400.0),
        ("1.5m", 910.0), ("500ms", 999.5), ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T01:00:10+01:00", 10.0),
        ("soon", None), ("", None), ("10", 10.0), ("10x", None), ("-1h", None), ("1h 30m", None),
        ("1970-13-01", None),
    ],
)  # fmt: skip
def test_moments(text: str, at: float | None) -> None:
    """Seconds, durations before now, dates with their zones; anything else is no time."""
    assert moment(text, 1000.0) == at
