"""When records were last used, and how old they may be."""

from __future__ import annotations

from pathlib import Path

from builder.cache.interface import CacheRecord
from builder.cache.sqlite import SqliteCache
from builder.core.digest import Digest
from builder.store.database import Database

KEY, OTHER = Digest.of(b"key"), Digest.of(b"other")


def _age(database: Database, seconds: float) -> None:
    database.run("UPDATE records SET created_at = created_at - ?", (seconds,))


def _uses(database: Database) -> dict[str, bool]:
    return {str(key): used is not None for key, used in database.rows("SELECT key, used_at FROM records")}


def test_a_use_is_written_down_when_it_is_news(tmp_path: Path) -> None:
    """Once in an hour, at the end of a command, and only of what was found."""
    with Database.open(tmp_path / "db") as database:
        cache = SqliteCache(database)
        for key in (KEY, OTHER):
            cache.save(key, CacheRecord("result", b""))
        cache.lookup([KEY])
        cache.write_uses()
        assert _uses(database) == {KEY.hex: False, OTHER.hex: False}

        _age(database, 4000)
        cache.lookup([KEY])
        assert _uses(database) == {KEY.hex: False, OTHER.hex: False}
        cache.write_uses()
        assert _uses(database) == {KEY.hex: True, OTHER.hex: False}
        before = database.rows("SELECT used_at FROM records")
        cache.lookup([KEY])
        cache.write_uses()
        assert before == database.rows("SELECT used_at FROM records")


def test_records_that_are_too_old_are_not_there(tmp_path: Path) -> None:
    """They stay in the store, for builds that take them."""
    with Database.open(tmp_path / "db") as database:
        cache, record = SqliteCache(database), CacheRecord("result", b"")
        cache.save(KEY, record)
        _age(database, 4000)
        cache.max_age_s = 3000
        assert cache.lookup([KEY]) == {}
        cache.max_age_s = 5000
        assert cache.lookup([KEY]) == {KEY: record}
