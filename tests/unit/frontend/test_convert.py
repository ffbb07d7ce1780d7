"""Dockerfiles to definitions and image configs; the texts and orders were checked with Docker's BuildKit."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
from frontend_bridge import AMD64, BUSYBOX, PATH, FakeBridge, convert
from hypothesis import given
from hypothesis import strategies as st

from builder.core.canonical import encode
from builder.core.errors import PybuildError, SeveralErrors, Unsupported
from builder.core.image import Healthcheck, ImageConfig
from builder.frontend.interface import FrontendResult
from builder.llb.definition import Vertex
from builder.llb.ops import (
    CopyAction,
    ExecOp,
    FileOp,
    InputMount,
    MakeDirectoryAction,
    MakeFileAction,
    MergeOp,
)


def history(result: FrontendResult) -> list[str]:
    """What the file added."""
    return [entry.created_by for entry in result.image.history if entry.comment]


def execs(result: FrontendResult) -> list[ExecOp]:
    return [vertex.op for _, vertex in result.definition if isinstance(vertex.op, ExecOp)]


def files(result: FrontendResult) -> list[Vertex]:
    return [vertex for _, vertex in result.definition if isinstance(vertex.op, FileOp)]


def copies(result: FrontendResult) -> list[CopyAction]:
    return [
        action
        for vertex in files(result)
        if isinstance(vertex.op, FileOp)
        for action in vertex.op.actions
        if isinstance(action, CopyAction)
    ]


def run_env(text: str, **options: object) -> list[str]:
    """The environment of the last RUN without PATH."""
    build_args = options.get("build_args")
    result = convert(text, build_args=build_args if isinstance(build_args, dict) else None)
    return [entry for entry in execs(result)[-1].env if not entry.startswith("PATH=")]


HISTORY = [
    ("MAINTAINER  Me <me@x>", "MAINTAINER Me <me@x>"),
    ('ENV k=v k2="a b" k3=\'q"uo\'', 'ENV k=v k2=a b k3=q"uo'),
    ("ENV legacy  some  rest = x", "ENV legacy=some  rest = x"),
    ('LABEL a="b c" "d.e"=f', "LABEL a=b c d.e=f"),
    (
        "EXPOSE 80 443/tcp 53/UDP 8000-8001 $nope",
        "EXPOSE map[443/tcp:{} 53/udp:{} 80/tcp:{} 8000/tcp:{} 8001/tcp:{}]",
    ),
    ("EXPOSE $nope", "EXPOSE map[]"),
    ("EXPOSE 9 10/udp", "EXPOSE map[10/udp:{} 9/tcp:{}]"),
    ("VOLUME /b /a", "VOLUME [/b /a]"),
    ('VOLUME ["/c c", "/d"]', "VOLUME [/c c /d]"),
    ("WORKDIR  rel/../sub", "WORKDIR /sub"),
    ("WORKDIR /x/", "WORKDIR /x/"),
    ("WORKDIR ''", "WORKDIR /"),
    ("USER 1:2", "USER 1:2"),
    ('run   echo $A \\\n   "hi"', 'RUN /bin/sh -c echo $A    "hi" # buildkit'),
    ('RUN ["/bin/echo", "hi\\ttab"]', "RUN /bin/echo hi\ttab # buildkit"),
    ("RUN", "RUN /bin/sh -c  # buildkit"),
    ("RUN <<EOF\necho hi\nEOF", "RUN /bin/sh -c echo hi\n # buildkit"),
    ("RUN 3<<EOF\necho hi\nEOF", "RUN /bin/sh -c echo hi\n # buildkit"),
    ("RUN <<EOF\n#!/bin/sh\nEOF", "RUN /bin/sh -c /dev/pipes/EOF # buildkit"),
    ("RUN <<-EOF\n\t#!/bin/sh\n\tEOF", "RUN /bin/sh -c #!/bin/sh\n # buildkit"),
    ("RUN <<A <<-B\nhi\nA\n\tho\nB", "RUN /bin/sh -c <<A <<-B\nhi\nA\n\tho\nB # buildkit"),
    ("RUN <<X cat > /f\nbody\nX", "RUN /bin/sh -c <<X cat > /f\nbody\nX # buildkit"),
    ("COPY a b /dest/", "COPY a b /dest/ # buildkit"),
    ('COPY --chown=1:2 --chmod=755 ["a", "b c", "/d/"]', "COPY --chown=1:2 --chmod=755 a b c /d/ # buildkit"),
    ("COPY --chmod=0644 --chown=root a /q", "COPY --chown=root --chmod=0644 a /q # buildkit"),
    ("COPY --chown=$nope --chmod= a /q", "COPY a /q # buildkit"),
    ("COPY --from=busybox /bin/true /t", "COPY /bin/true /t # buildkit"),
    ("COPY --link --exclude=x --chown=1 a /q", "COPY --chown=1 a /q # buildkit"),
    ("COPY --chmod=7 --link=false --parents x/./a /q", "COPY --parents --chmod=7 x/./a /q # buildkit"),
    ("ADD --link --exclude=x a /q", "ADD a /q # buildkit"),
    ("ADD --chown=3 a /dest4/", "ADD --chown=3 a /dest4/ # buildkit"),
    ("COPY a <<EOF <<-'F2' b /hd/\nx\nEOF\n\tF2", "COPY a b <<EOF <<F2 /hd/ # buildkit"),
    ('SHELL ["/bin/sh", "-ec"]', "SHELL [/bin/sh -ec]"),
    ('CMD echo hi   there "x"', 'CMD ["/bin/sh" "-c" "echo hi   there \\"x\\""]'),
    ("CMD []", "CMD []"),
    ("CMD", 'CMD ["/bin/sh" "-c" ""]'),
    ('ENTRYPOINT ["/e", "é", "\\u0001", "a\\\\b"]', 'ENTRYPOINT ["/e" "é" "\\x01" "a\\\\b"]'),
    (
        "HEALTHCHECK --interval=5s --timeout=1m30s --retries=3 CMD curl  -f x",
        'HEALTHCHECK &{["CMD-SHELL" "curl  -f x"] "5s" "1m30s" "0s" "0s" \'\\x03\'}',
    ),
    ("HEALTHCHECK NONE", 'HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" \'\\x00\'}'),
    ("STOPSIGNAL kill", "STOPSIGNAL kill"),
    ("ARG a=1 b", "ARG a=1 b"),
    ("ARG TARGETARCH", "ARG TARGETARCH"),
]


@pytest.mark.parametrize(("line", "text"), HISTORY, ids=[line for line, _ in HISTORY])
def test_history(line: str, text: str) -> None:
    """The history says what Docker's says, byte for byte."""
    assert [text] == history(convert(f"FROM busybox\n{line}\n"))


