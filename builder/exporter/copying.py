"""Images from one repository to another, straight between registries: only what the other one lacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from builder.core.descriptor import Descriptor
from builder.core.events import StepProgress
from builder.core.job import Cancel, Job
from builder.core.reference import Reference
from builder.core.sidebyside import side_by_side
from builder.core.steps import as_step
from builder.registry.interface import FetchedManifest, Index, RegistryClient, RegistryPusher

# As many as Docker pushes (max-concurrent-uploads).
_PARALLEL = 5
# An index in an index in an index is a trap.
_MAX_DEPTH = 4


class RepositoryCopier:
    """Blobs are mounted within a registry, and go through a file of ``scratch`` between two."""

    def __init__(self, client: RegistryClient, pusher: RegistryPusher, scratch: Path, job: Job) -> None:
        self._client = client
        self._pusher = pusher
        self._scratch = scratch
        self._job = job
        self._placed: set[tuple[str, str]] = set()  # (repository, digest) that this command saw to

    def copy(self, origin: Reference, target: Reference, known: FetchedManifest | None = None) -> None:
        """What ``origin`` names by digest, with all that it needs, into the repository of ``target``.

        ``known`` is it, if somebody has it already. Raises RegistryError and its kinds.
        """
        if origin.repository != target.repository:
            self._copy(origin, target, known, 0)

    def _copy(self, origin: Reference, target: Reference, known: FetchedManifest | None, depth: int) -> None:
        fetched = known or self._client.fetch_manifest(origin, cancel=self._job.cancel)
        parsed = fetched.parse()
        if isinstance(parsed, Index):
            if depth < _MAX_DEPTH:
                for entry in parsed.manifests:
                    self._copy(origin.with_digest(entry.digest), target, None, depth + 1)
        else:
            blobs = {(target.repository, str(blob.digest)): blob for blob in (*parsed.layers, parsed.config)}
            tasks = [
                partial(self._copy_blob, origin, target, blob)
                for place, blob in blobs.items()
                if place not in self._placed
            ]
            side_by_side(tasks, _PARALLEL, self._job.cancel)
            self._placed |= blobs.keys()
        by_digest = target.with_tag(None).with_digest(fetched.digest)
        self._pusher.push_manifest(by_digest, fetched.raw, fetched.media_type, cancel=self._job.cancel)

    def _copy_blob(self, origin: Reference, target: Reference, blob: Descriptor, cancel: Cancel) -> None:
        spool = _Spool(self._client, origin, blob, self._scratch / f"copy-{blob.digest.hex}", cancel)
        step = f"copy {blob.digest} {target.repository}"

        def progress(current: int, total: int) -> None:
            self._job.progress.emit(StepProgress(step, str(blob.digest), current, total, "B", time.time()))

        def send() -> None:
            self._pusher.push_blob(
                target,
                blob,
                spool.open_at,
                mount_from=origin.path if origin.domain == target.domain else "",
                progress=progress,
                cancel=cancel,
            )

        name = f"[internal] copy {blob.digest.short} from {origin.repository} to {target.repository}"
        try:
            as_step(step, name, self._job, send)
        finally:
            spool.remove()


class _Spool:
    """A blob as a file, fetched when somebody reads it."""

    def __init__(
        self, client: RegistryClient, origin: Reference, blob: Descriptor, path: Path, cancel: Cancel
    ) -> None:
        self._fetch: Callable[[Callable[[bytes], object]], None] = partial(
            client.fetch_blob, origin, blob, cancel=cancel
        )
        self._path = path
        self._is_whole = False

    def open_at(self, offset: int) -> BinaryIO:
        if not self._is_whole:
            with open(self._path, "wb") as file:
                self._fetch(file.write)
            self._is_whole = True
        opened = open(self._path, "rb")  # noqa: SIM115 (whoever asked closes it)
        opened.seek(offset)
        return opened

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
