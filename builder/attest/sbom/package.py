"""One installed package, as its manager tells of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from builder.attest.purl import purl


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """``kind`` is the purl type: deb, apk, rpm, pypi, npm. What is not known is ""."""

    kind: str
    name: str
    version: str
    namespace: str = ""
    qualifiers: tuple[tuple[str, str], ...] = ()
    licenses: tuple[str, ...] = ()  # as they are written there; all of them hold
    supplier: str = ""
    homepage: str = ""
    sha512: str = ""  # of what was downloaded, in hex
    found_in: str = ""  # the file that told of it, relative to the root of the image

    @property
    def purl(self) -> str:
        """Identity: the same package in two places is one."""
        return purl(self.kind, self.namespace, self.name, self.version, self.qualifiers)

    def completed(self, other: Package) -> Package:
        """With what another file says of the same package, where this one says nothing."""
        return replace(
            self,
            licenses=self.licenses or other.licenses,
            supplier=self.supplier or other.supplier,
            homepage=self.homepage or other.homepage,
            sha512=self.sha512 or other.sha512,
        )