def test_layers_in_the_history() -> None:
    """RUN, COPY, ADD and WORKDIR make layers, the root directory does not, nor does anything else."""
    result = convert("FROM busybox\nWORKDIR /\nWORKDIR /a\nRUN x\nCOPY a /\nADD a /\nENV a=b\nCMD x\nUSER u")

    assert [entry.is_empty_layer for entry in result.image.history[1:]] == [
        True,
        False,
        False,
        False,
        False,
        True,
        True,
        True,
    ]
    assert result.image.history[0].created_by == "base"
    assert (result.image.created, result.image.history[-1].created) == ("", "")


def test_arguments_in_the_history() -> None:
    """RUN shows every ARG of the stage as it is then; ARG shows the default and not what was given."""
    result = convert(
        "FROM busybox AS x\nARG INHERITED=1\nFROM x\nARG A=1 B\nARG C='x y'\nENV C=env\nARG A=2\nRUN r",
        build_args={"A": "given"},
    )

    assert history(result)[1:-1] == ["ARG A=1 B", "ARG C=x y", "ENV C=env", "ARG A=2"]
    assert history(result)[-1] == "RUN |4 A=given B= C=env A=given /bin/sh -c r # buildkit"


def test_triggers_are_not_in_the_history() -> None:
    """ONBUILD changes the config and leaves no line."""
    result = convert("FROM busybox\nONBUILD RUN  a\nONBUILD COPY <<EOF /\nx\nEOF")

    assert history(result) == []
    assert result.image.on_build == ("RUN  a", "COPY <<EOF /\nx\nEOF")


def test_metadata_makes_no_vertex() -> None:
    """Only the base is left of a file that describes."""
    result = convert("FROM busybox\nENV a=b\nLABEL a=b\nCMD x\nEXPOSE 1\nUSER u\nARG z\nWORKDIR /")

    assert len(result.definition.vertices) == 1


def test_image_config() -> None:
    """Everything that the instructions say about the image, over what the base says."""
    base = dataclasses.replace(
        BUSYBOX, env=("A=base", "B=base"), labels={"l": "base", "m": "base"}, exposed_ports=("1/tcp",),
        volumes=("/v",), user="base", extra={"Hostname": "x"}, author="base", stop_signal="INT",
        extra_root={"os.version": "1", "docker_version": "2"}, healthcheck=Healthcheck(test=("NONE",)),
    )  # fmt: skip
    image = convert(
        "FROM busybox\nENV B=new C=c\nLABEL m=new n=n\nEXPOSE 80\nVOLUME /w /v\nMAINTAINER me\nWORKDIR /d\n"
        "CMD a\n"
        'SHELL ["/bin/bash"]\nENTRYPOINT e',
        labels={"n": "given", "o": "o"},
        bridge=FakeBridge({"busybox": base}),
    ).image

    assert image.env == ("A=base", "B=new", PATH, "C=c")
    assert image.labels == {"l": "base", "m": "new", "n": "given", "o": "o"}
    assert (image.exposed_ports, image.volumes) == (("1/tcp", "80/tcp"), ("/v", "/w"))
    assert (image.author, image.user, image.working_dir, image.stop_signal) == ("me", "base", "/d", "INT")
    assert (image.cmd, image.entrypoint) == (("/bin/sh", "-c", "a"), ("/bin/bash", "e"))
    assert image.args_escaped
    assert Healthcheck(test=("NONE",)) == image.healthcheck
    assert (image.extra, image.extra_root) == ({}, {"os.version": "1"})


