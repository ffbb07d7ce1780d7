"""The database: transactions, threads, processes that open it at once, and errors for people."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from builder.core.errors import Kind
from builder.store.database import Database, StoreFailed
from tests.support.killing import kills, other_process

INSERT = "INSERT INTO refs (name, image, updated_at) VALUES (?, '', 0)"


def names(database: Database) -> list[object]:
    return [row[0] for row in database.rows("SELECT name FROM refs ORDER BY name")]


def insert_all(database: Database, values: Sequence[str]) -> None:
    with database.transaction():
        for value in values:
            database.run(INSERT, (value,))


def insert_and_fail(database: Database, value: str) -> None:
    with database.transaction():
        database.run(INSERT, (value,))
        raise KeyError


def test_rows_stay(tmp_path: Path) -> None:
    """What was written is there when the database is opened again."""
    with Database.open(tmp_path / "db") as database:
        assert database.run(INSERT, ("a",)) == 1
    with Database.open(tmp_path / "db") as database:
        assert names(database) == ["a"]
        assert database.row("SELECT name FROM refs WHERE name = 'b'") is None


def test_older_store_gets_new_columns(tmp_path: Path) -> None:
    """One that was made by the first version, once, and with all that it holds."""
    with Database.open(tmp_path / "db") as database:
        for column in ("clamp_of", "clamp_s", "content_size"):
            database.run("DROP INDEX IF EXISTS snapshots_by_clamp")
            database.run(f"ALTER TABLE snapshots DROP COLUMN {column}")
        database.run(
            "INSERT INTO snapshots (name, parent, depth, is_ready, created_at) VALUES ('a', '', 1, 1, 0)"
        )
        database.run("ALTER TABLE records DROP COLUMN used_at")
        database.run("PRAGMA user_version = 0")
    for _ in range(2):
        with Database.open(tmp_path / "db") as database:
            assert database.rows("SELECT name, clamp_of, clamp_s FROM snapshots") == [("a", None, None)]


def test_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """An error inside a block undoes what the block did, and nothing else."""
    with Database.open(tmp_path / "db") as database:
        database.run(INSERT, ("before",))
        with pytest.raises(KeyError):
            insert_and_fail(database, "inside")
        database.run(INSERT, ("later",))

        assert names(database) == ["before", "later"]


def test_transactions_nest(tmp_path: Path) -> None:
    """A block inside a block is part of it: the outer one's end decides."""
    with Database.open(tmp_path / "db") as database, Database.open(tmp_path / "db") as other:
        with database.transaction():
            with database.transaction():
                database.run(INSERT, ("inner",))
            assert names(other) == []
        assert names(other) == ["inner"]
        with pytest.raises(KeyError), database.transaction(), database.transaction():
            insert_and_fail(database, "undone")

        assert names(other) == ["inner"]


def test_failed_statement_leaves_a_usable_database(tmp_path: Path) -> None:
    """After an error inside a transaction the next one works."""
    with Database.open(tmp_path / "db") as database:
        with pytest.raises(StoreFailed):
            insert_all(database, ["twice", "twice"])
        with database.transaction():
            database.run(INSERT, ("once",))

        assert names(database) == ["once"]


def test_threads_take_turns(tmp_path: Path) -> None:
    """A thread sees nothing of another's half-done transaction."""
    with Database.open(tmp_path / "db") as database:
        database.run(INSERT, ("0",))
        seen = []

        def work() -> None:
            for _ in range(50):
                with database.transaction():
                    count = len(names(database))
                    database.run(INSERT, (f"a{count}",))
                    database.run(INSERT, (f"b{count}",))
                seen.append(count % 2)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert seen == [1] * 200
        assert len(names(database)) == 401


def test_many_processes_open_it_at_once(tmp_path: Path) -> None:
    """The first command of a new store may be eight commands."""
    for turn in range(5):
        path = tmp_path / f"db{turn}"

        def work(say: Callable[[bytes], None], wait: Callable[[], None], path: Path = path) -> None:
            say(b"ready")
            wait()
            with Database.open(path) as database:
                database.run(INSERT, (str(os.getpid()),))

        with ExitStack() as stack:
            others = [stack.enter_context(other_process(work)) for _ in range(8)]
            for other in others:
                assert other.wait() == b"ready"
            for other in others:
                other.order()
            assert [other.join() for other in others] == [0] * 8
        with Database.open(path) as database:
            assert len(names(database)) == 8


def test_killed_anywhere(tmp_path: Path) -> None:
    """A transaction whose process dies never happened, or happened whole."""

    def work() -> None:
        with Database.open(tmp_path / "db") as database, database.transaction():
            database.run("DELETE FROM refs")
            for name in "abc":
                database.run(INSERT, (name,))

    seen = set()
    for _ in kills(tmp_path, work):
        with Database.open(tmp_path / "db") as database:
            seen.add(tuple(names(database)))
            assert database.row("PRAGMA integrity_check") == ("ok",)

    assert seen == {()}
    with Database.open(tmp_path / "db") as database:
        assert names(database) == ["a", "b", "c"]


def test_no_database_is_an_error_for_people(tmp_path: Path) -> None:
    """A file that is no database, or a place where none can be, is told with a hint."""
    (tmp_path / "text").write_text("this is no database at all\n" * 100)
    for path in (tmp_path / "text", tmp_path / "absent/db"):
        with pytest.raises(StoreFailed) as caught, Database.open(path):
            pass

        assert caught.value.kind is Kind.UNAVAILABLE
        assert caught.value.hint is not None


def test_full_disk_is_an_error_for_people(tmp_path: Path) -> None:
    """What SQLite refuses is undone and told, and what was there before stays."""
    with Database.open(tmp_path / "db") as database:
        database.run(INSERT, ("before",))
        (pages,) = database.rows("PRAGMA page_count")[0]
        database.rows(f"PRAGMA max_page_count = {int(str(pages))}")
        with pytest.raises(StoreFailed) as caught:
            insert_all(database, [f"{number:1000}" for number in range(1000)])

        assert "full" in caught.value.message
        assert names(database) == ["before"]
    assert sqlite3.connect(tmp_path / "db").execute("SELECT count(*) FROM refs").fetchone() == (1,)


def test_many_processes_may_make_it_at_once(tmp_path: Path) -> None:
    """Whoever comes first sets a new database up, and nobody is told that it is locked."""
    for round_ in range(20):
        directory = tmp_path / str(round_)
        directory.mkdir()
        starter, start = os.pipe()
        children = [_open_on(starter, start, directory / "db") for _ in range(5)]
        os.close(starter)
        os.close(start)

        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 5


def _open_on(starter: int, start: int, path: Path) -> int:
    """A child that opens the database when the pipe is closed; it exits 0 if that went well."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(start)
            os.read(starter, 1)
            with Database.open(path) as database:
                database.rows("SELECT * FROM records")
            code = 0
        finally:
            os._exit(code)
    return child
