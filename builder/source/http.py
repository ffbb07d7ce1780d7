"""Files of the web: pinned to a digest, asked for again in each build, fetched when they changed."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from builder.core.digest import Digest, DigestMismatch
from builder.core.events import StepProgress
from builder.core.job import Job
from builder.core.weburl import shown
from builder.source.interface import FilePin, Locked, RemoteFile, SourceChanged, nothing_locked, seconds_of
from builder.source.secrets import has_secret, secret_line
from builder.store.interface import Rows

if TYPE_CHECKING:  # imports urllib3 when it is made
    from builder.registry.interface import WebClient

MAX_SIZE = 32 << 30  # bytes of one file
# A time of change is only a proof where the file was left alone since (RFC 9110, section 8.8.2.2).
_SETTLED_S = 60.0
_KEPT = 2000  # addresses that are remembered; the oldest go

_SCHEMA = """
CREATE TABLE IF NOT EXISTS urls (       -- what a server said of a file: a hint, asked again in each build
    url TEXT PRIMARY KEY,               -- the sha256 of the address, which may hold a key to the file
    etag TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    is_settled INTEGER NOT NULL,        -- 1: last_modified is old enough to tell one version from the next
    digest TEXT NOT NULL,
    used_at REAL NOT NULL
) WITHOUT ROWID
"""


class _Known(NamedTuple):
    etag: str
    last_modified: str
    is_settled: bool
    digest: Digest

    def conditions(self) -> Mapping[str, str]:
        """Empty: nothing that could be asked about."""
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.last_modified} if self.is_settled else {}


class _Fetched(NamedTuple):
    pin: FilePin
    path: Path | None  # None: not fetched in this build


class HttpFiles:
    """See FileSource. ``note(address, digest)`` is told what was found."""

    def __init__(
        self,
        web: Callable[[], WebClient],
        rows: Rows,
        scratch: Path,
        note: Callable[[str, str], object],
        *,
        limit: int = MAX_SIZE,
        locked: Locked = nothing_locked,
    ) -> None:
        self._open_web = web
        self._rows = rows
        self._scratch = scratch
        self._note = note
        self._limit = limit
        self._locked = locked
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._fetched: dict[str, _Fetched] = {}
        self._numbers = itertools.count()

    def pin(self, file: RemoteFile, step: str, job: Job) -> FilePin:
        """See FileSource."""
        if file.checksum is not None:
            self._note(shown(file.url), str(file.checksum))
            return FilePin(file.checksum)
        locked = self._locked(shown(file.url))
        if locked is not None:
            self._note(shown(file.url), locked)
            return FilePin(Digest.parse(locked))
        with self._one(file.url):
            found = self._fetched.get(file.url)
            if found is None:
                found = self._fetched[file.url] = self._ask(file.url, step, job)
                self._note(shown(file.url), str(found.pin.digest))
            return found.pin

    def take(self, file: RemoteFile, pin: FilePin, step: str, job: Job) -> tuple[Path, FilePin]:
        """See FileSource."""
        with self._one(file.url):
            found = self._fetched.get(file.url)
            if found is None or found.path is None or found.pin.digest != pin.digest:
                found = self._get(file.url, {}, step, job)
                assert found is not None, "a request without a condition has a body"
            path = found.path
            assert path is not None
            self._fetched[file.url] = _Fetched(found.pin, None)
            if found.pin.digest == pin.digest:
                return path, found.pin
            path.unlink()
        if file.checksum is not None:
            raise DigestMismatch(file.checksum, found.pin.digest, what=f'"{shown(file.url)}"')
        if self._locked(shown(file.url)) is not None:
            raise SourceChanged(
                f'"{shown(file.url)}" is not the file that was locked',
                hint="look at what changed, then pybuild lock --update with that address",
            )
        raise SourceChanged(
            f'"{shown(file.url)}" changed during the build', hint="build again, or pin it with --checksum"
        )

    def key_names(self, file: RemoteFile, job: Job) -> tuple[str, ...]:
        """See FileSource."""
        return tuple(name for name in _secret_names(file.url) if has_secret(job, name))[:1]

    @cached_property
    def _web(self) -> WebClient:
        return self._open_web()

    # -- requests -------------------------------------------------------------------------------------------

    def _ask(self, url: str, step: str, job: Job) -> _Fetched:
        known = self._known(url)
        conditions = known.conditions() if known is not None else {}
        if known is not None and conditions:
            headers = {**_login(url, job), **conditions}
            answer = self._web.head(url, headers, cancel=job.cancel)
            # Some servers know no conditions, and still say by its tag that it is the same file.
            is_same = answer is not None and known.etag != "" and answer.headers.get("ETag") == known.etag
            if answer is not None and (answer.status == 304 or is_same):
                self._remember(url, known)
                return _Fetched(FilePin(known.digest, known.last_modified), None)
        found = self._get(url, conditions, step, job)
        if found is None:
            assert known is not None, "only a request with a condition is answered by 304"
            self._remember(url, known)
            return _Fetched(FilePin(known.digest, known.last_modified), None)
        return found

    def _get(self, url: str, conditions: Mapping[str, str], step: str, job: Job) -> _Fetched | None:
        """None: the server says that it is the file that is known."""
        path = self._scratch / f"url-{next(self._numbers)}"
        hasher = hashlib.sha256()
        with open(path, "xb") as file:

            def begin() -> Callable[[bytes], object]:
                nonlocal hasher
                hasher = hashlib.sha256()
                file.seek(0)
                file.truncate()
                return write

            def write(data: bytes) -> None:
                hasher.update(data)
                file.write(data)

            def progress(current: int, total: int) -> None:
                job.progress.emit(StepProgress(step, shown(url), current, total, "B", time.time()))

            try:
                answer = self._web.get(
                    url,
                    {**_login(url, job), **conditions},
                    begin,
                    limit=self._limit,
                    progress=progress,
                    cancel=job.cancel,
                )
            except BaseException:
                os.unlink(path)
                raise
        if answer.status == 304:
            os.unlink(path)
            return None
        headers = answer.headers
        known = _Known(
            headers.get("ETag", ""),
            headers.get("Last-Modified", ""),
            _is_settled(headers),
            Digest.from_hash(hasher),
        )
        self._remember(url, known)
        return _Fetched(FilePin(known.digest, known.last_modified), path)

    def _one(self, url: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(url, threading.Lock())

    # -- what is known from before --------------------------------------------------------------------------

    def _known(self, url: str) -> _Known | None:
        with self._rows.transaction():
            self._rows.run(_SCHEMA)
        rows = self._rows.rows(
            "SELECT etag, last_modified, is_settled, digest FROM urls WHERE url = ?", (_row_name(url),)
        )
        if not rows:
            return None
        etag, last_modified, is_settled, digest = rows[0]
        return _Known(str(etag), str(last_modified), bool(is_settled), Digest.parse(str(digest)))

    def _remember(self, url: str, known: _Known) -> None:
        with self._rows.transaction():
            self._rows.run(_SCHEMA)
            self._rows.run(
                "INSERT OR REPLACE INTO urls VALUES (?, ?, ?, ?, ?, ?)",
                (
                    _row_name(url),
                    known.etag,
                    known.last_modified,
                    int(known.is_settled),
                    str(known.digest),
                    time.time(),
                ),
            )
            self._rows.run(
                "DELETE FROM urls WHERE url NOT IN (SELECT url FROM urls ORDER BY used_at DESC LIMIT ?)",
                (_KEPT,),
            )


def _is_settled(headers: Mapping[str, str]) -> bool:
    changed, now = seconds_of(headers.get("Last-Modified", "")), seconds_of(headers.get("Date", ""))
    return changed is not None and now is not None and now - changed >= _SETTLED_S


def _row_name(url: str) -> str:
    return Digest.of(url.encode("utf-8", "surrogateescape")).hex


def _secret_names(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"HTTP_AUTH_HEADER_{host}", f"HTTP_AUTH_TOKEN_{host}"


def _login(url: str, job: Job) -> Mapping[str, str]:
    header, token = _secret_names(url)
    value = secret_line(job, header)
    if value is None:
        key = secret_line(job, token)
        value = None if key is None else f"Bearer {key}"
    return {} if value is None else {"Authorization": value}
