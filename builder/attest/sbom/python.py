"""Python distributions: METADATA of dist-info folders, PKG-INFO of egg-info ones."""

from __future__ import annotations

import re

from builder.attest.sbom.fields import paragraphs
from builder.attest.sbom.files import ImageFiles
from builder.attest.sbom.package import Package
from builder.fs.tree import Entry

_NAMES = re.compile(
    r"(?:.*/)?(?:EGG-INFO/PKG-INFO|[^/]+(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|\.egg-info))"
)
# The fields come first, then the description.
_HEAD = 1 << 18


def is_python_metadata(path: str) -> bool:
    """Whether a file may describe a distribution."""
    return path.endswith(("/METADATA", "/PKG-INFO", ".egg-info")) and _NAMES.fullmatch(path) is not None


def python_package(files: ImageFiles, entry: Entry) -> Package | None:
    """What one of these files tells."""
    data = files.beginning(entry, _HEAD)
    fields = next(paragraphs(data or b""), {})
    name, version = fields.get("name", ""), fields.get("version", "")
    if not name or not version:
        if data is not None:
            files.warn(entry.path, "has no name or no version")
        return None
    license = _known(fields.get("license-expression") or _short(fields.get("license", "")))
    return Package(
        kind="pypi",
        # The form in which an index knows it.
        name=re.sub(r"[-_.]+", "-", name).lower(),
        version=version,
        licenses=tuple(filter(None, [license])),
        supplier=_known(fields.get("author", "")),
        homepage=_known(fields.get("home-page", "")),
        found_in=entry.path,
    )


def _short(license: str) -> str:
    """Some have the whole text there."""
    return license if len(license) < 100 else ""


def _known(value: str) -> str:
    """Old setuptools wrote UNKNOWN."""
    return "" if value == "UNKNOWN" else value
