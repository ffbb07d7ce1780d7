"""The JSON of manifests and indexes, as far as we read it; imports msgspec, so import this lazily.

``urls`` of a descriptor is not here on purpose: content comes from the registry that was named, never from
an address that a manifest brings along (CVE-2020-15157).
"""

from __future__ import annotations

import msgspec


class WirePlatform(msgspec.Struct, frozen=True):
    """``platform`` of an index entry."""

    os: str = ""
    architecture: str = ""
    variant: str | None = None


class WireDescriptor(msgspec.Struct, frozen=True, rename="camel"):
    """An OCI descriptor."""

    digest: str
    size: int
    media_type: str = ""
    platform: WirePlatform | None = None
    annotations: dict[str, str] | None = None


class WireDocument(msgspec.Struct, frozen=True, rename="camel"):
    """Every member by which a manifest, an index and Docker's schema 1 are told apart."""

    schema_version: int = 0
    media_type: str | None = None
    config: WireDescriptor | None = None
    layers: list[WireDescriptor] | None = None
    manifests: list[WireDescriptor] | None = None
    fs_layers: list[object] | None = None
    annotations: dict[str, str] | None = None


_DECODER = msgspec.json.Decoder(WireDocument)


def decode(raw: bytes) -> WireDocument:
    """Raises ValueError with the place and the reason."""
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from error
