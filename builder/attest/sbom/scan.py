"""All cataloguers over one tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from builder.attest.sbom.apk import apk_packages
from builder.attest.sbom.dpkg import dpkg_packages
from builder.attest.sbom.files import ImageFiles
from builder.attest.sbom.npm import is_npm_file, npm_packages
from builder.attest.sbom.osrelease import Distribution, distribution_of
from builder.attest.sbom.package import Package
from builder.attest.sbom.python import is_python_metadata, python_package
from builder.attest.sbom.rpm import rpm_packages
from builder.fs.tree import Tree

_PACKAGES_LIMIT = 50_000
_PLACES_LIMIT = 5  # of one package, that are told


class Found(NamedTuple):
    """A package, and the first few files that told of it."""

    package: Package
    places: tuple[str, ...]


class Inventory(NamedTuple):
    """What is installed in a tree, sorted by purl; ``warnings`` say what is missing."""

    distribution: Distribution
    packages: tuple[Found, ...]
    warnings: tuple[str, ...]


def scan(tree: Tree, check: Callable[[], object] = lambda: None) -> Inventory:
    """The same tree gives the same inventory. ``check`` is called often, and may raise to end it."""
    files = ImageFiles(tree, check)
    distribution = distribution_of(files)
    found: dict[str, Package] = {}
    places: dict[str, dict[str, None]] = {}
    for package in _all(files, distribution):
        purl = package.purl
        if purl not in found and len(found) >= _PACKAGES_LIMIT:
            files.warn(
                package.found_in, f"and what follows is not listed: more than {_PACKAGES_LIMIT} packages"
            )
            break
        found[purl] = found[purl].completed(package) if purl in found else package
        known = places.setdefault(purl, {})
        if len(known) < _PLACES_LIMIT:
            known[package.found_in] = None
    packages = tuple(Found(found[purl], tuple(places[purl])) for purl in sorted(found))
    return Inventory(distribution, packages, files.warnings)


def _all(files: ImageFiles, distribution: Distribution) -> Iterator[Package]:
    by_system: Iterable[Iterator[Package]] = (
        dpkg_packages(files, distribution),
        apk_packages(files, distribution),
        rpm_packages(files, distribution),
    )
    for packages in by_system:
        yield from packages
    for entry in files.walk():
        is_python = is_python_metadata(entry.path)
        if not is_python and not is_npm_file(entry.path):
            continue
        # Some installers link files from a store of theirs.
        found = files.lookup(entry.path) if entry.kind == "symlink" else entry
        if found is None or found.kind != "file":
            continue
        if not is_python:
            yield from npm_packages(files, found)
        elif (package := python_package(files, found)) is not None:
            yield package
