"""Definitions as text."""

from __future__ import annotations

from builder.core.location import Location
from builder.llb.definition import DefinitionBuilder, Edge, Vertex
from builder.llb.ops import CopyAction, ExecOp, FileOp, InputMount, MakeFileAction, MergeOp, SourceOp
from builder.llb.show import show, show_vertex


def line(vertex: Vertex) -> str:
    """Without the digest."""
    return show_vertex(vertex.digest(), vertex).partition(" ")[2]


def test_a_definition_ends_with_its_target() -> None:
    """Inputs stand before their users, each named by the beginning of its digest."""
    graph = DefinitionBuilder()
    source = graph.add(
        Vertex(op=SourceOp(identifier=f"docker-image://a/b:c@sha256:{'1' * 64}", attributes=(("x", "a b"),)))
    )
    merged = graph.add(Vertex(op=MergeOp(), inputs=(source, Edge(source.vertex, 1))))
    one, two = source.vertex.hex[:16], merged.vertex.hex[:16]

    assert show(graph.build(merged)) == (
        f'{one} source docker-image://a/b:c@sha256:{"1" * 16} x="a b"\n'
        f"{two} merge <- {one} {one}.1\ntarget {two}\n"
    )
    assert show(graph.build(None)) == "target scratch\n"


def test_an_exec_shows_what_is_not_the_default() -> None:
    """Whatever an exec has beside its arguments is there, and nothing else."""
    mounts = (
        InputMount(input=-1, target="/", output=0),
        InputMount(input=0, target="/m", selector="s s", is_read_only=True, is_content_keyed=True),
        InputMount(input=1, target="/n", output=1),
    )
    full = ExecOp(
        args=("a", 'b"'), env=("A=1",), cwd="/w w", user="u", mounts=mounts, network="none",
        security="insecure", hostname="h", host_names=("x",), unkeyed_env=("P=1",),
    )  # fmt: skip

    assert line(Vertex(op=ExecOp(args=("a",)))) == 'exec ["a"]'
    assert line(Vertex(op=full, ignores_cache=True)) == (
        'exec ["a", "b\\""] env=["A=1"] cwd="/w w" user=u network=none security=insecure '
        'hostname=h hosts=["x"] '
        'unkeyed=["P=1"] mount(/, empty, output=0) mount(/m, input=0, path="s s", ro, by-content) '
        "mount(/n, input=1, output=1) no-cache"
    )


def test_file_actions_show_what_is_not_the_default() -> None:
    """Copies with all that they can have; data that is no text is escaped."""
    copy = CopyAction(
        input=1, source="/a", destination="/b/", owner="u:g", mode="755", keeps_owner=True, unpacks=True,
        allows_wildcards=False, includes=("i",), excludes=("e",),
    )  # fmt: skip
    write = MakeFileAction(destination="/f", data=b"\xff\n", owner="1")

    assert line(Vertex(op=FileOp(actions=(copy, write), base=2))) == (
        'file base=2 copy(1:/a, /b/, keep-owner, unpack, literal, include=["i"], exclude=["e"], '
        "owner=u:g, "
        'mode=755) write(/f, "\\\\xff\\n", owner=1, mode=0644)'
    )


def test_a_name_stays_on_its_line() -> None:
    """Names and places come last."""
    vertex = Vertex(op=MergeOp(), name='a\n"b"\\', location=Location(2, 1, 4, 1))

    assert line(vertex) == 'merge # a\\n"b"\\ @2-4'