def test_scratch_config() -> None:
    """An image of nothing has a PATH and a working directory."""
    result = convert("FROM scratch\nCMD x")

    assert result.definition.target is None
    expected = ImageConfig(
        platform=AMD64, env=(PATH,), working_dir="/", cmd=("/bin/sh", "-c", "x"), args_escaped=True,
        history=result.image.history,
    )  # fmt: skip
    assert expected == result.image


@pytest.mark.parametrize(
    ("text", "entrypoint", "cmd"),
    [
        ("FROM busybox\nENTRYPOINT []", None, None), ('FROM busybox\nENTRYPOINT ["a"]', ("a",), None),
        ('FROM busybox\nCMD ["y"]\nENTRYPOINT ["z"]', ("z",), ("y",)),
        ('FROM busybox\nENTRYPOINT ["x"]\nCMD ["y"]\nENTRYPOINT ["z"]', ("z",), ("y",)),
        ('FROM busybox AS p\nCMD ["y"]\nFROM p\nENTRYPOINT ["z"]', ("z",), None),
        ('FROM busybox AS p\nENTRYPOINT ["z"]\nFROM p\nCMD ["y"]', ("z",), ("y",)),
        ("FROM busybox\nCMD []", None, None), ("FROM busybox", None, ("sh",)),
        ('FROM busybox\nSHELL ["/b", "-c"]\nCMD a\nSHELL ["/c"]', None, ("/b", "-c", "a")),
    ],
)  # fmt: skip
def test_entrypoint_and_cmd(
    text: str, entrypoint: tuple[str, ...] | None, cmd: tuple[str, ...] | None
) -> None:
    """ENTRYPOINT drops a CMD that the same stage did not set; the shell is the one in force at the line."""
    image = convert(text).image

    assert (entrypoint, cmd) == (image.entrypoint, image.cmd)


ENVIRONMENTS = [
    # ENV beats an earlier ARG; a later ARG wins in the build and not in the image
    ("ARG a=arg\nENV a=env\nRUN x", ["a=env"]),
    ("ENV a=env\nARG a=arg\nRUN x", ["a=arg"]),
    ("ENV a=1\nENV b=$a a=2 c=$a\nRUN x", ["b=1", "a=2", "c=1"]),
    ("ARG a=1 b=$a c=$b$a\nRUN x", ["a=1", "b=1", "c=11"]),
    ("ARG a\nARG b=\nRUN x", ["b="]),
    ("ARG a=$nope\nRUN x", ["a="]),
    ("ENV a=b c=d\nENV a=e\nARG q=1\nENV c=f\nARG a=2\nRUN x", ["q=1", "c=f", "a=2"]),
    ("ARG BUILDKIT_SBOM_SCAN_STAGE=1\nRUN x", []),
    ("ARG TARGETPLATFORM\nARG TARGETVARIANT\nARG TARGETOS=mine\nRUN x",
     ["TARGETPLATFORM=linux/amd64", "TARGETVARIANT=", "TARGETOS=mine"]),
    ("ARG TARGETSTAGE\nRUN x", ["TARGETSTAGE=default"]),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), ENVIRONMENTS, ids=[lines for lines, _ in ENVIRONMENTS])
def test_environment_of_run(lines: str, expected: list[str]) -> None:
    """What the image has and every ARG, the last one set at the end."""
    assert expected == run_env(f"FROM busybox\n{lines}")


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("ARG G=global\nFROM busybox\nRUN x", {}, []),
        ("ARG G=global\nFROM busybox\nARG G\nRUN x", {}, ["G=global"]),
        ("ARG G=global\nFROM busybox\nARG G=stage\nRUN x", {}, ["G=stage"]),
        ("ARG G=global\nFROM busybox\nARG G=stage\nRUN x", {"G": "given"}, ["G=given"]),
        ("ARG G=global\nFROM busybox\nARG G\nRUN x", {"G": ""}, ["G="]),
        ("ARG G=1 H=$G\nFROM busybox\nARG H\nRUN x", {"G": "2"}, ["H=2"]),
        ("FROM busybox AS p\nARG a=1\nFROM busybox\nRUN x", {}, []),
        ("FROM busybox AS p\nARG a=1\nENV b=2\nARG b=3\nFROM p\nRUN x", {}, ["a=1", "b=2"]),
        ("FROM busybox\nARG TARGETARCH\nRUN x", {"TARGETARCH": "mine"}, ["TARGETARCH=mine"]),
        ("FROM busybox\nRUN x", {"undeclared": "1"}, []),
    ],
)
def test_scopes_of_arguments(text: str, given: dict[str, str], expected: list[str]) -> None:
    """Global ones need a declaration in the stage, whose default wins; children have their parent's."""
    assert expected == run_env(text, build_args=given)


