"""The one database: schema, transactions, and how SQLite's errors reach people."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.core.errors import Kind, PybuildError

Value = str | int | float | bytes | None
Row = tuple[Value, ...]

CACHE_MOUNTS_TABLE = """
CREATE TABLE IF NOT EXISTS cache_mounts (
    identity TEXT PRIMARY KEY,        -- caches-v1/identity
    id TEXT NOT NULL,                 -- namespace/id, as the Dockerfile has it
    created_at REAL NOT NULL,
    used_at REAL NOT NULL
) WITHOUT ROWID;
"""

LAYER_FORMS_TABLE = """
CREATE TABLE IF NOT EXISTS layer_forms (  -- layers as they were packed to leave, so that none is packed twice
    diff_id TEXT NOT NULL,            -- of the layer
    packer TEXT NOT NULL,             -- gzip/isal-1.9.1/1: equal packers make equal bytes
    digest TEXT NOT NULL,             -- of the blob that it made
    size INTEGER NOT NULL,
    plain TEXT NOT NULL,              -- the digest of what the blob unpacks to: diff_id, but for eStargz
    annotations TEXT NOT NULL,        -- of the descriptor, a JSON object
    PRIMARY KEY (diff_id, packer)
) WITHOUT ROWID;
"""

_PLATFORMS = """
CREATE TABLE IF NOT EXISTS platforms (   -- the images of a name that stands for several, in their order
    name TEXT NOT NULL,               -- as in refs, or repository@digest as in manifests
    position INTEGER NOT NULL,
    image TEXT NOT NULL,
    PRIMARY KEY (name, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS platforms_by_image ON platforms (image);
"""

_LISTINGS = """
CREATE TABLE IF NOT EXISTS listings (     -- what contents were computed from (fs/listing.py)
    content TEXT PRIMARY KEY,
    data BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listing_users (
    content TEXT NOT NULL,
    key TEXT NOT NULL,                -- of a record that has it among its inputs
    PRIMARY KEY (content, key)
) WITHOUT ROWID;
"""

_SIZES = """
CREATE TABLE IF NOT EXISTS sizes (   -- on disk, of what never changes once it is there: a memo
    path TEXT PRIMARY KEY,            -- snapshots-v1/NAME
    size INTEGER NOT NULL
) WITHOUT ROWID;
"""

_ATTESTED = """
CREATE TABLE IF NOT EXISTS attested (   -- images of which something is said
    image TEXT PRIMARY KEY,
    digest TEXT NOT NULL              -- of the index that holds their manifests, and the statements
) WITHOUT ROWID;
"""

_CLAMP_INDEX = (
    "CREATE INDEX IF NOT EXISTS snapshots_by_clamp ON snapshots (clamp_of) WHERE clamp_of IS NOT NULL;"
)
# What later versions added to tables that a store may have already, by the user_version that has it.
_ADDED = {
    1: f"""
ALTER TABLE snapshots ADD COLUMN clamp_of TEXT;
ALTER TABLE snapshots ADD COLUMN clamp_s INTEGER;
{_CLAMP_INDEX}
""",
    2: _PLATFORMS,
    3: _LISTINGS,
    4: f"{_SIZES} ALTER TABLE records ADD COLUMN used_at REAL;",
    5: "ALTER TABLE snapshots ADD COLUMN content_size INTEGER;",
    6: _ATTESTED,
}
_VERSION = max(_ADDED)

_SCHEMA = f"""
{CACHE_MOUNTS_TABLE}
{LAYER_FORMS_TABLE}
{_PLATFORMS}
{_LISTINGS}
{_SIZES}
{_ATTESTED}
CREATE TABLE IF NOT EXISTS snapshots (
    name TEXT PRIMARY KEY,
    parent TEXT NOT NULL,             -- '' is the empty tree
    depth INTEGER NOT NULL,
    is_ready INTEGER NOT NULL,        -- 1: snapshots-v1/name exists; 0: unpack the blob first
    is_flat INTEGER NOT NULL DEFAULT 0,
    diff_id TEXT, chain_id TEXT,      -- NULL until somebody asks
    tar_size INTEGER,                 -- of the tar that diff_id is of, where it can be made again
    blob TEXT, media_type TEXT, blob_size INTEGER,  -- the stored form of a layer that came from elsewhere
    origin TEXT,                      -- the repository that the blob can be fetched from
    created_at REAL NOT NULL,
    same_as TEXT,                     -- the snapshot whose directory this one shows over another parent
    clamp_of TEXT, clamp_s INTEGER,   -- the snapshot whose layer this one is, with no time after clamp_s
    content_size INTEGER              -- the bytes of its files, once somebody asked
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS snapshots_by_chain ON snapshots (chain_id) WHERE chain_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS snapshots_by_parent ON snapshots (parent);
{_CLAMP_INDEX}
CREATE TABLE IF NOT EXISTS images (
    id TEXT PRIMARY KEY,              -- the digest of the config
    snapshot TEXT NOT NULL,
    created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refs (
    name TEXT PRIMARY KEY,            -- docker.io/library/busybox:latest
    image TEXT NOT NULL,
    updated_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS manifests (  -- images as registries know them
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    image TEXT NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    key TEXT PRIMARY KEY,
    result TEXT NOT NULL,
    inputs BLOB NOT NULL,
    created_at REAL NOT NULL,
    used_at REAL                      -- to the hour; NULL: not since it was made
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (   -- (source key, selector) -> content digest: a memo, no part of a key
    source TEXT NOT NULL,
    selector TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (source, selector)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parses (
    key BLOB PRIMARY KEY,
    value BLOB NOT NULL,
    used_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    image TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    description BLOB NOT NULL,
    created_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS builds (
    id TEXT PRIMARY KEY,
    started_at REAL NOT NULL,
    record BLOB NOT NULL
) WITHOUT ROWID;
"""


# Of the primary codes, and of I/O errors those of writing, resizing and mapping a file (sqlite3.h).
_NO_SPACE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMOPEN,
    }
)


class StoreFailed(PybuildError):
    """The database, or the disk below it, refused."""

    kind = Kind.UNAVAILABLE
    code = "store-failed"


class Database:
    """One connection, shared by the threads of this process; statements are serialised."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[Database]:
        """Raises StoreFailed."""
        with _translated():
            # isolation_level None: transactions are ours; 60 s: another build may hold the write lock.
            connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            with _translated():
                # Kill safety comes from the journal; power loss may cost the newest records, not consistency.
                connection.execute("PRAGMA synchronous=NORMAL")
                with _alone(path.parent):
                    # The change to WAL does not wait for others, whatever the timeout: "database is locked".
                    connection.execute("PRAGMA journal_mode=WAL")
                    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                        connection.executescript(
                            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
                        )
                    _add_columns(connection)
            yield cls(connection)
        finally:
            connection.close()

    def rows(self, statement: str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows of a query."""
        with self._lock, _translated():
            return self._connection.execute(statement, values).fetchall()

    def row(self, statement: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query."""
        found = self.rows(statement, values)
        return found[0] if found else None

    def run(self, statement: str, values: Sequence[Value] = ()) -> int:
        """A statement that changes something; the number of rows changed."""
        with self._lock, _translated():
            return self._connection.execute(statement, values).rowcount

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; blocks of one thread nest. Holds the database's write lock."""
        with self._lock:
            if self._depth == 0:
                with _translated():
                    self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.rollback()
                raise
            self._depth -= 1
            if self._depth == 0:
                try:
                    with _translated():
                        self._connection.execute("COMMIT")
                except BaseException:
                    self._connection.rollback()
                    raise


def _add_columns(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number in range(version + 1, _VERSION + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {_ADDED[number]} PRAGMA user_version = {number}; COMMIT;")


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One process at a time that sets the database up."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        # Errors of the module itself have no code. SQLite says "disk I/O error" where not even its
        # shared-memory file can grow.
        if is_full(error):
            raise StoreFailed(
                f"the store's database cannot grow: no space left on the disk, or a bad one ({error})",
                hint="free some space, or give another --root; nothing was lost",
            ) from error
        raise StoreFailed(
            f"the store's database failed: {error}", hint="look at the permissions of the state directory"
        ) from error


def is_full(error: BaseException) -> bool:
    """Whether SQLite had no room to write."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) in _NO_SPACE


def text(value: Value) -> str:
    """A column that the schema says is text."""
    assert isinstance(value, str)
    return value
