"""Blobs on disk, under the paths of an OCI layout."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from builder.core.digest import Digest, DigestMismatch
from builder.core.job import Cancel
from builder.store.interface import BlobNotFound
from builder.store.polling import poll_until
from builder.store.state import StateDir, locked_file

_numbers = itertools.count()


class LocalContentStore:
    """A ContentStore in a state directory."""

    def __init__(self, state: StateDir) -> None:
        self._state = state

    def path(self, digest: Digest) -> Path:
        """Where a blob lies or would lie."""
        # Digest.parse has checked the hex, so it cannot name anything else.
        return self._state.root / "content-v1/blobs" / digest.algorithm / digest.hex

    def open(self, digest: Digest) -> BinaryIO:
        """See ContentStore."""
        try:
            with self._state.lease.touching(str(digest)):
                return open(self.path(digest), "rb")
        except FileNotFoundError as error:
            raise BlobNotFound(digest) from error

    def read(self, digest: Digest) -> bytes:
        """A small blob, whole."""
        with self.open(digest) as blob:
            return blob.read()

    def size(self, digest: Digest) -> int | None:
        """See ContentStore."""
        try:
            with self._state.lease.touching(str(digest)):
                return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def writer(self) -> Iterator[LocalBlobWriter]:
        """See ContentStore."""
        scratch = self._state.scratch / f"blob-{next(_numbers)}"
        with open(scratch, "x+b") as file:
            try:
                yield LocalBlobWriter(self, scratch, file)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(scratch)

    @contextlib.contextmanager
    def resumed(self, digest: Digest, cancel: Cancel) -> Iterator[LocalBlobWriter | None]:
        """See ContentStore."""
        path = self._state.partial / f"{digest.algorithm}-{digest.hex}"
        with contextlib.ExitStack() as stack:
            file: BinaryIO | None = None

            def is_mine_or_there() -> bool:
                nonlocal file
                if self.size(digest) is None:
                    with contextlib.ExitStack() as attempt:
                        file = attempt.enter_context(locked_file(path))
                        if file is not None:
                            stack.push(attempt.pop_all())
                return file is not None or self.size(digest) is not None

            poll_until(is_mine_or_there, cancel)
            if self.size(digest) is not None:
                if file is not None:  # it came before the lock, which made an empty file
                    path.unlink(missing_ok=True)
                yield None
                return
            assert file is not None, "whoever need not wait has the lock"
            try:
                yield LocalBlobWriter(self, path, file)
            except (DigestMismatch, OSError):
                # Wrong bytes are of no use, and on a full disk others need the space more.
                path.unlink(missing_ok=True)
                raise

    def put(self, data: bytes) -> Digest:
        """See ContentStore."""
        digest = Digest.of(data)
        if self.size(digest) != len(data):
            with self.writer() as writer:
                writer.write(data)
                writer.commit(expected=digest)
        return digest

    def publish(self, scratch: Path, digest: Digest) -> None:
        """For writers: a blob appears."""
        with self._state.lease.touching(str(digest)):
            os.rename(scratch, self.path(digest))

    def link(self, digest: Digest, origin: LocalContentStore) -> None:
        """Have a blob of another store on the same file system, without a copy. Raises BlobNotFound."""
        try:
            with self._state.lease.touching(str(digest)):
                os.link(origin.path(digest), self.path(digest))
        except FileNotFoundError as error:
            raise BlobNotFound(digest) from error

    def delete(self, digest: Digest) -> None:
        """See ContentStore."""
        self.path(digest).unlink(missing_ok=True)


class LocalBlobWriter:
    """See BlobWriter."""

    def __init__(self, store: LocalContentStore, scratch: Path, file: BinaryIO) -> None:
        self._store = store
        self._scratch = scratch
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def known(self) -> Iterator[bytes]:
        """See ResumedWriter."""
        self._file.seek(0)
        while data := self._file.read(1 << 20):
            self._hash.update(data)
            self._size += len(data)
            yield data

    def write(self, data: bytes) -> int:
        """See BlobWriter."""
        self._hash.update(data)
        self._size += len(data)
        self._file.write(data)
        return len(data)

    def commit(self, *, expected: Digest | None = None) -> tuple[Digest, int]:
        """See BlobWriter."""
        digest = Digest("sha256", self._hash.hexdigest())
        if expected is not None and expected != digest:
            raise DigestMismatch(expected, digest, what="blob")
        self._file.flush()
        self._store.publish(self._scratch, digest)
        return digest, self._size