def test_arguments_of_from() -> None:
    """FROM sees global arguments and those that are always there, with what was given for them."""
    bridge = FakeBridge({"busybox:1-amd64": BUSYBOX})
    convert(
        "ARG NAME=x\nARG TAG=1\nFROM ${NAME}:${TAG:-2}-$TARGETARCH",
        build_args={"NAME": "busybox"},
        bridge=bridge,
    )

    assert bridge.asked == [("busybox:1-amd64", "linux/amd64")]


def test_proxies() -> None:
    """Both spellings reach RUN, not the key and not the history, unless an ARG declares them."""
    plain = convert(
        "FROM busybox\nRUN x\nLABEL l=$HTTP_PROXY", build_args={"http_proxy": "p", "NO_PROXY": "n"}
    )
    declared = convert("FROM busybox\nARG http_proxy\nRUN x", build_args={"http_proxy": "p"})
    without = convert("FROM busybox\nRUN x")

    assert execs(plain)[0].unkeyed_env == ("HTTP_PROXY=p", "http_proxy=p", "NO_PROXY=n", "no_proxy=n")
    assert encode(execs(without)[0]) == encode(execs(plain)[0])
    assert history(plain)[0] == "RUN /bin/sh -c x # buildkit"
    assert plain.image.labels == {"l": ""}
    assert "http_proxy=p" in execs(declared)[0].env
    assert history(declared)[-1] == "RUN |1 http_proxy=p /bin/sh -c x # buildkit"


def test_run() -> None:
    """A process with the stage's environment, directory and user over the stage's tree."""
    result = convert(
        'FROM busybox\nUSER u:g\nWORKDIR /a/../b//c/\nSHELL ["/s", "-x"]\nRUN a  b\nRUN ["c", ""]'
    )

    shell, plain = execs(result)
    assert (shell.args, plain.args) == (("/s", "-x", "a  b"), ("c", ""))
    assert (shell.cwd, shell.user, shell.env) == ("/b/c", "u:g", (PATH,))
    assert (InputMount(input=0, target="/", output=0),) == shell.mounts


def test_run_on_nothing() -> None:
    """The root of a RUN on scratch is an empty tree."""
    (op,) = execs(convert("FROM scratch\nRUN x"))

    assert (InputMount(input=-1, target="/", output=0),) == op.mounts


@pytest.mark.parametrize("base", ["busybox", "scratch"])
def test_script(base: str) -> None:
    """A heredoc with an interpreter line is a read-only file that is run."""
    result = convert(f"FROM {base}\nRUN <<'FILE'\n#!/bin/python\n$x\nFILE")
    (op,) = execs(result)
    *_, script = files(result)

    assert op.args == ("/bin/sh", "-c", "/dev/pipes/FILE")
    place = 1 if base == "busybox" else 0
    assert InputMount(input=place, target="/dev/pipes", is_read_only=True) == op.mounts[1]
    action = MakeFileAction(destination="/FILE", data=b"#!/bin/python\n$x\n", mode="0755")
    assert FileOp(actions=(action,), base=-1) == script.op


@pytest.mark.parametrize(
    ("line", "requested", "network"),
    [
        ("RUN x", None, "default"), ("RUN x", "none", "none"), ("RUN --network=default x", "host", "host"),
        ("RUN --network=none x", "host", "none"), ("RUN --network=host x", None, "host"),
    ],
)  # fmt: skip
def test_network(line: str, requested: str | None, network: str) -> None:
    """--network of the build replaces the default and nothing else."""
    (op,) = execs(convert(f"FROM busybox\n{line}", network=requested))

    assert network == op.network


@pytest.mark.parametrize(
    ("cwd", "destination", "expected"),
    [
        ("/", "/f", "/f"), ("/", "f", "/f"), ("/w", "f", "/w/f"), ("/w", ".", "/w/"), ("/w", "./", "/w/"),
        ("/w", "/x/.", "/x/"), ("/w", "/y/../z", "/z"), ("/w", "..", "/"), ("/w", "../../a/", "/a/"),
        ("/w", "d//e/", "/w/d/e/"), ("/w", "$nope", "/w"), ("/", "$nope", "/"), ("/w", "//x", "/x"),
        ("/w", "/y/z/..", "/y"),
    ],
)  # fmt: skip
def test_copy_destination(cwd: str, destination: str, expected: str) -> None:
    """Relative to WORKDIR; a slash or a dot at the end says that it is a directory."""
    (action,) = copies(convert(f"FROM busybox\nWORKDIR {cwd}\nCOPY a {destination}"))

    assert expected == action.destination


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a", "/a"),
        ("/a/", "/a"),
        ("../../a", "/a"),
        (".", "/"),
        ("a/.", "/a"),
        ("*.t[xy]t", "/*.t[xy]t"),
        ("$s", "/x y"),
    ],
)
def test_copy_source(source: str, expected: str) -> None:
    """Nothing leaves the root of the context, and a variable is one word."""
    (action,) = copies(convert(f"FROM busybox\nENV s='x y'\nCOPY {source} /"))

    assert expected == action.source


