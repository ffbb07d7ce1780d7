"""npm packages: package.json below node_modules, and what a package-lock.json says of them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

from builder.attest.sbom.files import ImageFiles
from builder.attest.sbom.package import Package
from builder.fs.tree import Entry

_INSTALLED = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/@.][^/]*/package\.json")
_LOCKS = ("package-lock.json", ".package-lock.json", "npm-shrinkwrap.json")
# Parsed, what is hostile takes some twenty times its size.
_JSON_LIMIT = 8 << 20
# What npm lets a name be, and the longer ones of before (validate-npm-package-name).
_NAME = re.compile(r"(?:@[^/\s]{1,214}/)?[^/\s@]{1,214}")


def is_npm_file(path: str) -> bool:
    """Whether a file may tell of packages."""
    name = path.rpartition("/")[2]
    return name in _LOCKS or (name == "package.json" and _INSTALLED.fullmatch(path) is not None)


def npm_packages(files: ImageFiles, entry: Entry) -> Iterator[Package]:
    """One of a package.json, all that a lock file pins."""
    if entry.size > _JSON_LIMIT:
        files.warn(entry.path, f"has {entry.size} bytes and is not read")
        return
    data = files.beginning(entry, _JSON_LIMIT)
    if data is None:
        return
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        files.warn(entry.path, "is no JSON")
        return
    if not isinstance(document, dict):
        files.warn(entry.path, "is no JSON object")
    elif entry.path.endswith("/package.json"):
        package = _package(document.get("name"), document, entry.path)
        if package is not None:
            yield package
    else:
        for name, value in _pinned(document):
            package = _package(name, value, entry.path)
            if package is not None:
                yield package


def _pinned(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and entries of a lock file: a flat table since version 2, a tree before."""
    table = document.get("packages")
    if isinstance(table, dict):
        for path, value in table.items():
            # Without node_modules in it: the project itself, or a folder of it.
            if isinstance(value, dict) and "node_modules/" in path and not value.get("link"):
                yield str(value.get("name") or path.rpartition("node_modules/")[2]), value
        return
    pending = [document]
    while pending:
        below = pending.pop().get("dependencies")
        for name, value in below.items() if isinstance(below, dict) else ():
            if isinstance(value, dict):
                yield name, value
                pending.append(value)


def _package(name: object, value: dict[str, Any], path: str) -> Package | None:
    version = value.get("version")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        return None
    if not isinstance(version, str) or not version or len(version) > 256:
        return None
    scope, slash, short = name.rpartition("/")
    return Package(
        kind="npm",
        namespace=scope if slash else "",
        name=short,
        version=version,
        licenses=tuple(filter(None, [_license(value.get("license"))])),
        homepage=_text(value.get("homepage")),
        sha512=_sha512(value.get("integrity")),
        found_in=path,
    )


def _license(value: object) -> str:
    """A text; an object with one, as long ago."""
    return _text(value.get("type") if isinstance(value, dict) else value)


def _text(value: object) -> str:
    return value[:300] if isinstance(value, str) else ""


def _sha512(integrity: object) -> str:
    """In hex, from ``sha512-BASE64`` (W3C subresource integrity)."""
    for word in _text(integrity).split():
        algorithm, _, text = word.partition("-")
        if algorithm == "sha512":
            try:
                digest = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                continue
            if len(digest) == 64:
                return digest.hex()
    return ""
