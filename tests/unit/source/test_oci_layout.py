from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from builder.core.descriptor import OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from builder.core.digest import Digest, DigestMismatch
from builder.core.errors import PybuildError
from builder.core.platform import Platform
from builder.source.interface import BrokenImage, ImageUnavailable
from builder.source.oci_layout import InvalidLayout, OciLayout, split_layout
from tests.support.local_store import Store, open_store

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


class Place(NamedTuple):
    directory: Path
    store: Store

    def layout(self) -> OciLayout:
        return OciLayout(self.directory, self.store.content, self.store.snapshots)

    def blob(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = Digest.of(data)
        path = self.directory / "blobs/sha256" / digest.hex
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {"mediaType": media_type, "digest": str(digest), "size": len(data), **more}

    def image(self, word: str, platform: Platform = AMD64, **more: Any) -> dict[str, Any]:
        """The descriptor of a manifest; the image has one layer and one variable."""
        layer = self.blob(word.encode(), OCI_LAYER)
        config = {
            "os": platform.os,
            "architecture": platform.architecture,
            "config": {"Env": [f"WORD={word}"]},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
        document = {
            "schemaVersion": 2,
            "config": self.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [layer],
        }
        listed = {"os": platform.os, "architecture": platform.architecture}
        return self.blob(json.dumps(document).encode(), OCI_MANIFEST, platform=listed, **more)

    def index(self, *entries: dict[str, Any]) -> None:
        self.directory.mkdir(exist_ok=True)
        document = {"schemaVersion": 2, "manifests": list(entries)}
        (self.directory / "index.json").write_text(json.dumps(document))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_store(tmp_path / "store") as store:
        yield Place(tmp_path / "layout", store)


def named(name: str) -> dict[str, Any]:
    return {"annotations": {"org.opencontainers.image.ref.name": name}}


def word(place: Place, wanted: str, platform: Platform = AMD64) -> str:
    found = place.layout().resolve(wanted, platform)
    layer = place.store.snapshots.chain(found.image.snapshot)[-1].layer
    assert layer is not None
    assert place.store.content.size(layer.digest) == layer.size
    return found.config.env[0].removeprefix("WORD=")


def test_by_name(place: Place) -> None:
    """A tag, the whole name, or a digest chooses; without one it is "latest", or the only image."""
    one = place.image("one", **named("one"))
    place.index(one)
    assert word(place, "") == "one"

    place.index(one, place.image("two", **named("docker.io/library/x:latest")))
    assert word(place, "") == "two"
    assert word(place, "one") == "one"
    assert word(place, "docker.io/library/x:latest") == "two"
    assert word(place, one["digest"]) == "one"


def test_by_platform(place: Place) -> None:
    """Of an index, and of several entries with one name, the platform's is taken."""
    below = {"schemaVersion": 2, "manifests": [place.image("amd"), place.image("arm", ARM64)]}
    place.index(place.blob(json.dumps(below).encode(), OCI_INDEX, **named("x")))
    assert (word(place, "x"), word(place, "x", ARM64)) == ("amd", "arm")

    place.index(place.image("amd", **named("y")), place.image("arm", ARM64, **named("y")))
    assert (word(place, "y"), word(place, "y", ARM64)) == ("amd", "arm")


def test_missing(place: Place) -> None:
    """What is not there is said to be so."""
    place.directory.mkdir()
    with pytest.raises(InvalidLayout, match=r"no index\.json"):
        place.layout().resolve("", AMD64)
    place.index(place.image("one", **named("one")))
    with pytest.raises(ImageUnavailable) as caught:
        place.layout().resolve("two", AMD64)
    with pytest.raises(ImageUnavailable, match="arm64"):
        place.layout().resolve("one", ARM64)

    assert caught.value.hint == "it has one"


def test_nothing_is_tagged(place: Place) -> None:
    """A layout that is only read leaves no names in the store."""
    place.index(place.image("one", **named("docker.io/library/one:latest")))
    word(place, "")

    assert place.store.images.all() == []


def test_altered_blobs(place: Place) -> None:
    """Every blob must have the digest that it is named by."""
    for media_type in (OCI_MANIFEST, OCI_LAYER):
        entry = place.image("one")
        place.index(entry)
        wanted = entry["digest"] if media_type == OCI_MANIFEST else str(Digest.of(b"one"))
        (place.directory / "blobs/sha256" / wanted.removeprefix("sha256:")).write_bytes(b"two")
        with pytest.raises(DigestMismatch):
            place.layout().resolve("", AMD64)


@pytest.mark.parametrize("digest", ["sha256:../../../x", "sha256:0", "md5:0", ""])
def test_digests_that_are_paths(place: Place, digest: str) -> None:
    """A digest is one before it becomes a path."""
    place.index({"mediaType": OCI_MANIFEST, "digest": digest, "size": 1})

    with pytest.raises(PybuildError):
        place.layout().resolve("", AMD64)


@pytest.mark.parametrize("what", ["index.json", "blob", "blobs"])
def test_links(place: Place, tmp_path: Path, what: str) -> None:
    """A layout with links in it cannot have us read files of this machine."""
    entry = place.image("one")
    place.index(entry)
    path = place.directory / (f"blobs/sha256/{entry['digest'][7:]}" if what == "blob" else what)
    os.rename(path, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", path)

    with pytest.raises(InvalidLayout):
        place.layout().resolve("", AMD64)


def test_fifo(place: Place) -> None:
    """Nor does it wait for a writer that never comes."""
    place.directory.mkdir()
    os.mkfifo(place.directory / "index.json")

    with pytest.raises(InvalidLayout, match="no regular file"):
        place.layout().resolve("", AMD64)


def test_endless_index(place: Place) -> None:
    """An index of an index of an index … ends."""
    entry = place.image("one")
    for _ in range(12):
        entry = place.blob(json.dumps({"manifests": [entry]}).encode(), OCI_INDEX)
    place.index(entry)

    with pytest.raises(BrokenImage, match="without end"):
        place.layout().resolve("", AMD64)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("/a/b", ("/a/b", "")),
        ("/a/b:1", ("/a/b", "1")),
        ("/a:x/b", ("/a:x/b", "")),
        ("b:1", ("b", "1")),
        ("/a/b@sha256:0", ("/a/b", "sha256:0")),
        ("/a@b/c", ("/a@b/c", "")),
    ],
)
def test_split(text: str, parts: tuple[str, str]) -> None:
    """The last part of a path may have a tag or digest."""
    assert split_layout(text) == parts
