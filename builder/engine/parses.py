"""The frontend's parse cache, in the store's database."""

from __future__ import annotations

import time
from collections.abc import Callable

from builder.store.database import Database

_KEPT = 500  # parses; the oldest go


class StoredParses:
    """See ParseCache."""

    def __init__(self, database: Database, on_new: Callable[[], None]) -> None:
        self._database = database
        self._on_new = on_new  # a file that was never parsed: its steps have not run

    def get(self, key: bytes) -> bytes | None:
        """See ParseCache."""
        row = self._database.row("SELECT value FROM parses WHERE key = ?", (key,))
        if row is None or not isinstance(row[0], bytes):
            self._on_new()
            return None
        return row[0]

    def put(self, key: bytes, value: bytes) -> None:
        """See ParseCache."""
        with self._database.transaction():
            self._database.run("INSERT OR REPLACE INTO parses VALUES (?, ?, ?)", (key, value, time.time()))
            self._database.run(
                "DELETE FROM parses WHERE key NOT IN (SELECT key FROM parses ORDER BY used_at DESC LIMIT ?)",
                (_KEPT,),
            )
