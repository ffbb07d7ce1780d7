"""Image configs of a build: history, dates, and that the same build gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from builder.core.digest import Digest
from builder.core.image import History, ImageConfig
from builder.core.platform import Platform
from builder.exporter.image import finish_image
from builder.store.interface import Snapshot

LINUX = Platform("linux", "amd64")
BASE_TIME = "2020-01-01T00:00:00Z"


class KnownLayers:
    """Layers whose diff IDs are of their names."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def diff_id(self, snapshot: Snapshot) -> Digest:
        self.asked.append(snapshot.name)
        return Digest.of(snapshot.name.encode())


def snapshot(name: str, created_at: float) -> Snapshot:
    return Snapshot(name, "", 1, None, None, created_at)


def finish(image: ImageConfig, chain: Sequence[Snapshot]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(finish_image(image, chain, KnownLayers()))  # type: ignore[arg-type]  # a fake
    return document


def history(*entries: tuple[str, str, bool]) -> tuple[History, ...]:
    return tuple(History(created_by=by, created=at, is_empty_layer=empty) for by, at, empty in entries)


def test_layers_have_the_time_of_their_step() -> None:
    """An entry with a layer is dated by it, the image by its last entry.

    One without a layer has the time of the layer before it, but up to the first such gap that of the layer
    after it: as BuildKit does.
    """
    image = ImageConfig(
        platform=LINUX,
        created=BASE_TIME,
        history=history(
            ("base", BASE_TIME, False), ("RUN a", "", False), ("ENV x", "", True), ("RUN b", "", False),
            ("ENV y", "", True), ("RUN c", "", False), ("CMD d", "", True),
        ),
    )  # fmt: skip
    chain = [
        snapshot("base", 1), snapshot("a", 1_700_000_000.25), snapshot("b", 1_700_000_060),
        snapshot("c", 1_700_000_100),
    ]  # fmt: skip
    document = finish(image, chain)
    a, b, c = "2023-11-14T22:13:20.25Z", "2023-11-14T22:14:20Z", "2023-11-14T22:15:00Z"

    assert [entry["created"] for entry in document["history"]] == [BASE_TIME, a, b, b, b, c, c]
    assert document["created"] == "2023-11-14T22:15:00Z"
    assert document["rootfs"]["diff_ids"] == [str(Digest.of(name)) for name in (b"base", b"a", b"b", b"c")]


def test_metadata_before_the_first_layer_has_its_time() -> None:
    """An ENV right after FROM is dated by the first new layer, not by the base of years ago."""
    image = ImageConfig(
        platform=LINUX, history=history(("base", BASE_TIME, False), ("ENV x", "", True), ("RUN a", "", False))
    )
    document = finish(image, [snapshot("base", 1), snapshot("a", 1_700_000_000)])

    assert [e["created"] for e in document["history"]] == [
        BASE_TIME, "2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z",
    ]  # fmt: skip


def test_metadata_alone_has_the_time_of_the_base() -> None:
    """Without a new layer the last known time stands: such a build is the same on every day."""
    image = ImageConfig(platform=LINUX, history=history(("base", BASE_TIME, False), ("CMD x", "", True)))
    document = finish(image, [snapshot("base", 1)])

    assert [e["created"] for e in document["history"]] == [BASE_TIME, BASE_TIME]
    assert document["created"] == BASE_TIME


def test_scratch_with_metadata_alone() -> None:
    """With no layer at all there is no time but the epoch."""
    document = finish(ImageConfig(platform=LINUX, history=history(("CMD x", "", True))), [])

    assert document["created"] == "1970-01-01T00:00:00Z"
    assert document["rootfs"] == {"type": "layers", "diff_ids": []}


def test_no_history_at_all() -> None:
    """A base without history keeps its own time; its layers get entries that say nothing."""
    document = finish(ImageConfig(platform=LINUX, created=BASE_TIME), [snapshot("base", 0)])

    assert document["history"] == [
        {"created": "1970-01-01T00:00:00Z", "comment": "buildkit.exporter.image.v0"}
    ]


def test_history_that_tells_of_too_many_layers() -> None:
    """Entries beyond the layers that there are become empty ones."""
    image = ImageConfig(platform=LINUX, history=history(("a", "", False), ("b", "", False), ("c", "", True)))
    document = finish(image, [snapshot("a", 5)])

    assert [entry.get("empty_layer", False) for entry in document["history"]] == [False, True, True]


def test_parents_are_asked_for_first() -> None:
    """Chain ids are derived on the way, so a layer's diff ID is asked for after those below it."""
    layers = KnownLayers()
    chain = [snapshot("base", 1), snapshot("middle", 2), snapshot("top", 3)]
    finish_image(ImageConfig(platform=LINUX), chain, layers)  # type: ignore[arg-type]  # a fake

    assert layers.asked == ["base", "middle", "top"]


def test_same_steps_same_bytes() -> None:
    """A cached build has the image id of the build that filled the cache."""
    image = ImageConfig(platform=LINUX, labels={"a": "1"}, history=history(("RUN a", "", False)))
    first, second = (finish_image(image, [snapshot("a", 7.5)], KnownLayers()) for _ in range(2))  # type: ignore[arg-type]  # a fake

    assert first == second


def test_epoch_dates_what_is_new() -> None:
    """Image and new entries have the time of SOURCE_DATE_EPOCH; what the base says of itself stays."""
    image = ImageConfig(
        platform=LINUX,
        created=BASE_TIME,
        history=history(("base", BASE_TIME, False), ("ENV a", "", True), ("RUN b", "", False)),
    )
    chain = [snapshot("base", 1), snapshot("b", 1_700_000_060)]
    document = json.loads(finish_image(image, chain, KnownLayers(), epoch_s=1_600_000_000))  # type: ignore[arg-type]  # a fake
    epoch = "2020-09-13T12:26:40Z"

    assert [BASE_TIME, epoch, epoch] == [entry["created"] for entry in document["history"]]
    assert epoch == document["created"]


def test_epoch_dates_layers_that_no_history_speaks_of() -> None:
    """Nothing in the config tells when it was built."""
    image = ImageConfig(platform=LINUX)
    documents = [
        finish_image(image, [snapshot("a", at)], KnownLayers(), epoch_s=0)  # type: ignore[arg-type]  # a fake
        for at in (1_700_000_060, 1_800_000_000)
    ]

    assert documents[0] == documents[1]
    assert "1970-01-01T00:00:00Z" == json.loads(documents[0])["created"]
