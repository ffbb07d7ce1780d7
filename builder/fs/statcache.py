"""A memo of file digests by stat data, so that an unchanged file is not read again.

One SQLite file that may be deleted at any time and is made again when it is damaged. A miss means only that
a file is read. What must never happen is a stale hit, hence:

- The key is device and inode; size, mtime and ctime must all be equal. The kernel sets ctime on every write
  and users cannot set it back.
- Time stamps advance in ticks. A file whose newest stamp lies less than a safe margin before the moment at
  which it was about to be hashed may be written again within the same tick, so its digest is not stored
  (git's "racy" rule). A stamp in the future says nothing at all: the clock was set back.
- Each row carries a checksum, because a damaged page may still parse.

Writers of several processes exclude each other for one transaction at close; whoever finds the file busy
drops what it learned.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence

from builder.fs.tree import Entry

# The kernel stamps inodes with its coarse clock, which advances with the timer interrupt: 1 to 10 ms
# (CONFIG_HZ 1000 to 100); twice that covers a stamp taken just before a tick.
_MARGIN_NS = 20_000_000
# Stamps without a sub-second part come from a file system that may keep whole seconds, or two (FAT).
_COARSE_MARGIN_NS = 2_000_000_000
_MAX_FILE_SIZE = 256 << 20
_CHUNK = 400  # below SQLite's oldest limit on variables, 999
_BUSY_TIMEOUT_S = 1.0

_KEY = struct.Struct(">QQ")  # big-endian: files of one directory tend to lie together
_STAMP = struct.Struct(">Qqq")
_ROW = struct.Struct(">24s32sI")
_U64 = (1 << 64) - 1


class StatCache:
    """Digests by stat data; safe to use from several threads."""

    def __init__(self, path: str, database: sqlite3.Connection | None) -> None:
        self._path = path
        self._database = database
        self._lock = threading.Lock()
        self._fresh: dict[bytes, bytes] = {}

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str) -> Iterator[StatCache]:
        """Creates the file if needed; where that fails (read-only disk), it remembers for this block only."""
        cache = cls(path, _open(path))
        try:
            yield cache
        finally:
            cache.close()

    def get_many(self, entries: Sequence[Entry]) -> list[bytes | None]:
        """The sha256 (32 bytes) of each regular file, None where it has to be read."""
        keys = [_key(entry) for entry in entries]
        with self._lock:
            rows = {key: self._fresh[key] for key in keys if key in self._fresh}
            missing = [key for key in keys if key not in rows]
            for at in range(0, len(missing), _CHUNK):
                self._load(missing[at : at + _CHUNK], rows)
        now = time.time_ns()
        return [
            _digest_in(rows[key], key, entry) if key in rows and is_settled(entry, now) else None
            for key, entry in zip(keys, entries, strict=True)
        ]

    def put(self, entry: Entry, digest: bytes, observed_ns: int) -> None:
        """Remember the sha256 of a file's bytes.

        ``observed_ns`` is ``time.time_ns()`` from before the file was opened; ``entry`` holds the stat that
        was the same before and after reading. Does nothing if the file is too fresh to be trusted.
        """
        if is_settled(entry, observed_ns):
            key, stamp = _key(entry), _stamp(entry)
            with self._lock:
                self._fresh[key] = _ROW.pack(stamp, digest, zlib.crc32(key + stamp + digest))

    def close(self) -> None:
        """Write what was learned, in one transaction."""
        with self._lock:
            if self._database is None:
                return
            try:
                if self._fresh:
                    with self._database:
                        self._database.executemany(
                            "INSERT OR REPLACE INTO files VALUES (?, ?)", sorted(self._fresh.items())
                        )
            except sqlite3.OperationalError:
                pass  # busy or a full disk: the next build reads these files again
            except sqlite3.DatabaseError:
                _remove(self._path)
            finally:
                self._database.close()
                self._database = None

    def _load(self, keys: list[bytes], into: dict[bytes, bytes]) -> None:
        if self._database is None or not keys:
            return
        # The casts: a damaged file may hold text. Only question marks are put into the statement.
        marks = ",".join("?" * len(keys))
        query = f"SELECT CAST(key AS BLOB), CAST(row AS BLOB) FROM files WHERE key IN ({marks})"  # noqa: S608
        with contextlib.suppress(sqlite3.DatabaseError):
            into.update(self._database.execute(query, keys))


def is_settled(entry: Entry, now_ns: int) -> bool:
    """Whether a write after ``now_ns`` must give the file another time stamp than it has."""
    margin = _COARSE_MARGIN_NS if entry.ctime_ns % 1_000_000_000 == 0 else _MARGIN_NS
    return entry.ctime_ns < now_ns - margin and entry.mtime_ns < now_ns - margin


def _key(entry: Entry) -> bytes:
    return _KEY.pack(entry.dev & _U64, entry.ino & _U64)


def _stamp(entry: Entry) -> bytes:
    return _STAMP.pack(entry.size, entry.mtime_ns, entry.ctime_ns)


def _digest_in(row: bytes, key: bytes, entry: Entry) -> bytes | None:
    stamp = _stamp(entry)
    if len(row) != _ROW.size or not row.startswith(stamp):
        return None
    digest = row[_STAMP.size : -4]
    return digest if row.endswith(zlib.crc32(key + stamp + digest).to_bytes(4, "big")) else None


def _open(path: str) -> sqlite3.Connection | None:
    with contextlib.suppress(OSError):
        if os.path.getsize(path) > _MAX_FILE_SIZE:
            _remove(path)
    for _ in range(2):
        database = None
        try:
            database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
            # No write needs to outlive a crash, and damage is found out.
            database.execute("PRAGMA synchronous = OFF")
            database.execute(
                "CREATE TABLE IF NOT EXISTS files (key BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID"
            )
            database.execute("SELECT key, row FROM files LIMIT 1").fetchall()
        except sqlite3.DatabaseError as error:
            if database is not None:
                database.close()
            if isinstance(error, sqlite3.OperationalError) and "no such column" not in str(error):
                return None  # busy, or a place where nothing can be written
            _remove(path)
        else:
            return database
    return None


def _remove(path: str) -> None:
    for name in (path, f"{path}-journal"):
        with contextlib.suppress(OSError):
            os.unlink(name)
