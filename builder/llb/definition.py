"""A build as a value: vertices keyed by digest, edges between them, and the edge that is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from builder.core.canonical import digest_of, unhashed
from builder.core.digest import Digest
from builder.core.location import Location
from builder.core.platform import Platform
from builder.llb.ops import OpSpec


@dataclass(frozen=True, slots=True)
class Edge:
    """Output number ``output`` of the vertex with that digest; by digest, so that a definition stays flat."""

    vertex: Digest
    output: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """One operation and what it reads.

    ``ignores_cache``: run it even if a record would answer (--no-cache); no identity.
    """

    op: OpSpec
    inputs: tuple[Edge, ...] = ()
    platform: Platform | None = None
    name: str = unhashed("")  # people read it, identity does not
    location: Location | None = unhashed()
    ignores_cache: bool = unhashed(False)

    def digest(self) -> Digest:
        """Of the definition, not of the result: names one step within one job."""
        return digest_of(self)


@dataclass(frozen=True, slots=True)
class Definition:
    """A closed graph: iterating ``vertices`` yields inputs before their users. ``target`` None is scratch."""

    vertices: Mapping[Digest, Vertex]
    target: Edge | None

    def __iter__(self) -> Iterator[tuple[Digest, Vertex]]:
        return iter(self.vertices.items())


def merged(definitions: Iterable[Definition]) -> Definition:
    """One graph with the vertices of all; it has no target of its own."""
    vertices: dict[Digest, Vertex] = {}
    for definition in definitions:
        for digest, vertex in definition:
            vertices.setdefault(digest, vertex)
    return Definition(vertices, None)


class DefinitionBuilder:
    """Collects vertices in order and gives out edges; equal vertices are one."""

    def __init__(self) -> None:
        self._vertices: dict[Digest, Vertex] = {}

    def add(self, vertex: Vertex, output: int = 0) -> Edge:
        """Inputs must have been added before."""
        digest = vertex.digest()
        assert all(edge.vertex in self._vertices for edge in vertex.inputs), "an input was not added"
        self._vertices.setdefault(digest, vertex)
        return Edge(digest, output)

    def build(self, target: Edge | None) -> Definition:
        """The closed graph that ``target`` needs; whatever it does not reach is left out."""
        needed: set[Digest] = set()
        pending = [target.vertex] if target else []
        while pending:
            digest = pending.pop()
            if digest not in needed:
                needed.add(digest)
                pending.extend(edge.vertex for edge in self._vertices[digest].inputs)
        return Definition({d: v for d, v in self._vertices.items() if d in needed}, target)
