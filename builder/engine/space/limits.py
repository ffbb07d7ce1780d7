"""How large the store may grow: the `[store]` table of the configuration, and BuildKit's default.

[store]
max_size = "20GB"           # or "60%" of the disk, or "none"
max_age = "60d"             # records that nothing used for so long go before the next build
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from builder.config import Config
from builder.core.durations import parse_span
from builder.core.errors import Kind, PybuildError
from builder.core.limits import InvalidLimit, parse_size

# BuildKit's: 60 % of the disk, and no more than 100 GB (cmd/buildkitd/config/gcpolicy_unix.go).
_DEFAULT_PERCENT = 60
_DEFAULT_MOST = 100 * 10**9


class InvalidStoreConfig(PybuildError):
    """The `[store]` table of the configuration cannot be used."""

    kind = Kind.INVALID
    code = "invalid-store-config"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """``max_size`` in bytes, or ``max_percent`` of the disk; None of both: no limit."""

    max_size: int | None = None
    max_percent: int | None = None
    max_age_s: float | None = None
    ttl_s: float | None = None  # records that were made longer ago answer no step of this build

    def bytes_on(self, root: Path) -> int | None:
        """The limit for a store there."""
        if self.max_percent is None:
            return self.max_size
        disk = os.statvfs(root)
        part = disk.f_blocks * disk.f_frsize * self.max_percent // 100
        return part if self.max_size is None else min(part, self.max_size)


_DEFAULT = StoreLimits(max_size=_DEFAULT_MOST, max_percent=_DEFAULT_PERCENT)


def read_limits(
    config: Config, *, keep_storage: str | None = None, cache_ttl: str | None = None
) -> StoreLimits:
    """The options of a build win. Raises InvalidStoreConfig, InvalidLimit."""
    limits = _configured(config.registries)
    if keep_storage is not None:
        limits = replace(limits, max_size=parse_size(keep_storage, "--keep-storage"), max_percent=None)
    if cache_ttl is not None:
        limits = replace(limits, ttl_s=_seconds(cache_ttl, "--cache-ttl"))
    return limits


def _configured(path: Path) -> StoreLimits:
    try:
        data = path.read_bytes()
    except OSError:
        return _DEFAULT
    if b"store" not in data:  # reading TOML takes longer than a build that finds everything should
        return _DEFAULT
    import tomllib

    try:
        table = tomllib.loads(data.decode("utf-8")).get("store", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidStoreConfig(f'"{path}" is not valid TOML: {error}') from error
    if not isinstance(table, dict):
        raise InvalidStoreConfig('"store" should be a table', hint="write [store]")
    limits = _DEFAULT
    for name, value in table.items():
        if name not in ("max_size", "max_age") or not isinstance(value, str):
            raise InvalidStoreConfig(
                f'"{name}" in [store] means nothing', hint='there are max_size = "20GB" and max_age = "60d"'
            )
        if name == "max_age":
            limits = replace(limits, max_age_s=_seconds(value, "max_age"))
        else:
            limits = replace(limits, **_size(value))
    return limits


def _size(text: str) -> dict[str, int | None]:
    if text == "none":
        return {"max_size": None, "max_percent": None}
    percent = re.fullmatch(r"([0-9]{1,2}|100)%", text)
    if percent is not None:
        return {"max_size": None, "max_percent": int(percent[1])}
    return {"max_size": parse_size(text, "max_size"), "max_percent": None}


def _seconds(text: str, option: str) -> float:
    seconds = parse_span(text)
    if seconds is None:
        raise InvalidLimit(f'{option} cannot be "{text}"', hint="write a span of time: 90m, 24h, 60d")
    return seconds
