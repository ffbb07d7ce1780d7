"""Times as text."""

from __future__ import annotations

import pytest

from builder.core.times import rfc3339


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
