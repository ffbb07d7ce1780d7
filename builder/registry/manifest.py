"""Manifests and indexes: bytes to values, and which manifest of an index fits a platform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from builder.core.descriptor import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest, InvalidDigest
from builder.core.errors import Kind, PybuildError
from builder.core.platform import Platform
from builder.registry.words import printable

if TYPE_CHECKING:
    from builder.registry import wire

# What servers send when they do not know what they have; the document then speaks for itself.
_GENERIC = frozenset({"", "application/json", "application/octet-stream", "text/plain", "text/json"})
_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+"


class InvalidManifest(PybuildError):
    """Bytes that should be a manifest or an index are not, or could be read in two ways."""

    kind = Kind.CORRUPT
    code = "invalid-manifest"


class UnsupportedManifest(PybuildError):
    """A manifest of a kind that is no container image, or that is too old."""

    kind = Kind.UNSUPPORTED
    code = "unsupported-manifest"


class NoMatchingPlatform(PybuildError):
    """The image is not published for the platform that was asked for."""

    kind = Kind.NOT_FOUND
    code = "no-matching-platform"

    def __init__(self, wanted: Platform, available: tuple[Platform, ...]) -> None:
        names = ", ".join(dict.fromkeys(printable(str(p), 50) for p in available[:50])) or "none"
        super().__init__(
            f'there is no image for "{wanted}"; it is published for {names}',
            hint="choose one of these with --platform",
        )
        self.wanted = wanted
        self.available = available


class Manifest(NamedTuple):
    """One image for one platform: its config and its layers, base first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()


class Index(NamedTuple):
    """A list of manifests, for several platforms."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()


def parse_manifest(raw: bytes, media_type: str = "") -> Index | Manifest:
    """``media_type`` is what the server or the descriptor called it; "" and generic types prove nothing.

    A document that could be taken for both kinds, or that contradicts its media type, is refused
    (CVE-2021-41190). Raises InvalidManifest or UnsupportedManifest.
    """
    from builder.registry import wire

    announced = media_type.partition(";")[0].strip().lower()
    try:
        document = wire.decode(raw)
    except ValueError as error:
        raise InvalidManifest(f"the manifest is not valid: {printable(str(error))}") from error
    _refuse_other_kinds(document, announced)
    kind = _settle_media_type(document, announced)
    try:
        if kind in INDEXES:
            entries = tuple(_descriptor(d) for d in document.manifests or ())
            return Index(kind, entries, _annotations(document.annotations))
        assert document.config is not None
        layers = tuple(_descriptor(d) for d in document.layers or ())
        return Manifest(kind, _descriptor(document.config), layers, _annotations(document.annotations))
    except InvalidDigest as error:
        raise InvalidManifest(f"the manifest names a bad digest: {printable(error.message)}") from error


def choose(index: Index, platform: Platform) -> Descriptor:
    """The entry that fits best: the platform itself, then what its processor also runs, as containerd has it.

    An entry without a platform is the last resort. The result may be an index again. Attestations and
    other artifacts are passed over. Raises NoMatchingPlatform.
    """
    entries = [d for d in index.manifests if _is_image(d)]
    for wanted in _acceptable(platform):
        for entry in entries:
            if entry.platform is not None and wanted.matches(entry.platform):
                return entry
    for entry in entries:
        if entry.platform is None:
            return entry
    raise NoMatchingPlatform(platform, tuple(d.platform for d in entries if d.platform is not None))


def _refuse_other_kinds(document: wire.WireDocument, announced: str) -> None:
    if announced.startswith(_SCHEMA1) or document.schema_version == 1 or document.fs_layers is not None:
        raise UnsupportedManifest(
            "the image has a manifest of Docker's schema 1, which has no verifiable content",
            hint="push the image again with a current Docker, or ask its publisher to",
        )
    if announced not in _GENERIC | INDEXES | MANIFESTS:
        raise UnsupportedManifest(
            f'"{printable(announced, 100)}" is not the media type of a container image',
            hint="the name leads to an artifact of another kind, such as a chart or a signature",
        )
    if document.schema_version != 2:
        raise InvalidManifest(f"the manifest has schemaVersion {document.schema_version} instead of 2")


def _settle_media_type(document: wire.WireDocument, announced: str) -> str:
    has_image_members = document.config is not None or document.layers is not None
    if document.manifests is not None and has_image_members:
        raise InvalidManifest("the document is a manifest and an index at once")
    if document.manifests is None and document.config is None:
        raise InvalidManifest("the document is neither a manifest nor an index")
    own = document.media_type or ""
    if own and announced not in _GENERIC and own != announced:
        names = (printable(announced, 100), printable(own, 100))
        raise InvalidManifest('the server calls the manifest "{}" and it calls itself "{}"'.format(*names))
    if own and own not in INDEXES | MANIFESTS:
        raise UnsupportedManifest(f'"{printable(own, 100)}" is not the media type of a container image')
    is_index = document.manifests is not None
    kind = own or (announced if announced not in _GENERIC else OCI_INDEX if is_index else OCI_MANIFEST)
    if is_index != (kind in INDEXES):
        raise InvalidManifest(f'the content of the manifest does not fit its media type "{kind}"')
    return kind


def _descriptor(value: wire.WireDescriptor) -> Descriptor:
    if not 0 <= value.size < 1 << 63:
        raise InvalidManifest(f"the manifest names content of {value.size} bytes")
    platform = None
    if value.platform is not None and (value.platform.os or value.platform.architecture):
        variant = value.platform.variant or ""
        # As Platform.parse has it: v8 is what arm64 means anyway.
        if value.platform.architecture == "arm64" and variant in ("v8", "8"):
            variant = ""
        platform = Platform(value.platform.os, value.platform.architecture, variant)
    return Descriptor(
        media_type=value.media_type,
        digest=Digest.parse(value.digest),
        size=value.size,
        platform=platform,
        annotations=_annotations(value.annotations),
    )


def _annotations(value: dict[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((value or {}).items()))


def _is_image(entry: Descriptor) -> bool:
    if entry.media_type not in MANIFESTS | INDEXES:
        return False
    # BuildKit attaches provenance and SBOMs as manifests for this platform.
    return entry.platform is None or "unknown" not in (entry.platform.os, entry.platform.architecture)


def _acceptable(platform: Platform) -> Iterator[Platform]:
    """What ``platform`` runs, best first (containerd's ``platformVector``)."""
    yield platform
    system, architecture, variant = platform.os, platform.architecture, platform.variant
    match architecture:
        case "amd64":
            level = _number(variant, default=1)
            yield from (Platform(system, "amd64", f"v{n}") for n in range(level - 1, 1, -1))
            if variant:
                yield Platform(system, "amd64")
            yield Platform(system, "386")
        case "arm64":
            if variant:
                yield Platform(system, "arm64")
            yield from (Platform(system, "arm", f"v{n}") for n in range(8, 4, -1))
        case "arm":
            level = _number(variant, default=7)
            yield from (Platform(system, "arm", f"v{n}") for n in range(level - 1, 4, -1))
        case _:
            pass


def _number(variant: str, *, default: int) -> int:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) == 1 else default
