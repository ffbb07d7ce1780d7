"""What a build leaves: images in the store, in registries and in daemons, archives, folders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.job import Job
from builder.core.reference import DEFAULT_TAG, Reference
from builder.core.steps import as_step
from builder.engine.assemble import Engine
from builder.engine.platforms import Built, main_image
from builder.exporter.annotations import (
    Annotation,
    Annotations,
    InvalidAnnotation,
    annotation,
    parse_annotation,
)
from builder.exporter.layers import Layers
from builder.exporter.packed import (
    COMPRESSIONS,
    NeedsOciTypes,
    Packed,
    PackedImage,
    PackedIndex,
    PackOptions,
    UnknownCompression,
)

if TYPE_CHECKING:  # an image that only stays in the store is not packed
    from builder.engine.attestations import Attester
    from builder.exporter.pack import Packer

# These leave an image in the store, the others only what they write.
_KEPT = ("image", "registry", "load")
# What takes no index, as in BuildKit.
_OF_ONE_IMAGE = {"docker": "a docker archive", "load": "what a Docker daemon loads"}


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


class Exported(NamedTuple):
    """What the outputs of a build were."""

    packed: Packed | None  # None: no output has a manifest
    names: tuple[Reference, ...]


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
            elif index_of and item.kind in _OF_ONE_IMAGE:
                raise OneImageOnly(_OF_ONE_IMAGE[item.kind], index_of)
            if is_attested and not item.options.is_oci:
                raise NeedsOciTypes("attestations")
            if item.pushes and not (*tags, *item.names):
                raise NothingToPush


class Exporter:
    """Carries the outputs of one build out, one after the other."""

    def __init__(
        self,
        engine: Engine,
        job: Job,
        layers: Layers,
        tags: Sequence[Reference],
        attester: Attester | None = None,
    ) -> None:
        """``attester`` None: nothing is said of the images."""
        self._engine = engine
        self._job = job
        self._layers = layers
        self._tags = tuple(tags)
        self._attester = attester
        self._images: dict[PackOptions, list[PackedImage]] = {}

    @cached_property
    def _packer(self) -> Packer:
        return self._engine.packer(self._layers)

    def export(self, built: Sequence[Built], outputs: Outputs) -> Exported:
        """Several images leave as an index. Raises what the outputs do; those before are written by then."""
        described: Packed | None = None
        names: dict[Reference, None] = dict.fromkeys(self._tags)
        for number, output in enumerate(outputs.items):
            packed = self._export_one(number, built, output, outputs)
            described = described or packed
            names.update(dict.fromkeys(output.names))
        return Exported(described, tuple(names))

    def _export_one(
        self, number: int, built: Sequence[Built], output: Output, outputs: Outputs
    ) -> Packed | None:
        names = tuple(dict.fromkeys((*self._tags, *output.names)))
        packed: Packed | None = None

        def pack() -> Packed:
            nonlocal packed
            packed = self._pack(built, names, output)
            return packed

        def step(name: str, work: Callable[[], object]) -> None:
            as_step(f"export {number}", f"exporting {name}", self._job, work)

        match output.kind:
            case "image" | "registry":
                is_digest_kept = output.keeps_digest or (output.nameless_prefix is not None and not names)
                is_attested = self._attester is not None
                if output.pushes or output.is_packed or is_digest_kept or is_attested or outputs.is_described:
                    step("layers", pack)
                if is_attested:
                    assert packed is not None
                    for each in built:
                        self._engine.images.attest(each.image, packed.descriptor.digest)
                if is_digest_kept:
                    assert packed is not None
                    self._keep_digest(packed, built, names, output)
                if output.pushes:
                    assert packed is not None
                    self._push(packed, built, names, output)
            case "load":
                step("to the Docker daemon", lambda: self._load(pack(), names, outputs.docker_host))
            case "docker" | "oci":
                step(f"to {output.kind} archive", lambda: self._archive(pack(), names, output))
            case "local" | "tar":
                step("to client files", lambda: self._files(built, output))
            case _:
                assert output.kind == "cacheonly"
        return packed

    def _pack(self, built: Sequence[Built], names: Sequence[Reference], output: Output) -> Packed:
        """An image, or an index of all and of what is said of them; layers are packed once."""
        options = output.options
        images = self._images.get(options)
        if images is None:
            read = self._engine.content.read
            images = [self._packer.pack(read(each.image), each.top, options) for each in built]
            self._images[options] = images
        said: list[PackedImage] = []
        if self._attester is not None and output.kind not in _OF_ONE_IMAGE:
            for each, image in zip(built, images, strict=True):
                said.append(self._attester.attach(each, image, names, is_artifact=output.has_artifacts))
        return images[0] if len(images) + len(said) == 1 else self._index([*images, *said], options)

    def _index(self, images: Sequence[PackedImage], options: PackOptions) -> PackedIndex:
        from builder.exporter.index import assemble_index

        return assemble_index(images, self._engine.content, options.annotations, is_oci=options.is_oci)

    def _push(
        self, packed: Packed, built: Sequence[Built], names: Sequence[Reference], output: Output
    ) -> None:
        from builder.engine.push import image_pusher

        insecure = {name.domain for name in names} if output.is_insecure else ()
        pusher = image_pusher(self._engine, insecure)
        parts = [each.image for each in built] if len(built) > 1 else []
        for name in names:
            target = name
            if output.pushes_by_digest:
                target = name.with_tag(None).with_digest(packed.descriptor.digest)
            pusher.push(packed, target)
            self._engine.images.add_manifest(name, packed.descriptor.digest, main_image(built).image, parts)

    def _keep_digest(
        self, packed: Packed, built: Sequence[Built], names: Sequence[Reference], output: Output
    ) -> None:
        parts = [each.image for each in built] if len(built) > 1 else []
        if not names and output.nameless_prefix is not None:
            names = [output.nameless_prefix]
        for name in names:
            self._engine.images.add_manifest(name, packed.descriptor.digest, main_image(built).image, parts)

    def _load(self, packed: Packed, names: Sequence[Reference], host: str) -> None:
        from builder.exporter.archive import SavedImage, write_tar
        from builder.exporter.daemon import DEFAULT_HOST, load_into_daemon

        saved = [SavedImage(packed, names)]
        load_into_daemon(
            host or DEFAULT_HOST, lambda sink: write_tar(saved, sink, self._packer, self._engine.content)
        )

    def _archive(self, packed: Packed, names: Sequence[Reference], output: Output) -> None:
        from builder.exporter.archive import DirectoryTarget, SavedImage, save, write_tar
        from builder.fs.replace import replacing

        saved, content = [SavedImage(packed, names)], self._engine.content
        is_docker = output.kind == "docker"
        if output.is_folder:
            assert output.dest is not None
            save(saved, DirectoryTarget(output.dest), self._packer, content, is_docker=is_docker)
        elif output.dest is None:
            write_tar(saved, sys.stdout.buffer.write, self._packer, content, is_docker=is_docker)
        else:
            with replacing(output.dest) as file:
                write_tar(saved, file.write, self._packer, content, is_docker=is_docker)

    def _files(self, built: Sequence[Built], output: Output) -> None:
        from builder.engine.files import write_files, write_tar_of

        is_split = len(built) > 1 if output.is_split is None else output.is_split

        def amend(each: Built, tree: str) -> None:
            if self._attester is not None:
                is_named = len(built) > 1 and output.kind == "local" and not is_split
                self._attester.write_files(each, tree, prefix=output.attestation_prefix, is_named=is_named)

        if output.kind == "tar":
            write_tar_of(self._engine, built, output.dest, amend=amend)
            return
        assert output.dest is not None
        write_files(
            self._engine, built, output.dest, is_split=is_split, is_mirror=output.is_mirror, amend=amend
        )


def describe(exported: Exported, image: Digest, build_id: str) -> dict[str, Any]:
    """The document of `--metadata-file`, with buildx's keys."""
    document: dict[str, Any] = {"buildx.build.ref": f"pybuild/local/{build_id}"}
    if exported.packed is not None:
        from builder.exporter.documents import descriptor_document

        manifest = exported.packed.descriptor
        packed = exported.packed.images if isinstance(exported.packed, PackedIndex) else (exported.packed,)
        configs = [each.config for each in packed if not each.is_attestation]
        if len(configs) == 1:
            document["containerimage.config.digest"] = str(configs[0].digest)
        document["containerimage.descriptor"] = descriptor_document(manifest)
        document["containerimage.digest"] = str(manifest.digest)
    else:
        document["containerimage.config.digest"] = str(image)
    if exported.names:
        document["image.name"] = ",".join(map(str, exported.names))
    return document


def write_document(file: Path, text: str) -> None:
    """A small file, whole or not at all."""
    from builder.fs.replace import replacing

    with replacing(file) as opened:
        opened.write(text.encode())


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