def test_copy_from_context() -> None:
    """One vertex with an action for each source; the files belong to root unless --chown says otherwise."""
    result = convert("FROM busybox\nARG who=1:2\nCOPY --chown=$who --chmod=u+x a b /d/\nADD c /e")

    first, second = files(result)
    context = next(
        digest for digest, vertex in result.definition if vertex.name == "[internal] load build context"
    )
    assert context == first.inputs[1].vertex == second.inputs[1].vertex
    a, b, c = copies(result)
    assert [(each.source, each.owner, each.mode, each.unpacks) for each in (a, b, c)] == [
        ("/a", "1:2", "u+x", False),
        ("/b", "1:2", "u+x", False),
        ("/c", None, None, True),
    ]
    assert not a.keeps_owner
    assert [each.input for each in (a, b, c)] == [1, 1, 1]


def test_copy_from_stage_and_image() -> None:
    """The files keep their owners, and are not unpacked; the empty image can be copied from too."""
    result = convert(
        "FROM scratch AS nothing\nFROM busybox AS one\nRUN x\nFROM scratch\nCOPY --from=one /a /\n"
        "COPY --from=busybox /b /\nCOPY --from=nothing /c /\nCOPY --from=scratch /d /"
    )

    assert [action.keeps_owner for action in copies(result)] == [True] * 4
    first, *others = [vertex for vertex in files(result) if vertex.location]
    assert isinstance(first.op, FileOp)
    assert (
        first.op.base,
        first.op.actions[0].input if isinstance(first.op.actions[0], CopyAction) else None,
    ) == (-1, 0)
    (empty,) = [vertex for vertex in files(result) if not vertex.location]
    assert empty.digest() == others[1].inputs[1].vertex == others[2].inputs[1].vertex


def test_copy_of_heredocs() -> None:
    """Each is a file; unquoted ones are expanded, where quotes are text and a backslash escapes."""
    result = convert(
        "# escape=`\nFROM busybox\nENV v=value\n"
        "COPY a <<EOF <<'RAW' <<*.x /d/\nx$v \\$v \"q\" 'z' ${nope}. \\\\ \\a\nEOF\n$v\nRAW\n*.x"
    )

    data = [
        action.data
        for vertex in files(result)
        if isinstance(vertex.op, FileOp)
        for action in vertex.op.actions
        if isinstance(action, MakeFileAction)
    ]
    assert data == [b"xvalue $v \"q\" 'z' . \\ a\n", b"$v\n", b""]
    assert [(action.source, action.input, action.allows_wildcards) for action in copies(result)] == [
        ("/a", 1, True),
        ("/EOF", 2, False),
        ("/RAW", 3, False),
        ("/*.x", 4, False),
    ]
    assert [warning.message.split("$")[1].strip('"') for warning in result.warnings] == ["nope"]


def test_workdir() -> None:
    """Makes the directory as the current user, also on nothing; an absolute path stays as written."""
    result = convert("FROM scratch\nWORKDIR /a/b/\nUSER u\nWORKDIR c/\nWORKDIR ../../..\nWORKDIR .")

    assert [
        FileOp(actions=(MakeDirectoryAction(path="/a/b"),), base=-1),
        FileOp(actions=(MakeDirectoryAction(path="/a/b/c", owner="u"),)),
    ] == [vertex.op for vertex in files(result)]
    assert history(result) == ["WORKDIR /a/b/", "USER u", "WORKDIR /a/b/c", "WORKDIR /", "WORKDIR /"]


def test_relative_to_the_base() -> None:
    """The base's user and directory are where a stage begins."""
    base = dataclasses.replace(BUSYBOX, working_dir="/base", user="me")
    result = convert("FROM busybox\nRUN x\nWORKDIR y", bridge=FakeBridge({"busybox": base}))

    assert (execs(result)[0].cwd, execs(result)[0].user) == ("/base", "me")
    assert result.image.working_dir == "/base/y"


PIVOTS = [
    ("a/b", "/", ("a/b",)),
    ("./a/b/", "/", ("a/b",)),
    ("/a/../b/.", "/", ("b",)),
    ("../a", "/", ("a",)),
    ("a/./b/./c", "/a", ("b/c",)),
    ("./a/./b", "/a", ("b",)),
    ("/./a", "/", ("a",)),
    ("a*/./**/x", "/a*", ("**/x",)),
    (".", "/", ()),
    ("/", "/", ()),
    ("a/./", "/a", ()),
]


@pytest.mark.parametrize(("source", "base", "includes"), PIVOTS, ids=[row[0] for row in PIVOTS])
def test_parents(source: str, base: str, includes: tuple[str, ...]) -> None:
    """The first /./ ends what is left out of the names; what follows is a pattern below that."""
    (action,) = copies(convert(f"FROM busybox\nCOPY --parents {source} /x/"))

    assert (action.source, action.includes, action.location_hint) == (base, includes, source)


