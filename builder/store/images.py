"""Images and the names that people gave them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.reference import InvalidReference, Reference
from builder.store.database import Database, Row, text
from builder.store.interface import Image, ImageNotFound
from builder.store.leases import Lease

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_COLUMNS = "id, snapshot, created_at"


class AmbiguousImage(PybuildError):
    """A short id fits several images."""

    kind = Kind.CONFLICT
    code = "ambiguous-image"


class LocalImageStore:
    """See ImageStore."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease

    def add(self, id: Digest, snapshot: str, *, created_at: float) -> Image:
        """See ImageStore."""
        self._lease.hold(str(id))
        self._database.run(
            "INSERT INTO images (id, snapshot, created_at) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET snapshot = excluded.snapshot",
            (str(id), snapshot, created_at),
        )
        return Image(id, snapshot, created_at)

    def find(self, name: str) -> Image:
        """See ImageStore."""
        try:
            found = self.by_reference(Reference.parse(name))
        except InvalidReference:
            if _ID.fullmatch(name) is None:
                raise
            found = None
        return found or self._by_id(name)

    def by_reference(self, reference: Reference) -> Image | None:
        """See ImageStore."""
        if reference.digest is not None:
            repository = f"{reference.domain}/{reference.path}"
            return self._one(
                f"SELECT {_COLUMNS} FROM images WHERE id = (SELECT image FROM manifests"  # noqa: S608 (constant)
                " WHERE repository = ? AND digest = ?)",
                repository, str(reference.digest),
            )  # fmt: skip
        return self._one(
            f"SELECT {_COLUMNS} FROM images WHERE id = (SELECT image FROM refs WHERE name = ?)",  # noqa: S608 (constant)
            str(reference.with_default_tag()),
        )

    def get(self, id: Digest) -> Image | None:
        """See ImageStore."""
        return self._one(f"SELECT {_COLUMNS} FROM images WHERE id = ?", str(id))  # noqa: S608 (constant)

    def tag(self, reference: Reference, id: Digest, platforms: Sequence[Digest] = ()) -> None:
        """See ImageStore."""
        name = str(reference.with_default_tag())
        with self._database.transaction():
            self._database.run(
                "INSERT INTO refs (name, image, updated_at) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET image = excluded.image, updated_at = excluded.updated_at",
                (name, str(id), time.time()),
            )
            self._set_platforms(name, platforms)

    def attest(self, id: Digest, index: Digest | None) -> None:
        """See ImageStore."""
        if index is None:
            self._database.run("DELETE FROM attested WHERE image = ?", (str(id),))
            return
        self._database.run(
            "INSERT OR REPLACE INTO attested (image, digest) VALUES (?, ?)", (str(id), str(index))
        )

    def attested(self, id: Digest) -> Digest | None:
        """See ImageStore."""
        row = self._database.row("SELECT digest FROM attested WHERE image = ?", (str(id),))
        return Digest.parse(text(row[0])) if row else None

    def untag(self, reference: Reference) -> bool:
        """See ImageStore."""
        name = _name(reference)
        with self._database.transaction():
            self._set_platforms(name, ())
            if reference.digest is not None:
                return bool(
                    self._database.run(
                        "DELETE FROM manifests WHERE repository = ? AND digest = ?",
                        (reference.repository, str(reference.digest)),
                    )
                )
            return bool(self._database.run("DELETE FROM refs WHERE name = ?", (name,)))

    def platforms_of(self, reference: Reference) -> list[Image]:
        """See ImageStore."""
        with self._lease.touching():
            rows = self._database.rows(
                "SELECT id, snapshot, created_at FROM platforms JOIN images ON id = image"
                " WHERE name = ? ORDER BY position",
                (_name(reference),),
            )
            return [self._held(row) for row in rows]

    def parts(self) -> dict[Digest, list[str]]:
        """See ImageStore."""
        found: dict[Digest, list[str]] = {}
        for image, name in self._database.rows("SELECT image, name FROM platforms ORDER BY image, name"):
            found.setdefault(Digest.parse(text(image)), []).append(text(name))
        return found

    def add_manifest(
        self, reference: Reference, manifest: Digest, id: Digest, platforms: Sequence[Digest] = ()
    ) -> None:
        """See ImageStore."""
        with self._database.transaction():
            self._database.run(
                "INSERT INTO manifests (repository, digest, image) VALUES (?, ?, ?)"
                " ON CONFLICT (repository, digest) DO UPDATE SET image = excluded.image",
                (reference.repository, str(manifest), str(id)),
            )
            self._set_platforms(f"{reference.repository}@{manifest}", platforms)

    def manifests_of(self, id: Digest) -> list[tuple[str, Digest]]:
        """See ImageStore."""
        rows = self._database.rows(
            "SELECT repository, digest FROM manifests WHERE image = ? ORDER BY repository, digest", (str(id),)
        )
        return [(text(repository), Digest.parse(text(digest))) for repository, digest in rows]

    def names_of(self, id: Digest) -> list[str]:
        """See ImageStore."""
        return [
            text(r[0])
            for r in self._database.rows("SELECT name FROM refs WHERE image = ? ORDER BY name", (str(id),))
        ]

    def tagged_at(self, id: Digest) -> float | None:
        """See ImageStore."""
        row = self._database.row("SELECT max(updated_at) FROM refs WHERE image = ?", (str(id),))
        return float(row[0]) if row and row[0] is not None else None

    def all(self) -> list[Image]:
        """See ImageStore."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM images ORDER BY created_at DESC, id")  # noqa: S608 (constant)
        return [_image(row) for row in rows]

    def delete(self, id: Digest) -> None:
        """See ImageStore."""
        with self._database.transaction():
            for statement in (
                "DELETE FROM platforms WHERE image = ?",
                "DELETE FROM platforms WHERE name IN (SELECT name FROM refs WHERE image = ?)",
                "DELETE FROM platforms WHERE name IN"
                " (SELECT repository || '@' || digest FROM manifests WHERE image = ?)",
                "DELETE FROM attested WHERE image = ?",
                "DELETE FROM refs WHERE image = ?",
                "DELETE FROM manifests WHERE image = ?",
                "DELETE FROM images WHERE id = ?",
            ):
                self._database.run(statement, (str(id),))

    def _set_platforms(self, name: str, images: Sequence[Digest]) -> None:
        self._database.run("DELETE FROM platforms WHERE name = ?", (name,))
        for position, image in enumerate(images):
            self._database.run(
                "INSERT INTO platforms (name, position, image) VALUES (?, ?, ?)", (name, position, str(image))
            )

    def _one(self, statement: str, *values: str) -> Image | None:
        with self._lease.touching():
            row = self._database.row(statement, values)
            return self._held(row) if row else None

    def _held(self, row: Row) -> Image:
        """What was asked for by name is going to be used."""
        image = _image(row)
        self._lease.hold(str(image.id))
        self._lease.hold(image.snapshot)
        return image

    def _by_id(self, name: str) -> Image:
        match = _ID.fullmatch(name)
        if match is None:
            raise ImageNotFound(name)
        low = f"sha256:{match[1]}"
        with self._lease.touching():
            rows = self._database.rows(
                f"SELECT {_COLUMNS} FROM images WHERE id >= ? AND id < ? LIMIT 2",  # noqa: S608 (constant)
                (low, low + "g"),
            )
            images = [self._held(row) for row in rows]
        if len(images) > 1:
            raise AmbiguousImage(
                f'"{name}" is the beginning of several image ids', hint="give more of its digits"
            )
        if not images:
            raise ImageNotFound(name)
        return images[0]


def _name(reference: Reference) -> str:
    """As the table of platforms has it."""
    if reference.digest is not None:
        return f"{reference.repository}@{reference.digest}"
    return str(reference.with_default_tag())


def _image(row: Row) -> Image:
    return Image(Digest.parse(text(row[0])), text(row[1]), float(row[2] or 0))
