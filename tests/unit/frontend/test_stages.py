"""Which stages are built, and what FROM, --from and --target mean by a name."""

from __future__ import annotations

import pytest
from frontend_bridge import AMD64, ARM64, BUSYBOX, FakeBridge, convert

from builder.core.errors import PybuildError
from builder.frontend.interface import FrontendResult


def names(result: FrontendResult) -> list[str]:
    return [vertex.name for _, vertex in result.definition]


THREE = """\
FROM busybox AS first
RUN one
FROM first
RUN two
FROM scratch AS Last
COPY --from=1 / /
"""


def test_stages_build_on_each_other() -> None:
    """FROM of a stage continues its tree and adds no step of its own."""
    assert names(convert(THREE)) == [
        "[first 1/2] FROM docker.io/library/busybox:latest",
        "[first 2/2] RUN one",
        "[stage-1 1/1] RUN two",
        "[last 1/1] COPY --from=1 / /",
    ]


@pytest.mark.parametrize(
    ("target", "last"),
    [
        (None, "[last 1/1] COPY --from=1 / /"), ("first", "[first 2/2] RUN one"),
        ("FIRST", "[first 2/2] RUN one"),
        ("1", "[stage-1 1/1] RUN two"), ("LAST", "[last 1/1] COPY --from=1 / /"),
    ],
)  # fmt: skip
def test_target(target: str | None, last: str) -> None:
    """A stage's name in any case, its number, or nothing: the last stage."""
    assert last == names(convert(THREE, target=target))[-1]


@pytest.mark.parametrize(
    ("target", "hint"), [("fist", 'did you mean "first"'), ("7", "first, last"), ("", "first")]
)
def test_unknown_target(target: str, hint: str) -> None:
    """A target that is no stage is an error that names the stages."""
    with pytest.raises(PybuildError, match=f'target stage "{target}" could not be found') as caught:
        convert(THREE, target=target)

    assert caught.value.code == "stage-not-found"
    assert hint in (caught.value.hint or "")


def test_unused_stages_are_not_built() -> None:
    """Their images are not even looked up, and what is not built yet may stand in them."""
    bridge = FakeBridge()
    result = convert(
        "FROM nowhere AS unused\nRUN --mount=type=cache,target=/x y\nFROM busybox AS used\nRUN x\n"
        "FROM scratch\nCOPY --from=used /a /\nFROM unused AS too",
        target="2",
        bridge=bridge,
    )

    assert bridge.asked == [("busybox", "linux/amd64")]
    assert "[used 2/2] RUN x" in names(result)


def test_a_single_stage_is_not_named() -> None:
    """With one stage the steps are only numbered; an image that is copied from is one more, as in Docker."""
    assert names(convert("FROM busybox AS a\nRUN x")) == [
        "[1/2] FROM docker.io/library/busybox:latest",
        "[2/2] RUN x",
    ]
    two = convert("FROM busybox\nRUN x\nCOPY --from=busybox:2 / /", bridge=FakeBridge({"busybox:2": BUSYBOX}))
    assert "FROM docker.io/library/busybox:2" in names(two)
    assert "[stage-0 2/3] RUN x" in names(two)


def test_the_later_stage_of_a_name_wins() -> None:
    """FROM means the one above it, --from the last one of the file."""
    text = (
        "FROM busybox AS a\nRUN one\nFROM a AS b\nRUN two\n"
        "FROM busybox AS a\nRUN three\nFROM scratch\nCOPY --from=a / /"
    )
    assert [name for name in names(convert(text)) if "RUN" in name] == ["[a 2/2] RUN three"]
    assert [name for name in names(convert(text, target="b")) if "RUN" in name] == [
        "[a 2/2] RUN one",
        "[b 1/1] RUN two",
    ]


def test_copy_finds_stages_in_any_case_and_from_does_not() -> None:
    """COPY --from=BUILD is the stage "build"; FROM Build is an image."""
    assert "[build 2/2] RUN x" in names(
        convert("FROM busybox AS Build\nRUN x\nFROM scratch\nCOPY --from=BUILD / /")
    )
    with pytest.raises(PybuildError, match="must be lowercase") as caught:
        convert("FROM busybox AS Build\nRUN x\nFROM Build")
    assert caught.value.location is not None
    assert caught.value.location[:2] == (3, 6)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("FROM busybox AS a\nCOPY --from=a / /", "stage-cycle", (2, 6)),
        ("FROM busybox AS a\nCOPY --from=0 / /\nFROM busybox", "stage-cycle", (2, 6)),
        ("FROM busybox AS a\nCOPY --from=b / /\nFROM a AS b\nFROM busybox", "stage-cycle", (2, 6)),
        ("FROM busybox AS a\nCOPY --from=b / /\nFROM busybox AS b\nCOPY --from=a / /", "stage-cycle", (2, 6)),
        ("FROM busybox AS a\nCOPY --from=b / /\nFROM busybox AS b\nFROM a", "stage-defined-later", (2, 6)),
        ("FROM busybox\nCOPY --from=5 / /\nFROM busybox", "stage-not-found", (2, 6)),
        ("FROM busybox\nCOPY --from=-1 / /", "stage-not-found", (2, 6)),
        ("ARG a\nRUN x\nFROM busybox", "no-stage", (2, 1)),
        ("ARG a", "no-stage", (1, 1)),
        ("FROM $nope", "invalid-arguments", (1, 6)),
        ("FROM busybox\nFROM 'x", "invalid-expansion", (2, 6)),
        ("FROM busybox AS a\nFROM x:y:z\nFROM a", "invalid-reference", (2, 6)),
        ("FROM --platform=a/b/c/d busybox", "invalid-platform", (1, 6)),
        ("FROM --platform=$nope busybox", "invalid-platform", (1, 6)),
        ("FROM nowhere", "no-such-image", (1, 6)),
        ("FROM busybox\nCOPY --from=nowhere / /", "no-such-image", (2, 6)),
        ("FROM busybox\nCOPY --from=$x / /", "invalid-flag", (2, 6)),
        ("FROM busybox\nCOPY --from=UPPER/Bad / /", "invalid-reference", (2, 6)),
    ],
)
def test_wrong_references(text: str, code: str, place: tuple[int, int]) -> None:
    """Each has its code and the place of the word."""
    with pytest.raises(PybuildError) as caught:
        convert(text)

    assert code == caught.value.code
    assert caught.value.location is not None
    assert place == caught.value.location[:2]


def test_a_later_stage_matters_only_where_it_is_needed() -> None:
    """Docker refuses a copy from a later stage only when it builds the one that says so."""
    text = "FROM busybox AS a\nCOPY --from=b / /\nFROM busybox AS b\nRUN x"

    assert names(convert(text))[-1] == "[b 2/2] RUN x"


def test_scratch_is_lower_case_and_has_no_tag() -> None:
    """Anything else is the name of an image."""
    bridge = FakeBridge({"scratch:latest": BUSYBOX})
    convert("FROM scratch:latest", bridge=bridge)

    assert bridge.asked == [("scratch:latest", "linux/amd64")]
    with pytest.raises(PybuildError, match="lowercase"):
        convert("FROM SCRATCH")


def test_platforms_of_stages() -> None:
    """--platform takes global arguments; without it a stage is for the target; a child is as its parent."""
    bridge = FakeBridge()
    result = convert(
        "FROM --platform=$BUILDPLATFORM busybox AS a\nRUN a\nFROM busybox\nRUN b\nCOPY --from=a / /",
        platform=ARM64,
        bridge=bridge,
    )
    child = convert("FROM --platform=linux/arm64 busybox AS a\nFROM a\nRUN b")
    platforms = {vertex.name[-5:]: vertex.platform for _, vertex in result.definition}

    assert {("busybox", "linux/amd64"), ("busybox", "linux/arm64")} == set(bridge.asked)
    assert platforms["RUN a"] == AMD64
    assert platforms["RUN b"] == ARM64
    assert result.image.platform == ARM64
    assert [vertex.platform for _, vertex in child.definition] == [ARM64, ARM64]
    assert child.image.platform == ARM64


def test_an_image_is_resolved_once() -> None:
    """However many stages begin with it; they share its vertex."""
    bridge = FakeBridge()
    result = convert(
        "FROM busybox AS a\nRUN a\nFROM busybox\nCOPY --from=a / /\nCOPY --from=busybox / /", bridge=bridge
    )

    assert len(bridge.asked) == 1
    assert sum("FROM" in name for name in names(result) if "COPY" not in name) == 1