def test_excludes() -> None:
    """They are not expanded, and hold for every source; what can match nothing is warned of."""
    text = "FROM busybox\nARG P=p\nCOPY --exclude=$P --exclude=!b --exclude= a c /x/\nCOPY --exclude=/y a /z"
    result = convert(text)

    assert [action.excludes for action in copies(result)] == [("$P", "!b", "")] * 2 + [("/y",)]
    assert [warning.location.start_line for warning in result.warnings if warning.location] == [4]


def test_link() -> None:
    """The layer has no parent, the merge is not a step, and over nothing there is none."""
    result = convert("FROM busybox\nRUN x\nCOPY --link a /b/\nWORKDIR c", ignores_cache=True)
    vertices = [vertex for _, vertex in result.definition]
    (merge,) = (vertex for vertex in vertices if isinstance(vertex.op, MergeOp))
    below, layer = (result.definition.vertices[edge.vertex] for edge in merge.inputs)

    assert (merge.op, merge.name, merge.ignores_cache) == (MergeOp(destination="/b"), "", True)
    assert isinstance(below.op, ExecOp)
    assert isinstance(layer.op, FileOp)
    assert (layer.op.base, len(layer.inputs), layer.name) == (-1, 1, "[3/4] COPY --link a /b/")
    assert [entry.is_empty_layer for entry in result.image.history[1:]] == [False] * 3

    scratch = convert("FROM scratch\nCOPY --link a /b/")
    assert not any(isinstance(vertex.op, MergeOp) for _, vertex in scratch.definition)


@pytest.mark.parametrize("owner", ["www", "0:staff", "www:0", "$who", "-1"])
@pytest.mark.parametrize("base", ["busybox", "scratch"])
def test_link_takes_owners_by_number(owner: str, base: str) -> None:
    """There is no user database in the layer; without --link the names are for the step to look up."""
    with pytest.raises(PybuildError, match="by name") as caught:
        convert(f"FROM {base}\nARG who=www\nCOPY --link --chown={owner} a /b")

    assert caught.value.code == "invalid-flag"
    assert caught.value.location is not None
    assert caught.value.location[:2] == (3, 13)
    convert(f"FROM {base}\nARG who=www\nCOPY --link=false --chown={owner} a /b")
    convert(f"FROM {base}\nCOPY --link --chown=1:2 a /b\nCOPY --link --chown=$nope a /b")


NOT_YET = [
    ("RUN --device=x y", "RUN --device", 5),
]  # fmt: skip


@pytest.mark.parametrize(("line", "part", "column"), NOT_YET, ids=[row[0] for row in NOT_YET])
def test_not_built_yet(line: str, part: str, column: int) -> None:
    """What pybuild does not do yet is refused by name, never ignored."""
    with pytest.raises(Unsupported, match="not supported yet") as caught:
        convert(f"FROM busybox\n{line}")

    assert part in caught.value.message
    assert caught.value.location is not None
    assert (2, column) == caught.value.location[:2]


def test_switches_that_are_off() -> None:
    """--link=false asks for nothing."""
    assert len(copies(convert("FROM busybox\nCOPY --link=false --parents=false a /"))) == 1


