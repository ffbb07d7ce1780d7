"""Definitions as networkx graphs."""

from __future__ import annotations

import networkx

from builder.llb.definition import Definition, DefinitionBuilder, Edge, Vertex
from builder.llb.ops import ExecOp, FileOp, MergeOp, SourceOp
from builder.solver.graph import as_networkx


def test_names_kinds_and_arrows() -> None:
    """Vertices carry their name and kind, arrows point from input to user and say which outputs are read."""
    builder = DefinitionBuilder()
    source = builder.add(Vertex(op=SourceOp(identifier="local://context"), name="context"))
    first = builder.add(Vertex(op=ExecOp(args=("make",)), inputs=(source,), name="RUN make"))
    files = builder.add(Vertex(op=FileOp(actions=()), inputs=(first, Edge(first.vertex, 1), first)))
    goal = builder.add(Vertex(op=MergeOp(), inputs=(files, source)))
    graph = as_networkx(builder.build(goal))

    assert dict(graph.nodes(data="kind")) == {
        source.vertex: "source", first.vertex: "exec", files.vertex: "file", goal.vertex: "merge",
    }  # fmt: skip
    assert graph.nodes[first.vertex]["name"] == "RUN make"
    assert dict(graph.edges) == {
        (source.vertex, first.vertex): {"outputs": (0,)},
        (first.vertex, files.vertex): {"outputs": (0, 1)},
        (files.vertex, goal.vertex): {"outputs": (0,)},
        (source.vertex, goal.vertex): {"outputs": (0,)},
    }
    assert graph.graph["target"] == goal.vertex
    assert networkx.is_directed_acyclic_graph(graph)
    assert list(networkx.topological_sort(graph))[-1] == goal.vertex


def test_scratch() -> None:
    """Nothing is an empty graph without a target."""
    graph = as_networkx(Definition({}, None))

    assert len(graph) == 0
    assert graph.graph["target"] is None
