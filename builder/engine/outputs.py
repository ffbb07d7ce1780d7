"""What a build is to leave: images in the store, in registries and in daemons, archives, folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.core.errors import Kind, PybuildError
from builder.core.reference import DEFAULT_TAG, Reference
from builder.exporter.annotations import (
    Annotation,
    Annotations,
    InvalidAnnotation,
    annotation,
    parse_annotation,
)
from builder.exporter.packed import (
    COMPRESSIONS,
    NeedsOciTypes,
    PackOptions,
    UnknownCompression,
)

if TYPE_CHECKING:  # an image that only stays in the store is not packed
    pass

# These leave an image in the store, the others only what they write.
_KEPT = ("image", "registry", "load")
# What takes no index, as in BuildKit.
OF_ONE_IMAGE = {"docker": "a docker archive", "load": "what a Docker daemon loads"}


class TaggedDigest(PybuildError):
    """An image is to be pushed by its digest, and under a tag."""

    kind = Kind.INVALID
    code = "tagged-digest"

    def __init__(self, name: Reference) -> None:
        super().__init__(
            f'push-by-digest leaves no tag, and "{name.familiar()}" has one', hint="name it without :TAG"
        )


class NothingToPush(PybuildError):
    """An image is to be pushed and has no name."""

    kind = Kind.INVALID
    code = "nothing-to-push"

    def __init__(self) -> None:
        super().__init__("an image without a name cannot be pushed", hint="name it with --tag, or name=…")


class OneImageOnly(PybuildError):
    """An output takes one image, and there are several."""

    kind = Kind.INVALID
    code = "one-image-only"

    def __init__(self, what: str, why: str) -> None:
        super().__init__(
            f"{what} holds one image, and {why} make an index",
            hint="leave these out, or use --output type=oci or type=registry",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One ``--output``."""

    kind: str  # image, registry, load, docker, oci, local, tar, cacheonly
    dest: Path | None = None  # None: standard output, where the kind writes anything
    is_folder: bool = False  # an archive as a folder
    is_split: bool | None = None  # files below a folder of the platform; None: where there are several
    is_mirror: bool = False  # what else is in the folder goes
    names: tuple[Reference, ...] = ()  # beside those of the build
    has_artifacts: bool = False  # attestations are OCI artifacts
    attestation_prefix: str = ""  # of the names of files that hold attestations
    pushes: bool = False
    pushes_by_digest: bool = False
    is_insecure: bool = False  # its registries need no certificate, or no TLS
    keeps_digest: bool = False  # named by its manifest's digest too, pushed or not
    nameless_prefix: Reference | None = None  # named by it and the digest, where it has no other name
    is_packed: bool = False  # compressed now, though nobody takes it yet
    options: PackOptions = PackOptions()

    @property
    def keeps_image(self) -> bool:
        """Whether the image is one of the store afterwards."""
        return self.kind in _KEPT

    def packed_as(
        self,
        compression: str | None,
        level: int | None,
        *,
        is_forced: bool,
        is_oci: bool,
        annotations: Sequence[tuple[str, str]],
    ) -> Output:
        """With options of packing; annotations are keys ``annotation[-TYPE][[PLATFORM]].KEY`` and values.

        A daemon gets plain layers if nothing is said: it unpacks them at once.

        Raises InvalidAnnotation, UnknownCompression.
        """
        if compression is not None and compression not in COMPRESSIONS:
            raise UnknownCompression(compression)
        options = replace(
            self.options,
            compression=compression or ("uncompressed" if self.kind == "load" else "gzip"),
            level=level,
            is_forced=is_forced,
            is_oci=is_oci,
            annotations=Annotations(tuple(_annotation(key, value) for key, value in annotations)),
            # Archives are where they end: a plain layer is written once, from its tree.
            is_plain_stored=self.kind in ("image", "registry"),
        )
        return replace(self, options=options)

    def annotated(self, annotations: Annotations) -> Output:
        """With these too, where it has a manifest."""
        if self.kind in ("local", "tar", "cacheonly"):
            return self
        items = (*annotations.items, *self.options.annotations.items)
        return replace(self, options=replace(self.options, annotations=Annotations(items)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """All of one build."""

    items: tuple[Output, ...] = (Output(kind="image"),)
    docker_host: str = ""
    is_described: bool = False  # somebody asks for the manifest's digest

    @property
    def keeps_image(self) -> bool:
        """Whether the image is one of the store afterwards."""
        return any(item.keeps_image for item in self.items)

    @property
    def leaves_layers(self) -> bool:
        """Whether nobody reads the layers here: a registry takes those that it has from itself."""
        return all(
            item.kind == "cacheonly" or (item.pushes and not item.options.is_forced) for item in self.items
        )

    def packed_ahead(self) -> tuple[PackOptions, ...]:
        """How the layers will leave, of what is worth to begin before the image is whole."""
        return tuple(
            dict.fromkeys(
                item.options
                for item in self.items
                if item.options.compression != "uncompressed"
                and (
                    item.kind in ("docker", "oci", "load")
                    or (item.keeps_image and (item.pushes or item.is_packed or self.is_described))
                )
            )
        )

    def pushed(self, tags: Sequence[Reference]) -> tuple[Reference, ...]:
        """Where the image is pushed to."""
        return tuple(name for item in self.items if item.pushes for name in (*tags, *item.names))

    def check(self, tags: Sequence[Reference], *, index_of: str = "", is_attested: bool = False) -> None:
        """Before anything is built. ``index_of``: why there is an index, where there must be one.

        Raises InvalidAnnotation, NeedsOciTypes, NothingToPush, OneImageOnly, TaggedDigest.
        """
        for item in self.items:
            for name in (*tags, *item.names) if item.pushes_by_digest else ():
                if name.tag not in (None, DEFAULT_TAG):
                    raise TaggedDigest(name)
            item.options.check()
            if not (index_of or is_attested):
                item.options.annotations.refuse_index()
            elif index_of and item.kind in OF_ONE_IMAGE:
                raise OneImageOnly(OF_ONE_IMAGE[item.kind], index_of)
            if is_attested and not item.options.is_oci:
                raise NeedsOciTypes("attestations")
            if item.pushes and not (*tags, *item.names):
                raise NothingToPush


def annotations_of(texts: Sequence[str]) -> Annotations:
    """Of `--annotation`. Raises InvalidAnnotation, InvalidPlatform."""
    return Annotations(tuple(found for text in texts for found in parse_annotation(text)))


def names_of(text: str) -> tuple[Reference, ...]:
    """Of a ``name=`` with commas. Raises InvalidReference."""
    return tuple(Reference.parse(name.strip()).with_default_tag() for name in text.split(",") if name.strip())


def _annotation(key: str, value: str) -> Annotation:
    where, dot, name = key.removeprefix("annotation").partition(".")
    # The platform may hold no dot, the key may.
    if not dot or not name or not (not where or where[0] in "-["):
        raise InvalidAnnotation(
            f'"{key}" is no annotation', hint="write annotation.KEY or annotation-TYPE.KEY"
        )
    kind = where[1:] if where.startswith("-") else f"manifest{where}"
    return annotation(kind, name, value)