MISTAKES = [
    ("EXPOSE foo", "invalid-arguments", 'invalid port "foo"', 8),
    ("STOPSIGNAL SIGFOO", "invalid-arguments", "SIGFOO", 12),
    ("STOPSIGNAL $nope", "invalid-arguments", 'invalid signal ""', 12),
    ("VOLUME $nope", "invalid-arguments", "$nope", 8),
    ("ENV $nope=x", "invalid-arguments", "$nope", 5), ("COPY --chmod=9 a /", "invalid-flag", '"9"', 6),
    ("COPY --chmod=77777 a /", "invalid-flag", '"77777"', 6),
    ("COPY http://x/y /", "invalid-arguments", "URL", 6),
    ("COPY git@github.com:a/b.git /", "invalid-arguments", "git repository", 6),
    ("ENV a=${x", "invalid-expansion", "lacks", 7), ("USER ${x:?say who}", "invalid-expansion", "say who", 6),
    ("COPY <<EOF /\n${}\nEOF", "invalid-expansion", "bad substitution", 6),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code", "part", "column"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_mistake_after_expansion(line: str, code: str, part: str, column: int) -> None:
    """What shows only when words are expanded is located at the word."""
    with pytest.raises(PybuildError) as caught:
        convert(f"FROM busybox\n{line}")

    assert code == caught.value.code
    assert part in caught.value.message
    assert caught.value.location is not None
    assert (2, column) == caught.value.location[:2]


def test_triggers_of_an_image() -> None:
    """They run first, in their order, at the place of the FROM, and are gone from the result."""
    base = dataclasses.replace(
        BUSYBOX,
        on_build=("ENV x=1", "ARG late", "RUN <<EOF\nhi\nEOF", "COPY --from=tools /t /", "WORKDIR /x"),
    )
    result = convert(
        "FROM busybox AS tools\nRUN tools\nFROM parent\nRUN own $x",
        build_args={"late": "1"},
        bridge=FakeBridge({"parent": base}),
    )

    assert [vertex.name for _, vertex in result.definition if "FROM" not in vertex.name] == [
        "[tools 2/2] RUN tools", "[stage-1 2/5] ONBUILD RUN <<EOF (hi)",
        "[stage-1 3/5] ONBUILD COPY --from=tools /t /",
        "[stage-1 4/5] ONBUILD WORKDIR /x", "[stage-1 5/5] RUN own 1",
    ]  # fmt: skip
    assert {1, 2, 3, 4} == {vertex.location.start_line for _, vertex in result.definition if vertex.location}
    assert result.image.on_build == ()
    assert result.warnings == ()
    assert history(result)[2] == "RUN |1 late=1 /bin/sh -c hi\n # buildkit"


def test_triggers_of_a_stage() -> None:
    """They fire in every stage that builds on it, and not in the stages that build on those."""
    result = convert(
        "FROM busybox AS p\nONBUILD ENV x=1\nONBUILD RUN <<EOF\nt\nEOF\n"
        "FROM p AS q\nENV y=$x\nFROM q\nENV z=$x"
    )

    assert history(result) == ["ENV x=1", "RUN /bin/sh -c t\n # buildkit", "ENV y=1", "ENV z=1"]
    assert result.image.on_build == ()


@pytest.mark.parametrize(
    ("trigger", "code"),
    [
        ("FROM x", "invalid-trigger"), ("RUN a\nRUN b", "invalid-trigger"),
        ("ONBUILD RUN x", "invalid-trigger"),
        ("FOO", "unknown-instruction"), ("COPY a", "invalid-arguments"), ("ENV a", "dockerfile-syntax"),
        ("RUN --mount=typo=1 y", "invalid-flag"), ("COPY --from=9 a b", "stage-not-found"),
        ("COPY --from=last a b", "stage-cycle"),
    ],
)  # fmt: skip
def test_wrong_triggers(trigger: str, code: str) -> None:
    """An error in a trigger is located at the FROM that set it off."""
    base = dataclasses.replace(BUSYBOX, on_build=(trigger,))
    with pytest.raises(PybuildError) as caught:
        convert("FROM busybox\nFROM parent AS last", bridge=FakeBridge({"parent": base}))

    assert code == caught.value.code
    assert caught.value.location is not None
    assert caught.value.location.start_line == 2


@pytest.mark.parametrize(
    ("text", "given", "messages"),
    [
        ("FROM busybox\nENV FOO=1 x=$FOOO y=${nope:-1}", {}, ['usage of undefined variable "$FOOO"']),
        ("FROM busybox\nRUN echo $nope\nHEALTHCHECK CMD echo $nope", {}, []),
        ("FROM busybox\nLABEL a=$1$@", {}, []),
        ("ARG a\nFROM busybox$a", {}, []),
        ("ARG a\nFROM busybox$b", {}, ['FROM uses "$b", which is not declared']),
        ("FROM busybox\nARG a\nLABEL b=$a", {}, []),
        ("FROM busybox AS one\nARG a\nFROM one\nLABEL b=$a", {}, []),
        ("FROM busybox", {"b": "1", "a": "1"}, ["one or more build args were not consumed: a, b"]),
        ("ARG a\nFROM busybox", {"a": "1"}, []),
        ("FROM busybox AS unused\nARG a\nFROM busybox", {"a": "1"}, []),
        (
            "FROM busybox",
            {"http_proxy": "1", "BUILDKIT_SYNTAX": "", "TARGETARCH": "x", "SOURCE_DATE_EPOCH": "1"},
            [],
        ),
        (
            "FROM busybox",
            {"BUILDKIT_BUILD_NAME": "1", "BUILDKIT_INLINE_CACHE": "1", "BUILDKIT_NEW": "1"},
            [
                'the build argument "BUILDKIT_BUILD_NAME" has no effect',
                "one or more build args were not consumed: BUILDKIT_NEW",
            ],
        ),
    ],
)
def test_warnings(text: str, given: dict[str, str], messages: list[str]) -> None:
    """Names that are not set and arguments that nobody takes are mentioned."""
    assert messages == [warning.message for warning in convert(text, build_args=given).warnings]


def test_a_warning_suggests_the_name_that_was_meant() -> None:
    """With the place of the word."""
    (warning,) = convert("FROM busybox\nENV FOO=1\nENV x=$FOOO").warnings

    assert warning.hint == 'did you mean "FOO"?'
    assert warning.location is not None
    assert warning.location[:2] == (3, 7)


def test_no_cache() -> None:
    """--no-cache is for RUN, COPY and ADD; it changes no identity."""
    text = "FROM busybox\nRUN x\nCOPY a /\nADD <<E /\nE\nWORKDIR /w"
    fresh, cached = convert(text, ignores_cache=True), convert(text)

    assert [vertex.name.partition("] ")[2] for _, vertex in fresh.definition if vertex.ignores_cache] == [
        "RUN x",
        "COPY a /",
        "ADD <<E /",
    ]
    assert list(cached.definition.vertices) == list(fresh.definition.vertices)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('run   echo $A "$nope" ${A}', 'RUN   echo 1 "$nope" 1'), ("COPY '$A' /x$A$nope", "COPY $A /x1"),
        ("RUN echo '", "RUN echo '"), ("RUN <<EOF\n\n first $A\nsecond\nEOF", "RUN <<EOF (first 1...)"),
        ("RUN <<EOF\nEOF", "RUN <<EOF ()"), ("RUN a \\\n  && b", "RUN a   && b"),
    ],
)  # fmt: skip
def test_names(line: str, shown: str) -> None:
    """The progress display shows the instruction expanded, as far as it can be."""
    (*_, (_, vertex)) = convert(f"FROM busybox\nENV A=1\n{line}").definition

    assert f"[2/2] {shown}" == vertex.name


