"""A definition as a networkx graph, for looking at: plans, drawings, and as an oracle of tests.

Never on the way of a build: importing networkx takes longer than a cached build may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from builder.llb.definition import Definition

if TYPE_CHECKING:
    import networkx


def as_networkx(definition: Definition) -> networkx.DiGraph:
    """Digests, with an arrow from every input to its user.

    A vertex has the attributes ``name`` and ``kind`` ("source", "exec", "file", "merge"), an arrow has
    ``outputs``: the numbers of the outputs that are read. The graph has ``target``, a digest or None.
    """
    import networkx

    graph = networkx.DiGraph(target=definition.target.vertex if definition.target else None)
    for digest, vertex in definition:
        kind = type(vertex.op).__name__.removesuffix("Op").lower()
        graph.add_node(digest, name=vertex.name, kind=kind)
        for below in dict.fromkeys(edge.vertex for edge in vertex.inputs):
            outputs = sorted({edge.output for edge in vertex.inputs if edge.vertex == below})
            graph.add_edge(below, digest, outputs=tuple(outputs))
    return graph


def critical_path(seconds: Mapping[str, float], inputs: Mapping[str, Sequence[str]]) -> list[str]:
    """The chain of steps, each an input of the next, that took longest in sum; first things first.

    Of ``inputs`` those count that have ``seconds``.
    """
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(seconds)
    for name in seconds:
        graph.add_edges_from(
            (below, name, {"seconds": seconds[name]}) for below in inputs.get(name, ()) if below in seconds
        )
    # What a step itself takes is on its arrows; the first step of a path has none.
    for name in seconds:
        graph.add_edge("", name, seconds=seconds[name])
    return [name for name in networkx.dag_longest_path(graph, weight="seconds") if name]
