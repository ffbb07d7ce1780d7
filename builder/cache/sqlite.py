"""The cache in the store's database."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping

from builder.cache.interface import CacheRecord
from builder.core.digest import Digest
from builder.store.interface import Row, Rows

# SQLite takes 999 variables in the oldest builds that Python 3.11 runs on.
_BATCH = 500
# Of the time of a record's last use: so that a build that finds everything writes nothing.
_PRECISION_S = 3600


class SqliteCache:
    """See CacheBackend."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._used: set[str] = set()  # keys whose last use is to be written down
        self.max_age_s: float | None = None  # records that were made longer ago are not there

    def lookup(self, keys: Collection[Digest]) -> Mapping[Digest, CacheRecord]:
        """See CacheBackend."""
        found = {}
        now = time.time()
        query = "SELECT key, result, inputs, created_at, coalesce(used_at, created_at) FROM records WHERE key"
        for key, result, inputs, created_at, used_at in self._all_of(query, keys):
            assert isinstance(inputs, bytes)
            assert isinstance(created_at, float)
            assert isinstance(used_at, float)
            if self.max_age_s is not None and created_at < now - self.max_age_s:
                continue
            found[Digest("sha256", str(key))] = CacheRecord(str(result), inputs)
            if used_at < now - _PRECISION_S:
                self._used.add(str(key))
        return found

    def write_uses(self) -> None:
        """Once, when the command ends: which records it has used, as far as that is news."""
        used = sorted(self._used)
        self._used.clear()
        for start in range(0, len(used), _BATCH):
            batch = used[start : start + _BATCH]
            self._rows.run(
                f"UPDATE records SET used_at = ? WHERE key IN ({','.join('?' * len(batch))})",  # noqa: S608 (only marks)
                [time.time(), *batch],
            )

    def save(self, key: Digest, record: CacheRecord, *, replace: bool = False) -> CacheRecord:
        """See CacheBackend."""
        verb = "REPLACE" if replace else "IGNORE"
        with self._rows.transaction():
            changed = self._rows.run(
                f"INSERT OR {verb} INTO records (key, result, inputs, created_at) VALUES (?, ?, ?, ?)",  # noqa: S608
                (key.hex, record.result_id, record.inputs, time.time()),
            )
            if replace:
                self._rows.run("DELETE FROM contents WHERE source = ?", (key.hex,))
        return record if changed else self.lookup([key]).get(key, record)

    def forget(self, key: Digest) -> None:
        """See CacheBackend."""
        self._rows.run("DELETE FROM records WHERE key = ?", (key.hex,))

    def content(self, source: Digest, selector: str) -> Digest | None:
        """See CacheBackend."""
        rows = self._rows.rows(
            "SELECT digest FROM contents WHERE source = ? AND selector = ?", (source.hex, selector)
        )
        return Digest("sha256", str(rows[0][0])) if rows else None

    def save_content(self, source: Digest, selector: str, content: Digest) -> None:
        """See CacheBackend."""
        self._rows.run(
            "INSERT OR REPLACE INTO contents (source, selector, digest) VALUES (?, ?, ?)",
            (source.hex, selector, content.hex),
        )

    def listing(self, content: Digest) -> bytes | None:
        """See CacheBackend."""
        rows = self._rows.rows("SELECT data FROM listings WHERE content = ?", (content.hex,))
        if not rows:
            return None
        data = rows[0][0]
        assert isinstance(data, bytes)
        return data

    def save_listing(self, key: Digest, content: Digest, listing: Callable[[], bytes | None]) -> None:
        """See CacheBackend."""
        is_known = self._rows.rows("SELECT 1 FROM listings WHERE content = ?", (content.hex,))
        data = None if is_known else listing()
        if not is_known and data is None:
            return
        with self._rows.transaction():
            if data is not None:
                self._rows.run(
                    "INSERT OR IGNORE INTO listings (content, data) VALUES (?, ?)", (content.hex, data)
                )
            self._rows.run(
                "INSERT OR IGNORE INTO listing_users (content, key) VALUES (?, ?)", (content.hex, key.hex)
            )

    def _all_of(self, query: str, digests: Collection[Digest]) -> Iterator[Row]:
        """The rows of a query that ends in the column that these are in."""
        wanted = [digest.hex for digest in digests]
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            yield from self._rows.rows(f"{query} IN ({','.join('?' * len(batch))})", batch)