def test_numbers_are_aligned() -> None:
    """From ten steps on a number has a blank before it."""
    result = convert("FROM busybox\n" + "RUN x\n" * 9)
    names = [vertex.name for _, vertex in result.definition]

    assert (names[0], names[-1]) == ("[ 1/10] FROM docker.io/library/busybox:latest", "[10/10] RUN x")


@pytest.mark.parametrize(
    "syntax",
    [
        "docker/dockerfile:1",
        "docker.io/docker/dockerfile-upstream:master-labs",
        "dockerfile.v0",
        "docker/dockerfile",
    ],
)
def test_known_syntaxes(syntax: str) -> None:
    """Docker's own frontend is this one."""
    assert convert(f"# syntax={syntax}\nFROM busybox").image.platform.os == "linux"


def test_another_frontend() -> None:
    """A frontend image is a program that we do not run."""
    with pytest.raises(Unsupported, match="example/front:1") as caught:
        convert("# syntax=example/front:1\nFROM busybox")

    assert caught.value.location is not None
    assert caught.value.location.start_line == 1


LINES = (
    "RUN make", "RUN <<EOF\nx\nEOF", "COPY a b /c/", "COPY <<EOF /x\n$A\nEOF", "ADD a.tar /", "ENV A=1",
    "ARG B=$A", "WORKDIR d", "USER u", "LABEL l=$A", "EXPOSE 80", "CMD x", "ENTRYPOINT y",
    "COPY --from=busybox /a /b", "COPY --link a /b", "COPY --parents --exclude=x a/./b /c/",
)  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=8), st.booleans())
def test_conversion_is_pure(lines: list[str], on_scratch: bool) -> None:
    """The same text and the same answers give the same definition, image and warnings."""
    text = "\n".join((f"FROM {'scratch' if on_scratch else 'busybox'}", *lines))
    one, other = convert(text), convert(text)

    assert list(one.definition) == list(other.definition)
    assert (one.definition.target, one.image, one.warnings) == (
        other.definition.target,
        other.image,
        other.warnings,
    )
    assert one.image.to_json() == other.image.to_json()


@given(st.lists(st.sampled_from(LINES), max_size=8))
def test_a_layer_for_each_entry_that_has_one(lines: list[str]) -> None:
    """The history's entries with layers are as many as the vertices from the target down to the base."""
    result = convert("\n".join(("FROM scratch", *lines)))
    layers = 0
    edge = result.definition.target
    while edge is not None:
        layers += 1
        vertex = result.definition.vertices[edge.vertex]
        is_on_nothing = (
            vertex.op.base < 0
            if isinstance(vertex.op, FileOp)
            else isinstance(vertex.op, ExecOp) and vertex.op.mounts[0].input < 0
        )
        edge = None if is_on_nothing else vertex.inputs[0]

    assert layers == sum(not entry.is_empty_layer for entry in result.image.history)


def reading(text: str) -> FrontendResult | PybuildError:
    """Any other exception is a bug."""
    try:
        return convert(text)
    except PybuildError as error:
        return error


@given(st.integers(min_value=0))
def test_damaged_files_end_in_our_errors(seed: int) -> None:
    """Whatever is done to the text of a Dockerfile, it converts or is refused with a hint."""
    source = Path(__file__).parents[3] / "testdata/llb/everything/Dockerfile"
    text = list(source.read_text())
    chance = random.Random(seed)
    pieces = ["", "$", "${", '"', "'", "\\", "\n", " ", "<<", "[", "--"]
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text))
        text[at : at + chance.randint(0, 3)] = chance.choice(pieces)
    result = reading("".join(text))

    errors = result.errors if isinstance(result, SeveralErrors) else (result,)

    assert all(isinstance(each, FrontendResult) or each.hint for each in errors)
