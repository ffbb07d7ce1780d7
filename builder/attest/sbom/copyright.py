"""Licences of Debian packages: the short names of a copyright file in Debian's format (DEP 5)."""

from __future__ import annotations

import re

from builder.attest.sbom.fields import paragraphs
from builder.attest.sbom.files import ImageFiles

_LIMIT = 1 << 20
_NAMES_LIMIT = 50
_LENGTH_LIMIT = 120  # of a name; some have the text itself there
# Debian's names for what SPDX calls otherwise (DEP 5, "License specification").
_SPDX = {
    "expat": "MIT", "artistic": "Artistic-1.0-Perl", "zlib/libpng": "Zlib", "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause", "apache-2": "Apache-2.0", "cc0": "CC0-1.0", "python": "Python-2.0",
    "mpl-1": "MPL-1.0", "mpl-2": "MPL-2.0", "gpl-1": "GPL-1.0-only", "gpl-1+": "GPL-1.0-or-later",
}  # fmt: skip
_GNU = re.compile(r"((?:A|L)?GPL|GFDL)-?v?(\d)(?:\.(\d))?(\+?)", re.IGNORECASE)


def debian_licenses(files: ImageFiles, package: str) -> tuple[str, ...]:
    """What the parts of a package are under, sorted; () where no machine can tell."""
    path = f"usr/share/doc/{package}/copyright"
    entry = files.lookup(path)
    data = files.beginning(entry, _LIMIT) if entry is not None and entry.kind == "file" else None
    if data is None or not data.lstrip().lower().startswith(b"format:"):
        return ()
    found: dict[str, None] = {}
    for fields in paragraphs(data, is_first_line_only=True):
        name = fields.get("license", "")
        if "files" in fields and name and len(name) <= _LENGTH_LIMIT:
            found[spdx_name(name)] = None
    return tuple(sorted(found)) if len(found) <= _NAMES_LIMIT else ()


def spdx_name(text: str) -> str:
    """An expression in Debian's names with SPDX's, word by word."""
    return " ".join(_word(word) for word in text.replace(",", " ").split())


def _word(word: str) -> str:
    known = _SPDX.get(word.lower())
    if known is not None:
        return known
    gnu = _GNU.fullmatch(word)
    if gnu is None:
        return word
    family, major, minor, later = gnu.groups()
    return f"{family.upper()}-{major}.{minor or 0}-{'or-later' if later else 'only'}"
