"""Carries out what a build is to leave."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from builder.core.digest import Digest
from builder.core.job import Job
from builder.core.reference import Reference
from builder.core.steps import as_step
from builder.engine.assemble import Engine
from builder.engine.outputs import OF_ONE_IMAGE, Output, Outputs
from builder.engine.platforms import Built, main_image
from builder.exporter.layers import Layers
from builder.exporter.packed import Packed, PackedImage, PackedIndex, PackOptions

if TYPE_CHECKING:  # an image that only stays in the store is not packed
    from builder.engine.attestations import Attester
    from builder.exporter.pack import Packer


class Exported(NamedTuple):
    """What the outputs of a build were."""

    packed: Packed | None  # None: no output has a manifest
    names: tuple[Reference, ...]


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
        if self._attester is not None and output.kind not in OF_ONE_IMAGE:
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
