"""The memo of file digests."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from builder.fs.statcache import StatCache, is_settled
from builder.fs.tree import Entry, entry_of

SECOND = 1_000_000_000
DIGEST = hashlib.sha256(b"x").digest()


def entry(**changes: int) -> Entry:
    values = {"size": 1, "mtime_ns": 5 * SECOND + 1, "ctime_ns": 5 * SECOND + 1, "dev": 1, "ino": 2}
    values |= changes
    return Entry(
        "a", "file", 0o644, 0, 0, values["size"], values["mtime_ns"], values["ctime_ns"], 0, values["dev"],
        values["ino"], 1, "/a",
    )  # fmt: skip


def remember(path: Path, found: Entry, observed_ns: int = 9 * SECOND, digest: bytes = DIGEST) -> None:
    with StatCache.open(str(path)) as cache:
        cache.put(found, digest, observed_ns)


def recall(path: Path, *found: Entry) -> list[bytes | None]:
    with StatCache.open(str(path)) as cache:
        return cache.get_many(found)


def test_an_unchanged_file_is_known_in_the_next_process(tmp_path: Path) -> None:
    """Digests survive closing, and are known before it too."""
    path = tmp_path / "cache.sqlite"
    with StatCache.open(str(path)) as cache:
        cache.put(entry(), DIGEST, 9 * SECOND)
        assert cache.get_many([entry()]) == [DIGEST]

    assert recall(path, entry()) == [DIGEST]


@pytest.mark.parametrize("name", ["size", "mtime_ns", "ctime_ns", "dev", "ino"])
def test_any_change_of_the_stat_is_a_miss(tmp_path: Path, name: str) -> None:
    """No part of the stat may differ."""
    path = tmp_path / "cache.sqlite"
    remember(path, entry())
    changed = entry(**{name: entry()._asdict()[name] + 1})

    assert recall(path, changed, entry()) == [None, DIGEST]


@pytest.mark.parametrize("name", ["mtime_ns", "ctime_ns"])
@pytest.mark.parametrize(
    ("stamp", "is_kept"),
    [
        (9 * SECOND - 30_000_000, True),  # 30 ms before: a later write gets a later stamp
        (9 * SECOND - 10_000_000, False),  # perhaps within the tick
        (9 * SECOND + 1, False),  # the clock was set back
        (8 * SECOND - 1, True),
    ],
)
def test_a_file_that_may_change_within_its_tick_is_not_kept(
    tmp_path: Path, name: str, stamp: int, is_kept: bool
) -> None:
    """Only stamps that lie well before the moment of hashing prove that later writes will show."""
    fresh = entry(**{"mtime_ns": SECOND, "ctime_ns": SECOND + 1, name: stamp})
    remember(tmp_path / "cache.sqlite", fresh)

    assert recall(tmp_path / "cache.sqlite", fresh) == [DIGEST if is_kept else None]


def test_whole_seconds_are_not_believed_for_two_seconds() -> None:
    """File systems that keep whole seconds hide edits within one, or two."""
    assert not is_settled(entry(ctime_ns=7 * SECOND), 8 * SECOND)
    assert is_settled(entry(ctime_ns=7 * SECOND + 1), 8 * SECOND)
    assert is_settled(entry(ctime_ns=7 * SECOND), 9 * SECOND + 1)


def test_a_stamp_from_the_future_is_not_believed_when_it_is_read(tmp_path: Path) -> None:
    """After the clock was set back, what was remembered before proves nothing."""
    future = entry(ctime_ns=1 << 62, mtime_ns=1)
    remember(tmp_path / "cache.sqlite", future, observed_ns=(1 << 62) + SECOND)

    assert recall(tmp_path / "cache.sqlite", future) == [None]


def test_a_real_edit_of_the_same_size_and_mtime_is_a_miss(tmp_path: Path) -> None:
    """The kernel's ctime gives away who puts an old mtime back."""
    file = tmp_path / "file"
    file.write_text("one")
    os.utime(file, ns=(SECOND, SECOND))
    before = entry_of("file", str(file), os.lstat(file))
    remember(tmp_path / "cache.sqlite", before, observed_ns=before.ctime_ns + SECOND)
    while os.lstat(file).st_ctime_ns == before.ctime_ns:  # until the clock has ticked
        file.write_text("two")
        os.utime(file, ns=(SECOND, SECOND))
    after = entry_of("file", str(file), os.lstat(file))

    assert (before.size, before.mtime_ns, before.ino) == (after.size, after.mtime_ns, after.ino)
    assert recall(tmp_path / "cache.sqlite", after) == [None]


