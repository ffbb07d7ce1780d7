"""The facts of one build that provenance tells: where its sources came from, and what it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder import __version__
from builder.core.digest import Digest
from builder.core.gitref import is_git
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.core.weburl import is_http
from builder.engine.assemble import Engine
from builder.engine.prepare import Prepared
from builder.engine.recorder import Recorder
from builder.frontend.interface import FrontendResult

if TYPE_CHECKING:  # a build without provenance loads none of it
    from builder.attest.materials import Material, Resolved
    from builder.attest.provenance import BuildFacts
    from builder.engine.build import BuildRequest

# buildx's switch for what it tells of a checkout.
_GIT_INFO = "BUILDX_GIT_INFO"


class FactsOfBuild:
    """Known when the steps have run; what is the same for every platform is looked up once."""

    def __init__(
        self,
        engine: Engine,
        build_id: str,
        request: BuildRequest,
        prepared: Prepared,
        recorder: Recorder,
        times: tuple[float, float],
    ) -> None:
        """``times``: when it started and ended."""
        self._engine = engine
        self._build_id = build_id
        self._request = request
        self._prepared = prepared
        self._recorder = recorder
        self._times = times

    def of(self, converted: FrontendResult, layers: tuple[Mapping[str, Any], ...] = ()) -> BuildFacts:
        """Of one image; ``layers`` are descriptors of its layers as they left."""
        from builder.attest.materials import materials, reads_folders
        from builder.attest.provenance import BuildFacts

        found = dict.fromkeys(materials(converted.definition, self._resolved))
        source = self._config_source()
        if source is not None:
            found[source] = None
        dockerfile = self._prepared.dockerfile
        # Of a file of this machine, the folder that it is in is nobody's business.
        name = dockerfile.name if dockerfile.path is None else dockerfile.path.name
        return BuildFacts(
            definition=converted.definition,
            dockerfile_name=name,
            dockerfile=dockerfile.data,
            config_source=source,
            arguments=_arguments(self._request),
            materials=tuple(sorted(found)),
            manifests=self._resolved.manifests,
            is_complete=self._prepared.question.context is not None
            and not reads_folders(converted.definition),
            builder_platform=Platform.host(),
            version=__version__,
            build_id=self._build_id,
            started_at=self._times[0],
            finished_at=self._times[1],
            vcs=self._vcs,
            epoch_s=converted.epoch_s,
            layers=layers,
        )

    def _config_source(self) -> Material | None:
        """Where the context came from; a folder of the user has no address."""
        from builder.attest.materials import materials

        context = self._prepared.question.context
        if context is None or context.tree is None:
            return None
        return next(iter(materials(context.tree, self._resolved)), None)

    @cached_property
    def _vcs(self) -> dict[str, str]:
        """Of a context that is a folder; one that was fetched has its commit among the materials."""
        from builder.engine.vcs import vcs_of

        folder = Path(self._request.context)
        if self._prepared.question.context is not None or not folder.is_dir():
            return {}
        if (self._recorder.environment(_GIT_INFO) or "").lower() in ("0", "f", "false"):
            return {}
        return vcs_of(folder, self._prepared.dockerfile.path)

    @cached_property
    def _resolved(self) -> Resolved:
        from builder.attest.materials import Resolved

        seen = self._recorder.seen()
        manifests: dict[Digest, Digest] = {}
        for source in self._prepared.bridge.resolved():
            digest = (
                source.manifest
                or source.reference.digest
                or self._manifest(source.reference, source.image.id)
            )
            if digest is not None:
                manifests[source.image.id] = digest
        return Resolved(
            manifests=manifests,
            urls={each.name: each.value for each in seen if each.kind == "url"},
            commits={each.name: each.value for each in seen if each.kind == "commit"},
        )

    def _manifest(self, reference: Reference, id: Digest) -> Digest | None:
        """Under which a registry has an image that was here already."""
        known = self._engine.images.manifests_of(id)
        of_repository = [digest for repository, digest in known if repository == reference.repository]
        return next(iter(of_repository), None)


def _arguments(request: BuildRequest) -> dict[str, str]:
    """What BuildKit's frontend would be given; folders of this machine are not named."""
    arguments = {f"build-arg:{name}": value for name, value in request.build_args.items()}
    arguments |= {f"label:{name}": value for name, value in request.labels.items()}
    for name, place in request.named_contexts.items():
        is_elsewhere = is_git(place) or is_http(place) or place.startswith("docker-image://")
        arguments[f"context:{name}"] = place if is_elsewhere else f"local:{name}"
    if request.target:
        arguments["target"] = request.target
    if request.is_cache_ignored:
        arguments["no-cache"] = ""
    if request.network:
        arguments["force-network-mode"] = request.network
    return arguments
