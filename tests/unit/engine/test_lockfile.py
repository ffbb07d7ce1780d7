"""Lock files: their format, and what is wrong with broken ones."""

from __future__ import annotations

import pytest

from builder.engine.lockfile import BrokenLock, Lock, LockDrift, Names, format_lock, parse_lock

_DIGEST = f"sha256:{'a' * 64}"


def test_format_is_read_back_and_sorted() -> None:
    """The order of the names changes no byte."""
    names: Names = {("images", "b:1"): _DIGEST, ("images", "a:1"): _DIGEST, ("git", "https://h/r"): "b" * 40}
    data = format_lock(names)

    assert parse_lock(data, "x") == names
    assert format_lock(dict(reversed(list(names.items())))) == data
    assert data.index(b"a:1") < data.index(b"b:1")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n<<<<<<< HEAD\n"version": 1}', 2),
        ('{\n\n"version": 9}', 3),
        ("[]", 1),
        ('{"version": 1,\n"urls": []}', 2),
        ('{"version": 1, "images": {\n"a:1": "sha256:0"}}', 2),
        ('{"version": 1, "git": {\n\n"r": 7}}', 3),
    ],
)
def test_broken(text: str, line: int) -> None:
    """The error names the line."""
    with pytest.raises(BrokenLock, match=f'"x", line {line}: '):
        parse_lock(text.encode(), "x")


def test_strict_lock_refuses_what_it_has_not() -> None:
    """One that is not strict leaves it to be resolved."""
    assert Lock().find("urls", "https://h/f") is None
    with pytest.raises(LockDrift, match='"https://h/f" is not in'):
        Lock(is_strict=True).find("urls", "https://h/f")
