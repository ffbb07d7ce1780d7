"""Everything that a build reads from outside goes through here, and is written down.

The list is what decides whether a later build can be answered from its record: replaying it must find the
same files, the same absences, the same names behind the same references.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builder.core.digest import Digest
from builder.core.secretnames import looks_secret

if TYPE_CHECKING:
    from builder.fs.contenthash import ContentRecord


class Seen(NamedTuple):
    """One outside input.

    ``kind``: file, absent, directory, environment, reference, url, commit, input, secret, version.
    """

    kind: str
    name: str
    value: str


class Recorder:
    """Reads files, names and the environment, and remembers what it saw. Thread-safe."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], Seen] = {}

    def read_file(self, path: Path) -> bytes | None:
        """The bytes of a file; None if there is none. Raises OSError for anything else."""
        try:
            with open(path, "rb") as file:
                st = os.fstat(file.fileno())
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            self.note("absent", str(path), "")
            return None
        self.note(
            "file", str(path), f"{st.st_dev} {st.st_ino} {st.st_size} {st.st_mtime_ns} {st.st_ctime_ns}"
        )
        return data

    def environment(self, name: str) -> str | None:
        """An environment variable of the caller."""
        value = self._environ.get(name)
        if value is None:
            said = "unset"
        elif looks_secret(name):
            said = str(Digest.of(value.encode("utf-8", "surrogateescape")))
        else:
            said = f"={value}"
        self.note("environment", name, said)
        return value

    def note(self, kind: str, name: str, value: str) -> None:
        """Something was read elsewhere: a reference that led to a digest, a directory's fingerprint."""
        with self._lock:
            self._seen[kind, name] = Seen(kind, name, value)

    def note_tree(self, root: str, record: ContentRecord) -> None:
        """What was read of a directory of the user: a fingerprint for each directory in it."""
        from builder.fs.fingerprint import fingerprints

        for directory, fingerprint in fingerprints(record).items():
            self.note("directory", f"{root}/{directory}" if directory else root, fingerprint)

    def seen(self) -> list[Seen]:
        """What was read so far, in the order of reading."""
        with self._lock:
            return list(self._seen.values())
