"""What is said of the images of one build: SBOM and provenance, for the outputs to attach."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder import __version__
from builder.attest.options import Attestations, ProvenanceOptions, read_attestations
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.events import Warned
from builder.core.image import ImageConfig
from builder.core.job import Job
from builder.core.reference import Reference
from builder.core.steps import as_step
from builder.engine.assemble import Engine
from builder.engine.buildfacts import FactsOfBuild
from builder.engine.platforms import Built
from builder.engine.prepare import Prepared
from builder.engine.recorder import Recorder
from builder.frontend.interface import FrontendResult

__all__ = ["Attestations", "Attester", "read_attestations"]

if TYPE_CHECKING:  # a build without attestations loads none of it
    from builder.attest.statement import Predicate, Subject
    from builder.engine.build import BuildRequest
    from builder.exporter.packed import PackedImage

_KEY = "buildx.build.provenance"
_PIECE = 1 << 20
# BuildKit's, that make it scan more than the image.
_SCANS = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")


class AttestationInTheWay(PybuildError):
    """The files of a build hold one where an attestation is to be written."""

    kind = Kind.CONFLICT
    code = "attestation-in-the-way"

    def __init__(self, path: str) -> None:
        super().__init__(
            f'an attestation is to be written to "{path}", and the build has a file of that name',
            hint="give the output an attestation-prefix, or leave the attestation out",
        )


class Attester:
    """Says of each image what is wanted; made when its steps have run."""

    def __init__(
        self,
        engine: Engine,
        job: Job,
        request: BuildRequest,
        prepared: Prepared,
        recorder: Recorder,
        images: Mapping[Built, FrontendResult],
        *,
        started_at: float,
    ) -> None:
        self._engine = engine
        self._job = job
        self._request = request
        self._dockerfile = prepared.dockerfile
        self._images = images
        self._finished_at = time.time()
        times = (started_at, self._finished_at)
        self._facts = FactsOfBuild(engine, job.id, request, prepared, recorder, times)
        self._sboms: dict[Built, Predicate] = {}

    @property
    def wanted(self) -> Attestations:
        """What was asked for."""
        return self._request.attestations

    def attach(
        self, built: Built, image: PackedImage, names: Sequence[Reference], *, is_artifact: bool
    ) -> PackedImage:
        """The manifest with everything that is said of a packed image."""
        from builder.attest.purl import image_purl
        from builder.attest.statement import Subject, statement
        from builder.exporter.attestation import Attestation, attestation_manifest
        from builder.exporter.documents import descriptor_document

        digest = image.descriptor.digest
        subjects = [Subject(image_purl(name, built.platform), digest) for name in names]
        layers = tuple(descriptor_document(layer.descriptor) for layer in image.layers)
        said = [
            Attestation(predicate.type, statement(predicate, subjects or [Subject("_", digest)]))
            for predicate in self._predicates(built, layers, is_inline=True)
        ]
        return attestation_manifest(said, image, self._engine.content, is_artifact=is_artifact)

    def write_files(self, built: Built, folder: str, *, prefix: str, is_named: bool) -> None:
        """The statements as files of ``folder``, about all others in it; ``is_named``: after the platform.

        Raises AttestationInTheWay.
        """
        from builder.attest.statement import statement

        predicates = self._predicates(built, (), is_inline=False)
        subjects = _subjects(folder) if predicates else []
        times = os.stat(folder)
        for predicate in predicates:
            stem, dot, end = predicate.file_name.partition(".")
            platform = f".{str(built.platform).replace('/', '_')}" if is_named else ""
            name = f"{prefix}{stem}{platform}{dot}{end}"
            path = Path(folder) / name
            try:
                # Anything there is a file of the store.
                with open(path, "xb") as file:
                    file.write(statement(predicate, subjects))
            except FileExistsError as error:
                raise AttestationInTheWay(name) from error
            path.chmod(0o644)
            os.utime(path, (self._time(built), self._time(built)))
        os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))

    def described(self, mode: str) -> dict[str, Any]:
        """The provenance of all images under buildx's keys; ``mode`` "" for none."""
        if not mode:
            return {}
        from builder.attest.provenance import provenance

        options = replace(self.wanted.provenance or ProvenanceOptions(), mode=mode)
        made = {
            built.platform: provenance(self._facts.of(converted), options)
            for built, converted in self._images.items()
        }
        if len(made) == 1:
            return dict.fromkeys([_KEY], next(iter(made.values())))
        return {f"{_KEY}/{platform}": value for platform, value in made.items()}

    def _predicates(
        self, built: Built, layers: tuple[Mapping[str, Any], ...], *, is_inline: bool
    ) -> list[Predicate]:
        found = []
        if self.wanted.has_sbom:
            found.append(self._sbom(built))
        options = self.wanted.provenance
        if options is not None and (is_inline or not options.is_inline_only):
            from builder.attest.provenance import PREDICATE_TYPE, provenance
            from builder.attest.statement import Predicate

            value = provenance(self._facts.of(self._images[built], layers), options)
            found.append(Predicate(PREDICATE_TYPE, value, options.file_name))
        return found

    def _sbom(self, built: Built) -> Predicate:
        known = self._sboms.get(built)
        if known is None:
            name = f"[{built.platform}] listing the packages of the image"
            known = as_step(f"sbom {built.image}", name, self._job, lambda: self._scan(built))
            self._sboms[built] = known
        return known

    def _scan(self, built: Built) -> Predicate:
        from builder.attest.sbom.scan import scan
        from builder.attest.sbom.spdx import FILE_NAME, PREDICATE_TYPE, spdx_document
        from builder.attest.statement import Predicate
        from builder.fs.tree import StackedTree

        inventory = scan(StackedTree(self._engine.snapshots.lowers(built.top)), self._job.cancel.check)
        for warning in inventory.warnings:
            self._warn(f"the SBOM is not complete: {warning}")
        for name in _SCANS:
            if name.encode() in self._dockerfile.data or name in self._request.build_args:
                self._warn(f"{name} is not built yet: the SBOM is of the image alone")
        document = spdx_document(
            inventory, built.image, created=self._config(built).created, tool=f"pybuild-{__version__}"
        )
        return Predicate(PREDICATE_TYPE, document, FILE_NAME)

    def _warn(self, message: str) -> None:
        self._job.progress.emit(Warned(message, None, None))

    def _config(self, built: Built) -> ImageConfig:
        return ImageConfig.from_json(self._engine.content.read(built.image))

    def _time(self, built: Built) -> float:
        epoch = self._images[built].epoch_s
        return self._finished_at if epoch is None else epoch


def _subjects(folder: str) -> list[Subject]:
    """Every file below a folder of scratch; no link is followed."""
    from builder.attest.statement import Subject

    subjects = []
    for directory, below, names in os.walk(folder):
        below.sort()
        for name in sorted(names):
            path = os.path.join(directory, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            hasher = hashlib.sha256()
            with open(path, "rb") as file:
                while piece := file.read(_PIECE):
                    hasher.update(piece)
            subjects.append(Subject(os.path.relpath(path, folder), Digest("sha256", hasher.hexdigest())))
    return sorted(subjects)
