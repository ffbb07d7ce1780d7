"""What each step's tree stands on: the shape that a shared record must have."""

from __future__ import annotations

import pytest

from builder.cache.interface import Lineage
from builder.core.digest import Digest
from builder.core.image import ImageConfig, chain_ids
from builder.core.platform import Platform
from builder.engine.sharing.lineage import chain_of, lineages
from builder.llb.definition import DefinitionBuilder, Edge, Vertex
from builder.llb.ops import CopyAction, ExecOp, FileOp, InputMount, MergeOp, SourceOp

IMAGE, SCRATCH = Digest.of(b"image"), Digest.of(b"image without layers")
DIFF_IDS = (Digest.of(b"1"), Digest.of(b"2"))
BASE = Lineage("base-snapshot", chain_ids(DIFF_IDS)[-1], 0)
EMPTY = Lineage("", None, 0)


class Graph:
    """Makes vertices by what they do."""

    def __init__(self) -> None:
        self.builder = DefinitionBuilder()

    def source(self, identifier: str) -> Edge:
        return self.builder.add(Vertex(op=SourceOp(identifier=identifier)))

    def run(self, base: Edge | None, *, mounted: Edge | None = None) -> Edge:
        inputs = tuple(edge for edge in (mounted, base) if edge is not None)
        root = len(inputs) - 1 if base is not None else -1
        mounts = [InputMount(input=root, target="/", output=0)]
        if mounted is not None:
            mounts.append(InputMount(input=0, target="/m", is_read_only=True))
        return self.builder.add(Vertex(op=ExecOp(args=("x",), mounts=tuple(mounts)), inputs=inputs))

    def copy(self, source: Edge, base: Edge | None) -> Edge:
        inputs = (source,) if base is None else (base, source)
        action = CopyAction(input=len(inputs) - 1, source="/a", destination="/a")
        return self.builder.add(
            Vertex(op=FileOp(actions=(action,), base=0 if base is not None else -1), inputs=inputs)
        )

    def merge(self, *edges: Edge) -> Edge:
        return self.builder.add(Vertex(op=MergeOp(), inputs=edges))

    def lineage(self, edge: Edge) -> Lineage | None:
        return lineages(self.builder.build(edge), image).get(edge.vertex)


def image(digest: Digest) -> tuple[ImageConfig, str]:
    if digest == SCRATCH:
        return ImageConfig(platform=Platform("linux", "amd64")), ""
    return ImageConfig(platform=Platform("linux", "amd64"), diff_ids=DIFF_IDS), "base-snapshot"


@pytest.fixture
def graph() -> Graph:
    return Graph()


def test_steps_over_an_image(graph: Graph) -> None:
    """One layer each, whatever else they read."""
    base = graph.source(f"docker-image://docker.io/library/base:1@{IMAGE}")
    context = graph.source("local://context")
    copied = graph.copy(context, graph.run(base))

    assert graph.lineage(base) == BASE
    assert graph.lineage(context) is None
    assert graph.lineage(graph.run(copied, mounted=graph.run(base))) == BASE._replace(height=3)


def test_steps_over_nothing(graph: Graph) -> None:
    """Scratch, an image without layers, and sources that are steps themselves."""
    empty = graph.source(f"docker-image://docker.io/library/empty:1@{SCRATCH}")

    assert graph.lineage(graph.run(None)) == EMPTY._replace(height=1)
    assert graph.lineage(graph.run(empty)) == EMPTY._replace(height=1)
    assert graph.lineage(graph.source("https://host.example/file")) == EMPTY._replace(height=1)
    assert graph.lineage(graph.source("git://host.example/repository")) == EMPTY._replace(height=1)


def test_linked_copies(graph: Graph) -> None:
    """Each is one layer over the first tree that is any; of its own it has none below."""
    base = graph.source(f"oci-layout:///path@{IMAGE}")
    empty = graph.source(f"docker-image://docker.io/library/empty:1@{SCRATCH}")
    context = graph.source("local://context")
    one = graph.copy(context, None)
    two = graph.run(one)

    assert graph.lineage(one) == EMPTY._replace(height=1)
    assert graph.lineage(graph.merge(base, two)) == BASE._replace(height=1)
    assert graph.lineage(graph.merge(graph.merge(base, one), two)) == BASE._replace(height=2)
    assert graph.lineage(graph.merge(base, one, two)) == BASE._replace(height=2)
    assert graph.lineage(graph.merge(empty, two)) == EMPTY._replace(height=2)


def test_layers_of_the_target(graph: Graph) -> None:
    """Down to the image, and not what the steps copy from."""
    base = graph.source(f"docker-image://docker.io/library/base:1@{IMAGE}")
    tools, below = graph.run(graph.source("https://host.example/file")), graph.run(base)
    target = graph.copy(tools, below)

    assert chain_of(graph.builder.build(target)) == {edge.vertex for edge in (base, below, target)}
