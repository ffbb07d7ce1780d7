"""The cache in the store's database."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from builder.cache.interface import CacheRecord
from builder.core.digest import Digest
from builder.store.interface import Rows

# SQLite takes 999 variables in the oldest builds that Python 3.11 runs on.
_BATCH = 500


class SqliteCache:
    """See CacheBackend."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def lookup(self, keys: Collection[Digest]) -> Mapping[Digest, CacheRecord]:
        """See CacheBackend."""
        wanted = [key.hex for key in keys]
        found = {}
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            marks = ",".join("?" * len(batch))
            for key, result, inputs in self._rows.rows(
                f"SELECT key, result, inputs FROM records WHERE key IN ({marks})",  # noqa: S608 (only marks)
                batch,
            ):
                assert isinstance(inputs, bytes)
                found[Digest("sha256", str(key))] = CacheRecord(str(result), inputs)
        return found

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
