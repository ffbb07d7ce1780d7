"""An inventory as an SPDX 2.3 document (spdx.github.io/spdx-spec/v2.3), in JSON."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from builder.attest.sbom.licenses import UNKNOWN, Licenses
from builder.attest.sbom.osrelease import Distribution
from builder.attest.sbom.package import Package
from builder.attest.sbom.scan import Found, Inventory
from builder.core.digest import Digest

PREDICATE_TYPE = "https://spdx.dev/Document"
FILE_NAME = "sbom.spdx.json"
_DOCUMENT = "SPDXRef-DOCUMENT"
_IMAGE = "SPDXRef-Image"
_SYSTEM = "SPDXRef-OperatingSystem"
_MAIL = re.compile(r"\s*<([^<>]*)>")
_SUPPLIER_LIMIT = 200


def spdx_document(inventory: Inventory, image: Digest, *, created: str, tool: str) -> Mapping[str, Any]:
    """``image`` is its id, ``created`` RFC 3339, ``tool`` a name and a version: ``pybuild-1.2``.

    What the cataloguers could not read is in the comment of the creation.
    """
    licenses = Licenses()
    packages = [_image(image), *_system(inventory.distribution)]
    identifiers: list[str] = []
    for found in inventory.packages:
        listed = _package(found, licenses)
        packages.append(listed)
        identifiers.append(listed["SPDXID"])
    creation: dict[str, Any] = {"created": _seconds(created), "creators": [f"Tool: {tool}"]}
    if inventory.warnings:
        creation["comment"] = "incomplete: " + "; ".join(inventory.warnings)
    related = [_relationship(_DOCUMENT, "DESCRIBES", _IMAGE)]
    if len(packages) - len(identifiers) > 1:
        identifiers.insert(0, _SYSTEM)
    related += [_relationship(_IMAGE, "CONTAINS", identifier) for identifier in identifiers]
    document: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": str(image),
        "documentNamespace": "",
        "creationInfo": creation,
        "packages": packages,
        "relationships": related,
    }
    extracted = [{"licenseId": name, "extractedText": text} for name, text in licenses.extracted()]
    if extracted:
        document["hasExtractedLicensingInfos"] = extracted
    # Unique for what it says, and the same whenever that is the same.
    content = Digest.of(json.dumps(document, sort_keys=True).encode())
    document["documentNamespace"] = f"urn:uuid:{uuid.UUID(hex=content.hex[:32], version=5)}"
    return document


def _image(image: Digest) -> dict[str, Any]:
    return {
        "SPDXID": _IMAGE,
        "name": "image",
        "versionInfo": str(image),
        "primaryPackagePurpose": "CONTAINER",
        **_UNSTATED,
        "licenseDeclared": UNKNOWN,
    }


def _system(distribution: Distribution) -> list[dict[str, Any]]:
    if not distribution.id:
        return []
    document = {
        "SPDXID": _SYSTEM,
        "name": distribution.id,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        **_UNSTATED,
        "licenseDeclared": UNKNOWN,
    }
    if distribution.version:
        document["versionInfo"] = distribution.version
    if distribution.name:
        document["summary"] = distribution.name
    return [document]


_UNSTATED = {
    "downloadLocation": UNKNOWN,
    "filesAnalyzed": False,
    "licenseConcluded": UNKNOWN,
    "copyrightText": UNKNOWN,
}


def _package(found: Found, licenses: Licenses) -> dict[str, Any]:
    package = found.package
    document: dict[str, Any] = {
        "SPDXID": _identifier(package),
        "name": _full_name(package),
        "versionInfo": package.version,
        "supplier": _supplier(package.supplier),
        "sourceInfo": f"found in {', '.join('/' + place for place in found.places)}",
        **_UNSTATED,
        "licenseDeclared": licenses.declared(package.licenses),
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl,
            }
        ],
    }
    if package.homepage.startswith(("https://", "http://")) and not set(package.homepage) & set(" \t<>\"'"):
        document["homepage"] = package.homepage
    if package.sha512:
        document["checksums"] = [{"algorithm": "SHA512", "checksumValue": package.sha512}]
    return _clean(document)


def _identifier(package: Package) -> str:
    """Letters, digits, dots and hyphens only, so that a digest tells apart what looks alike then."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{package.kind}-{package.name}-{package.version}")[:100]
    return f"SPDXRef-Package-{plain}-{Digest.of(package.purl.encode()).hex[:16]}"


def _full_name(package: Package) -> str:
    return (
        f"{package.namespace}/{package.name}" if package.kind == "npm" and package.namespace else package.name
    )


def _supplier(text: str) -> str:
    """``Name <mail>`` in SPDX's form; whether it is a person nobody says, and most are teams."""
    text = _MAIL.sub(r" (\1)", " ".join(text.split()))[:_SUPPLIER_LIMIT].strip()
    return f"Organization: {text}" if text else UNKNOWN


def _clean(document: dict[str, Any]) -> dict[str, Any]:
    """Without what JSON readers choke on: names of files that are no UTF-8."""
    return {
        key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in document.items()
    }


def _seconds(time: str) -> str:
    """SPDX has no fractions of seconds."""
    return re.sub(r"\.\d+", "", time)


def _relationship(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
