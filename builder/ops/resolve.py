"""Vertices to operations: the only place that tells the kinds of op apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, assert_never

from builder.core.digest import Digest
from builder.core.errors import Unsupported
from builder.core.image import ImageConfig
from builder.executor.interface import Executor
from builder.llb.definition import Vertex
from builder.llb.ops import ExecOp, FileOp, MergeOp, SourceOp
from builder.ops.exec import ExecOperation
from builder.ops.file import FileOperation
from builder.ops.results import Result
from builder.ops.source import ImageOperation, LocalOperation
from builder.solver.interface import Op
from builder.source.interface import LocalContext
from builder.store.interface import CacheMounts, Snapshotter

if TYPE_CHECKING:  # few builds read more than images and the context
    from builder.ops.remote import RemoteSources


class OpResolver:
    """See Resolver. ``image(digest text)`` gives config and top snapshot of an image that was resolved."""

    def __init__(
        self,
        snapshots: Snapshotter,
        executor: Callable[[], Executor],
        contexts: Mapping[str, LocalContext],
        image: Callable[[Digest], tuple[ImageConfig, str]],
        caches: CacheMounts,
        remote: Callable[[], RemoteSources] | None = None,
        ca_bundle: str = "",
    ) -> None:
        self._snapshots = snapshots
        self._executor = executor
        self._contexts = contexts
        self._image = image
        self._caches = caches
        self._open_remote = remote
        self._ca_bundle = ca_bundle

    def resolve(self, digest: Digest, vertex: Vertex) -> Op[Result]:
        """See Resolver."""
        match vertex.op:
            case SourceOp():
                return self._source(digest, vertex.op)
            case ExecOp():
                return ExecOperation(
                    digest,
                    vertex,
                    vertex.op,
                    self._snapshots,
                    self._executor,
                    self._caches,
                    ca_bundle=self._ca_bundle,
                )
            case FileOp():
                return FileOperation(digest, vertex, vertex.op, self._snapshots)
            case MergeOp():
                from builder.ops.merge import MergeOperation  # few builds have one

                return MergeOperation(vertex, vertex.op, self._snapshots)
            case _ as op:
                assert_never(op)

    @cached_property
    def _remote(self) -> RemoteSources:
        assert self._open_remote is not None, "this build was said to read nothing from elsewhere"
        return self._open_remote()

    def _source(self, digest: Digest, op: SourceOp) -> Op[Result]:
        scheme, _, rest = op.identifier.partition("://")
        if scheme in ("docker-image", "oci-layout"):
            return ImageOperation(op.identifier, *self._image(Digest.parse(rest.rpartition("@")[2])))
        if scheme == "local":
            return LocalOperation(rest, self._contexts)
        from builder.ops.remote import BlobOperation, GitOperation, HttpOperation

        match scheme.lower():
            case "http" | "https":
                return HttpOperation(digest, op, self._snapshots, self._remote.files())
            case "git":
                return GitOperation(op, self._snapshots, self._remote.git())
            case "blob":
                return BlobOperation(op, self._snapshots, self._remote.blobs)
            case _:
                raise Unsupported(f'sources of kind "{scheme}" are not known')
