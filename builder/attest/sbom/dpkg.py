"""Debian packages: /var/lib/dpkg/status, and the folder status.d of images without dpkg (distroless)."""

from __future__ import annotations

from collections.abc import Iterator

from builder.attest.sbom.copyright import debian_licenses
from builder.attest.sbom.fields import paragraphs
from builder.attest.sbom.files import ImageFiles
from builder.attest.sbom.osrelease import Distribution
from builder.attest.sbom.package import Package

_STATUS = "var/lib/dpkg/status"
_FOLDER = "var/lib/dpkg/status.d"


def dpkg_packages(files: ImageFiles, distribution: Distribution) -> Iterator[Package]:
    """What is installed; what was removed and left its configuration behind is not."""
    data = files.read(_STATUS) if files.lookup(_STATUS) is not None else None
    if data is not None:
        yield from _packages(files, data, _STATUS, distribution)
    for entry in files.children(_FOLDER):
        if entry.kind == "file" and not entry.path.endswith(".md5sums"):
            data = files.read(entry.path)
            if data is not None:
                yield from _packages(files, data, entry.path, distribution)


def _packages(files: ImageFiles, data: bytes, path: str, distribution: Distribution) -> Iterator[Package]:
    for fields in paragraphs(data):
        state = fields.get("status", "install ok installed").split()
        if state[-1:] != ["installed"]:
            continue
        name, version = fields.get("package", ""), fields.get("version", "")
        if not name or not version:
            files.warn(path, "has a paragraph without a package or its version")
            continue
        yield Package(
            kind="deb",
            namespace=distribution.id or "debian",
            name=name,
            version=version,
            qualifiers=(
                ("arch", fields.get("architecture", "")),
                ("distro", distribution.qualifier),
                ("upstream", _upstream(fields.get("source", ""))),
            ),
            licenses=debian_licenses(files, name),
            supplier=fields.get("maintainer", ""),
            homepage=fields.get("homepage", ""),
            found_in=path,
        )


def _upstream(source: str) -> str:
    """``glibc (2.36-9)`` as ``glibc@2.36-9``: the source package, which security notices speak of."""
    name, bracket, version = source.partition(" (")
    return f"{name}@{version.rstrip(')')}" if bracket else name