def test_large_numbers_fit(tmp_path: Path) -> None:
    """Inode numbers use all 64 bits on some file systems, and times may lie before 1970."""
    odd = entry(ino=(1 << 64) - 1, dev=1 << 63, mtime_ns=-5 * SECOND - 1)
    remember(tmp_path / "cache.sqlite", odd)

    assert recall(tmp_path / "cache.sqlite", odd) == [DIGEST]


def test_many_files_are_asked_for_at_once(tmp_path: Path) -> None:
    """More files than one statement takes, with gaps."""
    files = [entry(ino=number) for number in range(2000)]
    with StatCache.open(str(tmp_path / "cache.sqlite")) as cache:
        for found in files[::2]:
            cache.put(found, DIGEST, 9 * SECOND)

    assert recall(tmp_path / "cache.sqlite", *files) == [DIGEST, None] * 1000


@pytest.mark.parametrize(
    "damage", [b"", b"this is no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes) -> None:
    """Nothing is known from a damaged file, and it works again at once."""
    path = tmp_path / "cache.sqlite"
    path.write_bytes(damage)

    assert recall(path, entry()) == [None]
    remember(path, entry())
    assert recall(path, entry()) == [DIGEST]


def test_a_table_of_another_shape_is_made_again(tmp_path: Path) -> None:
    """A file from something else is replaced."""
    path = tmp_path / "cache.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE files (other TEXT)")
    database.close()
    remember(path, entry())

    assert recall(path, entry()) == [DIGEST]


@pytest.mark.parametrize("value", [b"short", "text", 7, "row"])
def test_a_damaged_row_is_a_miss(tmp_path: Path, value: bytes | str | int) -> None:
    """A flipped bit in a row is noticed."""
    path = tmp_path / "cache.sqlite"
    remember(path, entry())
    with sqlite3.connect(path) as database:
        if value == "row":
            row = bytearray(database.execute("SELECT row FROM files").fetchone()[0])
            row[30] ^= 1
            value = bytes(row)
        database.execute("UPDATE files SET row = ?", (value,))
    database.close()

    assert recall(path, entry()) == [None]


def test_a_deleted_file_is_only_a_miss(tmp_path: Path) -> None:
    """The file may go at any time, while it is open too."""
    path = tmp_path / "cache.sqlite"
    with StatCache.open(str(path)) as cache:
        path.unlink()
        cache.put(entry(), DIGEST, 9 * SECOND)
        assert cache.get_many([entry()]) == [DIGEST]
    assert recall(path, entry()) == [None]


def test_a_place_that_cannot_be_written_is_tolerated(tmp_path: Path) -> None:
    """Without a file the cache knows what it was told since."""
    with StatCache.open(str(tmp_path / "no" / "such" / "directory")) as cache:
        cache.put(entry(), DIGEST, 9 * SECOND)
        assert cache.get_many([entry(), entry(ino=3)]) == [DIGEST, None]


def test_threads_share_a_cache(tmp_path: Path) -> None:
    """Reads and writes from several threads neither fail nor get lost."""
    path = tmp_path / "cache.sqlite"
    wrong: list[object] = []
    with StatCache.open(str(path)) as cache:

        def work(start: int) -> None:
            for number in range(start, start + 50):
                cache.put(entry(ino=number), DIGEST, 9 * SECOND)
                if cache.get_many([entry(ino=number)]) != [DIGEST]:
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 400, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []
    assert recall(path, *(entry(ino=number) for number in range(400))) == [DIGEST] * 400


def test_a_busy_file_loses_only_what_was_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that writes does not make a build fail."""
    monkeypatch.setattr("builder.fs.statcache._BUSY_TIMEOUT_S", 0.0)
    path = tmp_path / "cache.sqlite"
    remember(path, entry())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    remember(path, entry(ino=9))
    other.execute("ROLLBACK")
    other.close()

    assert recall(path, entry(), entry(ino=9)) == [DIGEST, None]
