"""Definitions: vertices by digest, closed and in order."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.location import Location
from builder.core.platform import Platform
from builder.llb.definition import Definition, DefinitionBuilder, Edge, Vertex
from builder.llb.ops import CopyAction, ExecOp, FileOp, InputMount, SourceOp


def source(name: str) -> Vertex:
    return Vertex(op=SourceOp(identifier=f"local://{name}"))


def run(command: str, *inputs: Edge, **more: object) -> Vertex:
    return Vertex(op=ExecOp(args=(command,)), inputs=inputs, **more)  # type: ignore[arg-type]  # for tests


def test_names_and_locations_are_no_identity() -> None:
    """The same work on another line, under another name, is the same vertex."""
    plain = run("make")
    told = run("make", name="[2/3] RUN make", location=Location(3, 0, 3, 9), ignores_cache=True)

    assert plain.digest() == told.digest()


@pytest.mark.parametrize(
    "other",
    [
        run("make all"),
        run("make", Edge(source("a").digest())),
        run("make", platform=Platform("linux", "arm64")),
        Vertex(op=ExecOp(args=("make",), env=("A=1",))),
        Vertex(op=ExecOp(args=("make",), network="none")),
        Vertex(
            op=ExecOp(args=("make",), mounts=(InputMount(input=0, target="/", output=0, is_read_only=True),))
        ),
        Vertex(op=FileOp(actions=(CopyAction(input=0, source="make", destination="/"),))),
    ],
)
def test_everything_else_is(other: Vertex) -> None:
    """Operation, inputs and platform count."""
    assert run("make").digest() != other.digest()


def test_output_number_is_identity() -> None:
    """Another output of the same input makes another vertex."""
    below = source("a").digest()

    assert run("x", Edge(below, 0)).digest() != run("x", Edge(below, 1)).digest()


def test_proxies_are_no_identity() -> None:
    """Proxy settings reach the process and not the digest."""
    assert ExecOp(args=("x",)) == ExecOp(args=("x",), unkeyed_env=("http_proxy=http://p",))


def test_equal_vertices_are_one() -> None:
    """Adding a vertex twice gives the same edge, and the first one's name."""
    builder = DefinitionBuilder()
    first = builder.add(run("make", name="first"))
    second = builder.add(run("make", name="second"))
    definition = builder.build(second)

    assert first == second
    assert [vertex.name for _, vertex in definition] == ["first"]


def test_build_leaves_out_what_the_target_does_not_need() -> None:
    """A stage that nobody uses is not in the definition."""
    builder = DefinitionBuilder()
    used, unused = builder.add(source("used")), builder.add(source("unused"))
    top = builder.add(run("top", used))
    builder.add(run("other", unused))
    definition = builder.build(top)

    assert list(definition.vertices) == [used.vertex, top.vertex]


def test_scratch_is_empty() -> None:
    """No target, no vertices."""
    builder = DefinitionBuilder()
    builder.add(source("a"))

    assert builder.build(None) == Definition({}, None)


def test_an_input_must_be_there_first() -> None:
    """A vertex over one that was not added is a bug of the caller."""
    builder = DefinitionBuilder()
    with pytest.raises(AssertionError):
        builder.add(run("x", Edge(source("a").digest())))


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), min_size=1, max_size=30), st.integers(0, 29))
def test_inputs_come_before_users(shape: list[list[int]], target: int) -> None:
    """Iterating a definition yields every vertex once, after all of its inputs."""
    builder = DefinitionBuilder()
    edges: list[Edge] = []
    for number, wanted in enumerate(shape):
        inputs = [edges[i % number] for i in wanted] if number else []
        edges.append(builder.add(run(str(number), *inputs)))
    definition = builder.build(edges[target % len(edges)])
    seen = set()
    for digest, vertex in definition:
        assert all(edge.vertex in seen for edge in vertex.inputs)
        assert vertex.digest() == digest
        seen.add(digest)

    assert edges[target % len(edges)].vertex in seen


def test_a_definition_is_a_value() -> None:
    """It can be sent elsewhere and is the same there."""
    builder = DefinitionBuilder()
    definition = builder.build(builder.add(run("x", builder.add(source("a")))))

    assert pickle.loads(pickle.dumps(definition)) == definition
