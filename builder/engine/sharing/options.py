"""What a build was asked to share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builder.core.errors import Unsupported
from builder.core.reference import DEFAULT_TAG, Reference
from builder.engine.outputs import Outputs
from builder.exporter.packed import COMPRESSIONS, PackOptions, UnknownCompression

Mode = Literal["min", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlace:
    """A folder or a repository, and the name in it: a tag, or a digest as text."""

    folder: Path | None = None
    reference: Reference | None = None
    name: str = DEFAULT_TAG

    @property
    def label(self) -> str:
        """For people."""
        return str(self.folder) if self.reference is None else self.reference.familiar()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheTarget:
    """One ``--cache-to``; without a place the cache goes into the image."""

    place: CachePlace | None = None
    mode: Mode = "min"  # max: every step of every stage
    pack: PackOptions = PackOptions()
    fails_build: bool = False
    mounts: tuple[str, ...] = ()  # ids of cache mounts
    has_all_mounts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingOptions:
    """All ``--cache-from`` and ``--cache-to`` of a build."""

    sources: tuple[CachePlace, ...] = ()
    targets: tuple[CacheTarget, ...] = ()

    @property
    def is_inline(self) -> bool:
        """Whether the image itself is to carry its cache."""
        return any(target.place is None for target in self.targets)

    def check(self, outputs: Outputs) -> None:
        """Before anything is built. Raises Unsupported."""
        if self.is_inline and any(item.options.compression == "estargz" for item in outputs.items):
            raise Unsupported(
                "an inline cache is not written into eStargz images: their layers are not those of the steps",
                hint="use another compression, or export the cache to a registry",
            )


def packed_as(compression: str, level: int | None, *, is_forced: bool, is_oci: bool) -> PackOptions:
    """How the layers of a cache are packed. Raises NeedsOciTypes, UnknownCompression, Unsupported."""
    if compression not in COMPRESSIONS:
        raise UnknownCompression(compression)
    if compression == "estargz":
        raise Unsupported(
            "--cache-to: eStargz layers are not those that the steps made", hint="use gzip or zstd"
        )
    pack = PackOptions(compression=compression, level=level, is_forced=is_forced, is_oci=is_oci)
    pack.check()
    return pack
