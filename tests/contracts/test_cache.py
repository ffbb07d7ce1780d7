"""What every CacheBackend promises."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cache.interface import CacheBackend, CacheRecord
from builder.cache.memory import MemoryCache
from builder.cache.sqlite import SqliteCache
from builder.core.digest import Digest
from builder.store.database import Database

KEY, OTHER = Digest.of(b"key"), Digest.of(b"other")


@pytest.fixture(params=["memory", "sqlite"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CacheBackend]:
    if request.param == "memory":
        yield MemoryCache()
        return
    with Database.open(tmp_path / "db") as database:
        yield SqliteCache(database)


def test_unknown_keys_are_left_out(cache: CacheBackend) -> None:
    """A look-up answers for the keys that it has, and never fails for the others."""
    record = CacheRecord("result", b"inputs")
    cache.save(KEY, record)

    assert cache.lookup([KEY, OTHER]) == {KEY: record}
    assert cache.lookup([]) == {}


def test_the_first_record_stands(cache: CacheBackend) -> None:
    """Two that built the same agree on one result."""
    first = cache.save(KEY, CacheRecord("first", b"1"))
    second = cache.save(KEY, CacheRecord("second", b"2"))

    assert first == second == CacheRecord("first", b"1")
    assert cache.lookup([KEY]) == {KEY: first}


def test_replaced_record(cache: CacheBackend) -> None:
    """A step that ran again has the record of the last time."""
    cache.save(KEY, CacheRecord("first", b"1"))
    second = cache.save(KEY, CacheRecord("second", b"2"), replace=True)

    assert second == CacheRecord("second", b"2")
    assert cache.lookup([KEY]) == {KEY: second}


def test_forgotten_record(cache: CacheBackend) -> None:
    """A record whose result is gone can be taken away, any number of times."""
    cache.save(KEY, CacheRecord("first", b""))
    cache.forget(KEY)
    cache.forget(KEY)

    assert cache.lookup([KEY]) == {}


def test_more_keys_than_a_statement_takes(cache: CacheBackend) -> None:
    """A look-up of thousands of keys is one call."""
    keys = [Digest.of(b"%d" % number) for number in range(1234)]
    for key in keys[::2]:
        cache.save(key, CacheRecord(key.short, b""))

    assert {key.short: record.result_id for key, record in cache.lookup(keys).items()} == {
        key.short: key.short for key in keys[::2]
    }


def test_content_memos(cache: CacheBackend) -> None:
    """The content of (source, selector) is the one that was saved last, whatever the selector holds."""
    assert cache.content(KEY, "a") is None
    for selector in ("a", "a\0b", "", "'; --", "é"):
        cache.save_content(KEY, selector, Digest.of(b"old"))
        cache.save_content(KEY, selector, Digest.of(selector.encode()))
    for selector in ("a", "a\0b", "", "'; --", "é"):
        assert cache.content(KEY, selector) == Digest.of(selector.encode())

    assert cache.content(OTHER, "a") is None


def test_memos_fall_with_a_replaced_record(cache: CacheBackend) -> None:
    """A source that ran again has no known content; one whose record is only confirmed keeps it."""
    for source in (KEY, OTHER):
        cache.save(source, CacheRecord("first", b""))
        cache.save_content(source, "a", Digest.of(b"content"))
    cache.save(OTHER, CacheRecord("second", b""))
    cache.save(KEY, CacheRecord("second", b""), replace=True)

    assert cache.content(KEY, "a") is None
    assert cache.content(OTHER, "a") == Digest.of(b"content")


def test_threads(cache: CacheBackend) -> None:
    """Of many threads that save one key all get the same record."""
    stand: list[CacheRecord] = []
    threads = [
        threading.Thread(target=lambda n=n: stand.append(cache.save(KEY, CacheRecord(str(n), b""))))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(stand) == 16
    assert set(stand) == {cache.lookup([KEY])[KEY]}
