"""RPM packages: the SQLite database that rpm has had since 4.16. Older forms are named, and not read."""

from __future__ import annotations

from collections.abc import Iterator

from builder.attest.sbom import rpmheader
from builder.attest.sbom.files import ImageFiles
from builder.attest.sbom.osrelease import Distribution
from builder.attest.sbom.package import Package
from builder.attest.sbom.rpmheader import BrokenHeader, RpmHeader
from builder.fs.tree import Entry

_FOLDERS = ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
_SQLITE, _NDB, _BDB = "rpmdb.sqlite", "Packages.db", "Packages"
_HEADER_LIMIT = 32 << 20  # bytes
# A database may hold a view that never ends: about a second of SQLite's steps for each header.
_STEPS_LIMIT = 20_000_000
_PACKAGES_LIMIT = 100_000
# Keys of who may sign are kept in the same table.
_KEYS = "gpg-pubkey"


def rpm_packages(files: ImageFiles, distribution: Distribution) -> Iterator[Package]:
    """Installed packages; a database that two paths lead to is read once."""
    folders = {entry.path: None for folder in _FOLDERS if (entry := files.lookup(folder)) is not None}
    for folder in folders:
        for name, form in ((_NDB, "ndb"), (_BDB, "Berkeley DB")):
            if files.lookup(f"{folder}/{name}") is not None:
                files.warn(f"{folder}/{name}", f"is a database of rpm in the form {form}, which is not read")
        database = files.lookup(f"{folder}/{_SQLITE}")
        if database is None:
            continue
        log = files.lookup(f"{database.path}-wal")
        if log is not None and log.size:
            files.warn(log.path, "holds changes that are not read")
        yield from _packages(files, database, distribution)


def _packages(files: ImageFiles, database: Entry, distribution: Distribution) -> Iterator[Package]:
    for blob in _blobs(files, database):
        try:
            header = RpmHeader.parse(blob)
        except BrokenHeader as error:
            files.warn(database.path, f"has a broken header: {error}")
            continue
        name = header.get(rpmheader.NAME)
        if name and name != _KEYS:
            yield Package(
                kind="rpm",
                namespace=distribution.id or "redhat",
                name=name,
                version=header.version,
                qualifiers=(
                    ("arch", header.get(rpmheader.ARCH)),
                    ("distro", distribution.qualifier),
                    ("epoch", header.get(rpmheader.EPOCH)),
                    ("upstream", header.get(rpmheader.SOURCE_RPM)),
                ),
                licenses=tuple(filter(None, [header.get(rpmheader.LICENSE)])),
                supplier=header.get(rpmheader.VENDOR),
                homepage=header.get(rpmheader.URL),
                found_in=database.path,
            )


def _blobs(files: ImageFiles, database: Entry) -> Iterator[bytes]:
    """The headers in a database that may be anything: nothing but reading, and that within bounds."""
    import sqlite3

    with files.opened(database) as descriptor:
        if descriptor is None:
            return
        # Immutable: without a lock, a journal or a file beside it in the image's own directory.
        address = f"file:/proc/self/fd/{descriptor}?mode=ro&immutable=1"
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _HEADER_LIMIT)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.set_authorizer(_only_reading)
            connection.set_progress_handler(lambda: 1, _STEPS_LIMIT)
            rows = connection.execute("SELECT blob FROM Packages ORDER BY hnum LIMIT ?", (_PACKAGES_LIMIT,))
            for (blob,) in rows:
                if isinstance(blob, bytes):
                    yield blob
        except (sqlite3.Error, OverflowError) as error:
            files.warn(database.path, f"cannot be read: {error}")
        finally:
            connection.close()


def _only_reading(action: int, *_: str | None) -> int:
    import sqlite3

    allowed = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
    return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY
