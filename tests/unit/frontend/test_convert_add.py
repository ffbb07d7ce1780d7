"""ADD of what is elsewhere, and contexts that have names."""

from __future__ import annotations

import dataclasses

import pytest

from builder.core.errors import PybuildError
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.interface import (
    NO_CONTEXT,
    ContextSource,
    FrontendRequest,
    FrontendResult,
    context_name,
)
from builder.llb.definition import Definition, DefinitionBuilder, Vertex
from builder.llb.ops import CopyAction, FileOp, SourceOp
from tests.unit.frontend.frontend_bridge import AMD64, BUSYBOX, FakeBridge, convert

SHA = "sha256:" + "ab" * 32
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sources(result: FrontendResult) -> list[SourceOp]:
    found = [vertex.op for _, vertex in result.definition if isinstance(vertex.op, SourceOp)]
    return [op for op in found if not op.identifier.startswith("docker-image://")]


def actions(result: FrontendResult) -> list[CopyAction]:
    ops = [vertex.op for _, vertex in result.definition if isinstance(vertex.op, FileOp)]
    return [action for op in ops for action in op.actions if isinstance(action, CopyAction)]


def add(line: str) -> FrontendResult:
    return convert(f"FROM busybox\n{line}")


def test_url() -> None:
    """A URL is a source of its own: one file, named by its path, not unpacked, never a wildcard."""
    result = add("ADD --chown=1:2 --chmod=644 https://h/a/b*.tgz?x=1 /d/")

    assert sources(result) == [
        SourceOp(
            identifier="https://h/a/b*.tgz?x=1",
            attributes=(("filename", "b*.tgz"),),
            address="https://h/a/b*.tgz?x=1",
        )
    ]
    assert actions(result) == [
        CopyAction(
            input=1, source="/b*.tgz", destination="/d/", owner="1:2", mode="644", allows_wildcards=False,
            location_hint="https://h/a/b*.tgz?x=1",
        )
    ]  # fmt: skip
    assert result.image.history[-1].created_by == (
        "ADD --chown=1:2 --chmod=644 https://h/a/b*.tgz?x=1 /d/ # buildkit"
    )


@pytest.mark.parametrize(
    ("line", "unpacks"),
    [
        ("ADD https://h/a /", False),
        ("ADD --unpack https://h/a /", True),
        ("ADD --unpack=true https://h/a /", True),
        ("ADD --unpack=false https://h/a /", False),
        ("ADD a /", True),
        ("ADD --unpack=true a /", True),
        ("ADD --unpack=false a /", False),
        ("COPY a /", False),
        ("ADD https://h/r.git /", False),
    ],
)
def test_unpack(line: str, unpacks: bool) -> None:
    """Archives of the context are unpacked unless it is forbidden, those of URLs only on request."""
    assert [action.unpacks for action in actions(add(line))] == [unpacks]


def test_checksum() -> None:
    """--checksum is part of the source, variables in it are expanded."""
    result = add(f"ARG S={SHA}\nADD --checksum=$S https://h/a /")
    commit = add(f"ADD --checksum={COMMIT[:8]} https://h/r.git#main /")

    assert sources(result)[0].attributes == (("filename", "a"), ("checksum", SHA))
    assert sources(commit)[0].attributes == (("checksum", COMMIT[:8]),)


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        (f"ADD --checksum={SHA} a /", "invalid-flag", "requires an HTTP(S) or Git source"),
        (f"ADD --checksum={SHA} https://h/a https://h/b /", "invalid-flag", "several sources"),
        ("ADD --checksum=sha256:0 https://h/a /", "invalid-digest", "sha256:0"),
        (f"ADD --checksum=sha512:{'ab' * 64} https://h/a /", "invalid-flag", "sha512"),
        (f"ADD --checksum={SHA} https://h/r.git /", "invalid-git-reference", "no commit id"),
        ("ADD https://h/r.git#--upload-pack=x /", "invalid-git-reference", "--upload-pack=x"),
        ("ADD https:// /", "invalid-url", "no host"),
        ("COPY https://h/a /", "invalid-arguments", "is a URL"),
        ("COPY git@h:r /", "invalid-arguments", "is a git repository"),
    ],
)
def test_mistakes(line: str, code: str, part: str) -> None:
    """What cannot be added is refused at its place, before anything is fetched."""
    with pytest.raises(PybuildError) as caught:
        add(line)

    assert caught.value.code == code
    assert part in caught.value.message
    assert caught.value.location is not None
    assert caught.value.location.start_line == 2


def test_git() -> None:
    """A repository is a source whose contents are copied."""
    result = add("ADD --keep-git-dir=true git@h:o/r.git#v1:d /d")

    assert sources(result) == [
        SourceOp(
            identifier="git://git@h:o/r.git#v1:d",
            attributes=(("keep-git-dir", "true"),),
            address="git@h:o/r.git#v1:d",
        )
    ]
    assert [(action.source, action.destination) for action in actions(result)] == [("/", "/d")]


def test_mixed_sources() -> None:
    """Sources keep their order; those of the context share one input."""
    result = add("ADD a https://h/x b https://h/x https://h/r.git /d/")

    assert [(action.input, action.source) for action in actions(result)] == [
        (1, "/a"), (2, "/x"), (1, "/b"), (3, "/x"), (4, "/"),
    ]  # fmt: skip
    assert len(sources(result)) == 3


def test_secrets_of_addresses_are_not_shown() -> None:
    """Logins and keys stand in no name, identifier, history or attribute, and still tell sources apart."""
    result = add("ADD https://u:canary@h/a https://h/a?token=canary https://h/a?token=canary2 /d/")

    shown = [op.identifier + str(op.attributes) for op in sources(result)]
    shown += [vertex.name for _, vertex in result.definition if isinstance(vertex.op, SourceOp)]
    shown += [entry.created_by for entry in result.image.history]
    shown += [str(action) for action in actions(result)]
    assert "canary" not in " ".join(shown)
    assert len(sources(result)) == 3


# -- contexts ------------------------------------------------------------------------------------------------


def tree(name: str) -> Definition:
    builder = DefinitionBuilder()
    return builder.build(builder.add(Vertex(op=SourceOp(identifier=f"local://{name}"), name=name)))


def convert_with(
    text: str, bridge: FakeBridge, context: ContextSource | None = None, **named: ContextSource
) -> FrontendResult:
    request = FrontendRequest(
        source=text.encode(),
        platform=AMD64,
        build_platform=AMD64,
        context=context,
        named_contexts=named,
    )
    return DockerfileFrontend().convert(request, bridge)


def test_no_context() -> None:
    """Without a context, COPY from it is an error at its source; other sources are fine."""
    convert_with("FROM busybox\nRUN x\nADD https://h/a /", FakeBridge(), NO_CONTEXT)
    with pytest.raises(PybuildError) as caught:
        convert_with("FROM busybox\nCOPY a /", FakeBridge(), NO_CONTEXT)

    assert caught.value.code == "no-context"
    assert caught.value.location is not None
    assert caught.value.location[:2] == (2, 6)


@pytest.mark.parametrize("keeps_owner", [False, True])
def test_context_of_a_tree(keeps_owner: bool) -> None:
    """The context may be any tree; one out of an archive keeps its owners."""
    result = convert_with(
        "FROM busybox\nCOPY a b /", FakeBridge(), ContextSource(tree=tree("x"), keeps_owner=keeps_owner)
    )

    assert [op.identifier for op in sources(result)] == ["local://x"]
    assert [action.keeps_owner for action in actions(result)] == [keeps_owner] * 2


def test_named_context_before_stage_and_image() -> None:
    """A name stands for its context in FROM and --from, also where a stage or an image is called so."""
    bridge = FakeBridge()
    text = (
        "FROM nosuch AS one\nRUN false\n"
        "FROM other\nCOPY --from=one a /\nCOPY --from=two b /\nCOPY --from=0 c /"
    )
    named = ContextSource(tree=tree("x"))
    result = convert_with(text, bridge, one=named, two=named, other=ContextSource(image="busybox"))

    assert bridge.asked == [("busybox", "linux/amd64")]
    assert [action.keeps_owner for action in actions(result)] == [False, True, False, True]
    assert [vertex.name for _, vertex in result.definition if vertex.name == "x"] == ["x"]


def test_stage_that_is_an_image() -> None:
    """A stage that a context replaces has the context's config, and none of its own instructions."""
    bridge = FakeBridge({"base": dataclasses.replace(BUSYBOX, user="me")})
    text = "FROM nosuch AS one\nUSER you\nFROM one\nCMD x"
    result = convert_with(text, bridge, one=ContextSource(image="base"))

    assert (result.image.user, bridge.asked) == ("me", [("base", "linux/amd64")])


def test_directory_as_a_base() -> None:
    """FROM of a directory begins with a layer of its files and an empty config."""
    result = convert_with("FROM base\nCMD x", FakeBridge(), base=ContextSource(tree=tree("x")))

    assert [entry.is_empty_layer for entry in result.image.history] == [False, True]
    assert [(action.source, action.destination) for action in actions(result)] == [("/", "/")]
    assert result.image.user == ""


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("alpine", "alpine"),
        ("alpine:latest", "alpine"),
        ("alpine:3", "alpine:3"),
        ("docker.io/library/alpine", "alpine"),
        ("ghcr.io/o/x:1", "ghcr.io/o/x:1"),
        ("Build", "Build"),
    ],
)
def test_context_names(written: str, name: str) -> None:
    """Names are compared as images are, so that every spelling of one finds its context."""
    assert context_name(written) == name
