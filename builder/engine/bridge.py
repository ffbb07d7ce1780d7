"""The answers to a frontend's questions."""

from __future__ import annotations

from collections.abc import Callable

from builder.core.digest import Digest
from builder.core.image import ImageConfig
from builder.core.job import Job
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.engine.lockfile import Lock
from builder.engine.recorder import Recorder
from builder.frontend.interface import ResolvedImage
from builder.source.interface import ImageSource, PullPolicy, ResolvedSource

_LAYOUT = "oci-layout://"


class SourceBridge:
    """See Bridge. Each (reference, platform) is resolved once per build: a tag may move meanwhile."""

    def __init__(
        self,
        sources: ImageSource,
        policy: PullPolicy,
        recorder: Recorder,
        job: Job,
        layout: Callable[[str, Platform], ResolvedSource],
        lock: Lock,
    ) -> None:
        """``layout`` is asked for ``PATH[:TAG|@DIGEST]`` of an OCI layout."""
        self._sources = sources
        self._layout = layout
        self._lock = lock
        self._policy = policy
        self._recorder = recorder
        self._job = job
        self._resolved: dict[tuple[str, Platform], ResolvedSource] = {}

    def resolve_image(self, reference: str, platform: Platform) -> ResolvedImage:
        """See Bridge."""
        if reference.startswith(_LAYOUT):
            return self._resolve_layout(reference, platform)
        parsed = Reference.parse(reference).with_default_tag()
        known = self._resolved.get((str(parsed), platform))
        if known is None:
            known = self._resolved[str(parsed), platform] = self._resolve(parsed, platform)
            self._recorder.note("reference", f"{parsed} {platform}", str(known.image.id))
        return ResolvedImage(str(parsed), known.image.id, known.config)

    def _resolve(self, reference: Reference, platform: Platform) -> ResolvedSource:
        locked = None if reference.digest is not None else self._lock.find("images", str(reference))
        if locked is None:
            found = self._sources.resolve(reference, platform, self._policy, self._job)
            if found.manifest is not None:
                self._lock.note("images", str(reference), str(found.manifest))
            return found
        # A digest cannot lead elsewhere meanwhile: nobody is asked for what is here.
        policy: PullPolicy = "never" if self._policy == "never" else "missing"
        return self._sources.resolve(reference.with_digest(Digest.parse(locked)), platform, policy, self._job)

    def _resolve_layout(self, reference: str, platform: Platform) -> ResolvedImage:
        known = self._resolved.get((reference, platform))
        if known is None:
            known = self._layout(reference.removeprefix(_LAYOUT), platform)
            self._resolved[reference, platform] = known
            self._recorder.note("reference", f"{reference} {platform}", str(known.image.id))
        return ResolvedImage(reference, known.image.id, known.config)

    def resolved(self) -> list[ResolvedSource]:
        """Every image that was asked for."""
        return list(self._resolved.values())

    def image(self, id: Digest) -> tuple[ImageConfig, str]:
        """The config and top snapshot of an image that was resolved."""
        for source in self._resolved.values():
            if source.image.id == id:
                return source.config, source.image.snapshot
        raise AssertionError("the frontend named an image that it did not resolve")
