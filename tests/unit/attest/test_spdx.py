"""The SPDX document of an inventory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.attest.sbom.licenses import Licenses
from builder.attest.sbom.osrelease import Distribution
from builder.attest.sbom.package import Package
from builder.attest.sbom.scan import Found, Inventory
from builder.attest.sbom.spdx import spdx_document
from builder.core.digest import Digest

_GOLDEN = Path(__file__).parents[3] / "testdata/attest/sbom.json"
_IMAGE = Digest.of(b"image")


def inventory() -> Inventory:
    packages = (
        Package(
            kind="deb", namespace="debian", name="libc6", version="2.36-9", qualifiers=(("arch", "amd64"),),
            supplier="GNU Libc <glibc@lists.debian.org>", homepage="https://www.gnu.org/libc.html",
        ),
        Package(kind="npm", namespace="@s", name="b", version="1.0", licenses=("MIT",), sha512="ab" * 64),
        Package(kind="pypi", name="q\udc80", version="2\ud800", licenses=("Own \udcff text",), homepage="file:///x"),
    )  # fmt: skip
    places = ("var/lib/dpkg/status", "app/\udcfc.json")
    found = tuple(Found(package, places) for package in packages)
    return Inventory(Distribution("debian", "12", "Debian 12"), found, ('"/x" cannot be read',))


def document(found: Inventory | None = None, created: str = "2026-01-02T03:04:05.6Z") -> Any:
    made = spdx_document(found or inventory(), _IMAGE, created=created, tool="pybuild-1.0")
    return json.loads(json.dumps(made).encode())


def test_golden(golden: Callable[[Path, str], None]) -> None:
    """The document is what is reviewed."""
    golden(_GOLDEN, json.dumps(document(), indent=1) + "\n")


def test_rules_of_the_specification() -> None:
    """What SPDX 2.3 asks of a document (clauses 6, 7, 10, 11) holds."""
    made = document()
    packages = made["packages"]
    identifiers = [package["SPDXID"] for package in packages]

    assert made["SPDXID"] == "SPDXRef-DOCUMENT"
    assert (made["spdxVersion"], made["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["creationInfo"]["created"])
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", made["documentNamespace"])
    assert len(set(identifiers)) == len(identifiers)
    for package in packages:
        assert re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", package["SPDXID"])
        assert {"name", "downloadLocation", "licenseDeclared", "copyrightText"} < set(package)
        assert package["filesAnalyzed"] is False
        assert re.fullmatch(r"NOASSERTION|(Organization|Person): .+", package.get("supplier", "NOASSERTION"))
    for relationship in made["relationships"]:
        assert relationship["relatedSpdxElement"] in identifiers
    described = [r for r in made["relationships"] if r["relationshipType"] == "DESCRIBES"]
    assert [r["relatedSpdxElement"] for r in described] == ["SPDXRef-Image"]
    texts = {entry["licenseId"]: entry["extractedText"] for entry in made["hasExtractedLicensingInfos"]}
    assert set(texts) == {p["licenseDeclared"] for p in packages if "LicenseRef" in p["licenseDeclared"]}


def test_the_same_is_the_same() -> None:
    """The namespace is that of the content: another time or package has another one."""
    other = Inventory(Distribution(), inventory().packages[:1], ())
    namespaces = [
        made["documentNamespace"]
        for made in (document(), document(), document(created="2026-01-02T03:04:06Z"), document(other))
    ]

    assert namespaces[0] == namespaces[1]
    assert len(set(namespaces)) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "NOASSERTION"),
        ("MIT", "MIT"),
        ("apache-2.0 or mit", "Apache-2.0 OR MIT"),
        ("GPL-2.0-or-later WITH Classpath-exception-2.0", "GPL-2.0-or-later WITH Classpath-exception-2.0"),
        ("(MIT AND (ISC OR Zlib))", "(MIT AND (ISC OR Zlib))"),
        ("MIT AND", "LicenseRef-"),
        ("MIT WITH MIT", "LicenseRef-"),
        ("MIT WITH (MIT)", "LicenseRef-"),
        ("(MIT", "LicenseRef-"),
        ("MIT)", "LicenseRef-"),
        ("MIT ISC", "LicenseRef-"),
        ("Classpath-exception-2.0", "LicenseRef-"),
        ("my own licence", "LicenseRef-"),
        ("MIT OR " * 100 + "MIT", "LicenseRef-"),
    ],
)
def test_licenses(text: str, expected: str) -> None:
    """An expression of known names is one; any other text is kept under a name of its own."""
    licenses = Licenses()
    declared = licenses.declared([text] if text else [])

    assert declared.startswith(expected)
    if expected == "LicenseRef-":
        assert dict(licenses.extracted()) == {declared: text}
    else:
        assert declared == expected
        assert list(licenses.extracted()) == []


def test_licenses_of_parts() -> None:
    """All hold: they are joined, each once, with brackets where there is a choice."""
    licenses = Licenses()

    assert licenses.declared(["MIT", "GPL-2.0-only or ISC", "MIT"]) == "MIT AND (GPL-2.0-only OR ISC)"
    assert licenses.declared(["MIT", "mine"]).startswith("MIT AND LicenseRef-")
