"""The frontend's parse cache, in the store's database."""

from __future__ import annotations

import time

from builder.store.database import Database

_KEPT = 500  # parses; the oldest go


class StoredParses:
    """See ParseCache."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: bytes) -> bytes | None:
        """See ParseCache."""
        row = self._database.row("SELECT value FROM parses WHERE key = ?", (key,))
        return row[0] if row and isinstance(row[0], bytes) else None

    def put(self, key: bytes, value: bytes) -> None:
        """See ParseCache."""
        with self._database.transaction():
            self._database.run("INSERT OR REPLACE INTO parses VALUES (?, ?, ?)", (key, value, time.time()))
            self._database.run(
                "DELETE FROM parses WHERE key NOT IN (SELECT key FROM parses ORDER BY used_at DESC LIMIT ?)",
                (_KEPT,),
            )
