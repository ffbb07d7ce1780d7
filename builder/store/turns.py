"""Turns: of all the builds on a store, one runs a step; the others wait until that one is over.

::

    turns-v1/KEY       flock: exclusive, by whoever runs the step of that cache key; its text names the holder

The lock is the kernel's and ends with its process, however that ends. Whoever has a turn waits for no other:
a step takes it when its inputs are there, and takes cache mounts, in their own order, after it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from io import FileIO
from pathlib import Path

from builder.core.digest import Digest
from builder.core.job import Cancel
from builder.store.polling import poll_until
from builder.store.state import StateDir, is_still, try_lock


class LocalTurn:
    """See Turn."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path = path
        self._file = file

    def close(self) -> None:
        """See Turn."""
        if not self._file.closed:
            self._path.unlink(missing_ok=True)
            self._file.close()


class LocalTurns:
    """See Turns."""

    def __init__(self, state: StateDir) -> None:
        self._directory = state.turns

    def take(self, key: Digest, holder: str) -> LocalTurn | None:
        """See Turns."""
        path = self._directory / key.hex
        while True:
            file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
            if not try_lock(file.fileno()):
                file.close()
                return None
            if is_still(file.fileno(), path):
                break
            file.close()  # whoever had it has taken it away since
        file.truncate(0)
        file.write(holder.encode("utf-8", "backslashreplace"))
        return LocalTurn(path, file)

    def holder(self, key: Digest) -> str:
        """See Turns."""
        try:
            return (self._directory / key.hex).read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def wait(self, key: Digest, cancel: Cancel) -> None:
        """See Turns."""
        poll_until(lambda: self._is_free(key), cancel)

    def sweep(self) -> None:
        """Take away the files of holders that were killed."""
        for name in os.listdir(self._directory):
            path = self._directory / name
            with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
                if try_lock(file.fileno()) and is_still(file.fileno(), path):
                    path.unlink()

    def _is_free(self, key: Digest) -> bool:
        try:
            descriptor = os.open(self._directory / key.hex, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            # Shared: who waits must not look like who runs it to the others that wait.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True
