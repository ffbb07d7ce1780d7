"""The limits of the store, as they are configured."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.config import Config
from builder.core.durations import parse_span
from builder.core.limits import InvalidLimit
from builder.engine.space.limits import InvalidStoreConfig, StoreLimits, read_limits


def limits(tmp_path: Path, text: str | None = None, **options: str) -> StoreLimits:
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_text(text)
    config = Config.load({"PYBUILD_CONFIG": str(path)}, root=tmp_path)
    return read_limits(config, **options)


def test_without_a_word_it_is_a_part_of_the_disk(tmp_path: Path) -> None:
    """As BuildKit: 60 %, and no more than 100 GB; other tables say nothing about it."""
    disk = os.statvfs(tmp_path)
    expected = min(100 * 10**9, disk.f_blocks * disk.f_frsize * 60 // 100)

    assert limits(tmp_path).bytes_on(tmp_path) == expected
    assert limits(tmp_path, '[registry."store"]\n').bytes_on(tmp_path) == expected
    assert limits(tmp_path).max_age_s is None


def test_configured(tmp_path: Path) -> None:
    """A size, a part of the disk, or none; and an age."""
    disk = os.statvfs(tmp_path)

    assert limits(tmp_path, '[store]\nmax_size = "2GB"\n').bytes_on(tmp_path) == 2 << 30
    assert limits(tmp_path, '[store]\nmax_size = "none"\n').bytes_on(tmp_path) is None
    assert (
        limits(tmp_path, '[store]\nmax_size = "5%"\n').bytes_on(tmp_path)
        == disk.f_blocks * disk.f_frsize * 5 // 100
    )
    assert limits(tmp_path, '[store]\nmax_age = "60d"\n').max_age_s == 60 * 86400


def test_options_win(tmp_path: Path) -> None:
    """``--keep-storage`` and ``--cache-ttl`` are of one build."""
    found = limits(tmp_path, '[store]\nmax_size = "2GB"\n', keep_storage="5m", cache_ttl="1h30m")

    assert found.bytes_on(tmp_path) == 5 << 20
    assert found.ttl_s == 5400


@pytest.mark.parametrize(
    "text",
    ["[store]\nmax_size = 5\n", "[store]\nsize = '5'\n", "store = 5\n", "[store\n"],
)
def test_mistakes(tmp_path: Path, text: str) -> None:
    """A limit that means nothing is an error, not no limit."""
    with pytest.raises(InvalidStoreConfig):
        limits(tmp_path, text)


@pytest.mark.parametrize("text", ["[store]\nmax_size = 'big'\n", "[store]\nmax_age = 'old'\n"])
def test_values_that_mean_nothing(tmp_path: Path, text: str) -> None:
    """They are quoted."""
    with pytest.raises(InvalidLimit):
        limits(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86400), ("1h30m", 5400), ("1.5h", 5400), ("7d", 604800), ("2w", 1209600), ("250ms", 0.25),
        ("0", 0), ("", None), ("5", None), ("h", None), ("1h ago", None), ("-1h", None), ("1y", None),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    """Go's, and days and weeks."""
    assert parse_span(text) == seconds
