"""How many layers each step of a graph lays over which image."""

from __future__ import annotations

from collections.abc import Callable

from builder.cache.interface import Lineage
from builder.core.digest import Digest
from builder.core.image import ImageConfig, chain_ids
from builder.llb.definition import Definition, Vertex
from builder.llb.ops import ExecOp, FileOp, MergeOp, SourceOp

_EMPTY = Lineage("", None, 0)

Images = Callable[[Digest], tuple[ImageConfig, str]]


def lineages(definition: Definition, image: Images) -> dict[Digest, Lineage]:
    """By vertex. ``image(digest)`` gives config and top snapshot of an image; contexts have no lineage."""
    found: dict[Digest, Lineage] = {}
    for digest, vertex in definition:
        lineage = _lineage(vertex, found, image)
        if lineage is not None:
            found[digest] = lineage
    return found


def chain_of(definition: Definition) -> set[Digest]:
    """The vertices whose results are layers of the target."""
    chain: set[Digest] = set()
    edge = definition.target
    while edge is not None:
        chain.add(edge.vertex)
        vertex = definition.vertices[edge.vertex]
        root = _root(vertex)
        edge = vertex.inputs[root] if root >= 0 else None
    return chain


def _root(vertex: Vertex) -> int:
    """The input that the result's layers lie on; -1: none."""
    match vertex.op:
        case ExecOp():
            return vertex.op.mounts[0].input
        case FileOp():
            return vertex.op.base
        case MergeOp():
            return 0
        case _:
            return -1


def _lineage(vertex: Vertex, known: dict[Digest, Lineage], image: Images) -> Lineage | None:
    below = [known.get(edge.vertex, _EMPTY) for edge in vertex.inputs]
    match vertex.op:
        case SourceOp():
            return _source(vertex.op, image)
        case MergeOp():
            merged, *others = below
            for other in others:
                if not _depth(merged):
                    merged = other
                elif _depth(other):
                    merged = merged._replace(height=merged.height + 1)
            return merged
        case _:
            root = _root(vertex)
            base = below[root] if root >= 0 else _EMPTY
            return base._replace(height=base.height + 1)


def _source(op: SourceOp, image: Images) -> Lineage | None:
    scheme, _, rest = op.identifier.partition("://")
    if scheme == "local":
        return None
    if scheme not in ("docker-image", "oci-layout"):
        return _EMPTY._replace(height=1)
    config, snapshot = image(Digest.parse(rest.rpartition("@")[2]))
    chain = chain_ids(config.diff_ids)
    return Lineage(snapshot, chain[-1] if chain else None, 0)


def _depth(lineage: Lineage) -> int:
    return lineage.height + (lineage.base_chain is not None)
