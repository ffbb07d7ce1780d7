"""What packing is asked for, and what it makes: images as registries and archives have them."""

from __future__ import annotations

from dataclasses import dataclass

from builder.core.descriptor import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    Descriptor,
)
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.platform import Platform
from builder.core.suggest import did_you_mean
from builder.exporter.annotations import NO_ANNOTATIONS, Annotations

COMPRESSIONS = ("gzip", "zstd", "estargz", "uncompressed")
# Only OCI manifests have a media type for what these make, or a place for what they need to say.
_OCI_ONLY = ("zstd", "estargz")
# Of what nobody can run: attestations.
UNKNOWN_PLATFORM = Platform("unknown", "unknown")
_LAYER_TYPES = {
    ("gzip", True): OCI_LAYER_GZIP,
    ("zstd", True): OCI_LAYER_ZSTD,
    ("uncompressed", True): OCI_LAYER,
    ("gzip", False): DOCKER_LAYER_GZIP,
    ("zstd", False): DOCKER_LAYER_ZSTD,
    ("uncompressed", False): DOCKER_LAYER,
}


class UnknownCompression(PybuildError):
    """An image is to be compressed with something unknown."""

    kind = Kind.INVALID
    code = "unknown-compression"

    def __init__(self, name: str) -> None:
        otherwise = f"it is one of {', '.join(COMPRESSIONS)}"
        super().__init__(
            f'compression "{name}" is not known', hint=did_you_mean(name, COMPRESSIONS, otherwise=otherwise)
        )


class NeedsOciTypes(PybuildError):
    """What was asked for can be said in OCI manifests only."""

    kind = Kind.INVALID
    code = "needs-oci-types"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"Docker's manifests cannot hold {what}", hint="leave out oci-mediatypes=false, or change that"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackOptions:
    """How an image is packed. Layers that were pulled keep their form unless ``is_forced``."""

    compression: str = "gzip"  # one of COMPRESSIONS
    level: int | None = None  # None: pybuild's default for the compression
    is_forced: bool = False
    is_oci: bool = True
    annotations: Annotations = NO_ANNOTATIONS
    # False: layers that leave uncompressed are written from their trees when somebody reads them.
    is_plain_stored: bool = True

    def check(self) -> None:
        """Before anything is packed. Raises NeedsOciTypes, UnknownCompression, Unsupported (a level)."""
        if self.compression not in COMPRESSIONS:
            raise UnknownCompression(self.compression)
        if self.level is not None and self.compression != "uncompressed":
            from builder.fs.compression import compressor_name

            compressor_name(self.compression, self.level)
        if self.is_oci:
            return
        if self.compression in _OCI_ONLY:
            raise NeedsOciTypes(f"{self.compression} layers")
        if self.annotations.items:
            raise NeedsOciTypes("annotations")


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer in the form in which it leaves."""

    descriptor: Descriptor
    snapshot: str  # the store's name for its tree; `Snapshotter.origin` says where it was pulled from
    plain: Digest  # of what the blob unpacks to


@dataclass(frozen=True, slots=True)
class PackedImage:
    """One image for one platform. Its manifest and config are in the content store, its layers as asked."""

    manifest: bytes
    descriptor: Descriptor  # of the manifest, with platform and its annotations in an index
    config: Descriptor
    layers: tuple[PackedLayer, ...]

    @property
    def is_attestation(self) -> bool:
        """Whether it is no image, but what is said of one."""
        return self.descriptor.platform == UNKNOWN_PLATFORM

    @property
    def platform(self) -> Platform:
        """What it runs on."""
        assert self.descriptor.platform is not None
        return self.descriptor.platform


@dataclass(frozen=True, slots=True)
class PackedIndex:
    """Several images under one digest; the document is in the content store."""

    document: bytes
    descriptor: Descriptor
    images: tuple[PackedImage, ...]


Packed = PackedImage | PackedIndex


def compression_of(media_type: str) -> str:
    """How a layer of that type is compressed; eStargz is gzip to everyone."""
    return next((kind for (kind, _), name in _LAYER_TYPES.items() if name == media_type), "gzip")


def layer_type(compression: str, *, is_oci: bool) -> str:
    """The media type of a layer."""
    return _LAYER_TYPES["gzip" if compression == "estargz" else compression, is_oci]
