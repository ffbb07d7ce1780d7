"""Alpine packages: /lib/apk/db/installed, records of one-letter fields."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from builder.attest.sbom.files import ImageFiles
from builder.attest.sbom.osrelease import Distribution
from builder.attest.sbom.package import Package

# Alpine 3.22 with a merged /usr has it below usr.
_PLACES = ("lib/apk/db/installed", "usr/lib/apk/db/installed")


def apk_packages(files: ImageFiles, distribution: Distribution) -> Iterator[Package]:
    """Installed packages; a database that two paths lead to is read once."""
    entries = {entry.path: entry for place in _PLACES if (entry := files.lookup(place)) is not None}
    for path in entries:
        data = files.read(path)
        if data is None:
            continue
        for fields in _records(data):
            name, version = fields.get("P", ""), fields.get("V", "")
            if not name or not version:
                files.warn(path, "has a record without a package or its version")
                continue
            yield Package(
                kind="apk",
                namespace=distribution.id or "alpine",
                name=name,
                version=version,
                qualifiers=(
                    ("arch", fields.get("A", "")),
                    ("distro", distribution.qualifier),
                    ("upstream", fields.get("o", "") if fields.get("o") != name else ""),
                ),
                licenses=tuple(filter(None, [fields.get("L", "")])),
                supplier=fields.get("m", ""),
                homepage=fields.get("U", ""),
                found_in=path,
            )


def _records(data: bytes) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    for raw in BytesIO(data):
        if not raw.strip():
            if fields:
                yield fields
            fields = {}
        elif raw[1:2] == b":":
            # Lists of files follow, with the same letters again.
            fields.setdefault(raw[:1].decode("latin-1"), raw[2:1002].decode("utf-8", "replace").strip())
    if fields:
        yield fields
