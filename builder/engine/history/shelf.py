"""The records of the last builds, and what their steps printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from builder.core.errors import Kind, PybuildError
from builder.engine.history.record import BuildRecord, StepRecord
from builder.store.database import Database, Row
from builder.store.state import StateDir, remove_tree

_KEPT = 200
_KEPT_BYTES = 32 << 20  # of their records; the latest one stays, whatever it has
_LATEST = re.compile(r"latest(?:~(\d{1,6}))?")


def is_age(name: str) -> bool:
    """Whether a name says how old a build is: ``latest``, ``latest~2``."""
    return _LATEST.fullmatch(name) is not None


class BuildNotFound(PybuildError):
    """No recorded build has this name."""

    kind = Kind.NOT_FOUND
    code = "build-not-found"


class BuildAmbiguous(PybuildError):
    """An id's beginning is that of several builds."""

    kind = Kind.CONFLICT
    code = "build-ambiguous"


class BuildShelf:
    """Of each build one row, and a directory of logs if it printed anything."""

    def __init__(self, database: Database, state: StateDir) -> None:
        self._database = database
        self._logs = state.logs

    def put(self, record: BuildRecord) -> None:
        """The oldest records go, and their logs with them."""
        with self._database.transaction():
            self._database.run(
                "INSERT OR REPLACE INTO builds (id, started_at, record) VALUES (?, ?, ?)",
                (record.id, record.started_at, record.encode()),
            )
            gone = self._database.rows(
                "DELETE FROM builds WHERE id IN (SELECT id FROM (SELECT id, count(*) OVER latest AS number,"
                " sum(length(record)) OVER latest AS size FROM builds WINDOW latest AS (ORDER BY started_at"
                " DESC, id)) WHERE number > ? OR (number > 1 AND size > ?)) RETURNING id",
                (_KEPT, _KEPT_BYTES),
            )
        for (build_id,) in gone:
            remove_tree(self._logs / str(build_id))

    def all(self) -> list[BuildRecord]:
        """The latest first."""
        rows = self._database.rows("SELECT id, started_at, record FROM builds ORDER BY started_at DESC, id")
        return [_decoded(row) for row in rows]

    def latest_first(self) -> Iterator[BuildRecord]:
        """The same, each read when it is asked for."""
        ids = self._database.rows("SELECT id FROM builds ORDER BY started_at DESC, id")
        for (build_id,) in ids:
            row = self._database.row("SELECT id, started_at, record FROM builds WHERE id = ?", (build_id,))
            if row is not None:
                yield _decoded(row)

    def find(self, name: str) -> BuildRecord:
        """By id, the beginning of one, ``latest`` or ``latest~N``. Raises BuildNotFound, BuildAmbiguous."""
        latest = _LATEST.fullmatch(name)
        if latest is not None:
            row = self._database.row(
                "SELECT id, started_at, record FROM builds ORDER BY started_at DESC, id LIMIT 1 OFFSET ?",
                (int(latest[1] or 0),),
            )
            if row is None:
                raise BuildNotFound(
                    f'there is no build "{name}"', hint="`pybuild builds ls` lists those that there are"
                )
            return _decoded(row)
        rows = self._database.rows(
            "SELECT id, started_at, record FROM builds WHERE substr(id, 1, ?) = ? LIMIT 2", (len(name), name)
        )
        if not name or not rows:
            raise BuildNotFound(f'there is no build "{name}"', hint="`pybuild builds ls` lists them")
        if len(rows) > 1:
            raise BuildAmbiguous(f'"{name}" begins the ids of several builds', hint="give more of it")
        return _decoded(rows[0])

    def last_runs(self, *, before: BuildRecord) -> dict[str, tuple[str, StepRecord]]:
        """By cache key, the build in which a step last ran to its end, not after ``before``, and the step."""
        found: dict[str, tuple[str, StepRecord]] = {}
        for record in self.all():
            if record.started_at > before.started_at:
                continue
            for step in record.steps:
                if step.status == "done" and step.key is not None:
                    found.setdefault(step.key, (record.id, step))
        return found

    def remove(self, build_id: str) -> None:
        """One build's record and logs, by its whole id."""
        self._database.run("DELETE FROM builds WHERE id = ?", (build_id,))
        remove_tree(self._logs / build_id)

    def logs(self, build_id: str) -> Path:
        """The directory of one build's logs; there is none if no step printed."""
        return self._logs / build_id


def _decoded(row: Row) -> BuildRecord:
    build_id, started_at, data = row
    assert isinstance(build_id, str)
    assert isinstance(started_at, float)
    assert isinstance(data, bytes)
    return BuildRecord.decode(build_id, started_at, data)
