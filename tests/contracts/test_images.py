"""What every ImageStore promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.core.digest import Digest
from builder.core.errors import Kind
from builder.core.reference import InvalidReference, Reference
from builder.store.images import AmbiguousImage, LocalImageStore
from builder.store.interface import Image, ImageNotFound, ImageStore
from tests.support.local_store import open_store

ONE = Digest("sha256", "ab" + "0" * 62)
TWO = Digest("sha256", "ac" + "0" * 62)
THREE = Digest("sha256", "ad" + "0" * 62)
NAME = Reference.parse("app")


@pytest.fixture(params=["local"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImageStore]:
    with open_store(tmp_path) as store:
        yield LocalImageStore(store.database, store.state.lease)


def test_adding_is_idempotent(images: ImageStore) -> None:
    """An image that is built again is the same one, from its first day on."""
    first = images.add(ONE, "top", created_at=1.5)
    images.add(ONE, "other", created_at=2.5)

    assert first == Image(ONE, "top", 1.5)
    assert images.all() == [Image(ONE, "other", 1.5)]
    assert images.get(ONE) == Image(ONE, "other", 1.5)
    assert images.get(TWO) is None


def test_what_is_said_of_an_image(images: ImageStore) -> None:
    """The last index counts, until nothing is said, or the image is gone."""
    images.add(ONE, "top", created_at=1)
    images.attest(ONE, TWO)
    images.attest(ONE, THREE)

    assert images.attested(ONE) == THREE
    assert images.attested(TWO) is None
    images.attest(ONE, None)
    assert images.attested(ONE) is None
    images.attest(ONE, TWO)
    images.delete(ONE)
    assert images.attested(ONE) is None


@pytest.mark.parametrize(
    "name", ["app", "app:latest", "docker.io/library/app", "docker.io/library/app:latest", "library/app"]
)
def test_every_spelling_of_a_name(images: ImageStore, name: str) -> None:
    """A name without a tag means latest, without a host Docker Hub."""
    image = images.add(ONE, "top", created_at=1)
    images.tag(NAME, ONE)

    assert images.find(name) == image
    assert images.by_reference(Reference.parse(name)) == image
    assert images.names_of(ONE) == ["docker.io/library/app:latest"]


@pytest.mark.parametrize("name", ["ab", "sha256:ab", ONE.hex, str(ONE), ONE.short])
def test_by_id(images: ImageStore, name: str) -> None:
    """An id, with or without its algorithm, or the beginning of one."""
    image = images.add(ONE, "top", created_at=1)
    images.add(TWO, "top", created_at=1)

    assert images.find(name) == image


def test_name_goes_before_id(images: ImageStore) -> None:
    """An image may be called like the beginning of another's id."""
    images.add(ONE, "top", created_at=1)
    two = images.add(TWO, "top", created_at=1)
    images.tag(Reference.parse("ab"), TWO)

    assert images.find("ab") == two


def test_ambiguous_id(images: ImageStore) -> None:
    """The beginning of two ids is refused, not guessed."""
    for digest in (ONE, TWO):
        images.add(digest, "top", created_at=1)
    with pytest.raises(AmbiguousImage) as caught:
        images.find("a")

    assert caught.value.kind is Kind.CONFLICT


@pytest.mark.parametrize(
    "name", ["absent", "absent:1", "host:5000/absent", "abcd", str(TWO), "app@" + str(TWO)]
)
def test_unknown_name(images: ImageStore, name: str) -> None:
    """What leads nowhere is an error that names it."""
    images.add(ONE, "top", created_at=1)
    images.tag(NAME, ONE)
    with pytest.raises(ImageNotFound) as caught:
        images.find(name)

    assert f'"{name}"' in caught.value.message


@pytest.mark.parametrize("name", ["", "App", "a b", "../etc", "app:"])
def test_impossible_name(images: ImageStore, name: str) -> None:
    """What is no name is refused as such."""
    with pytest.raises(InvalidReference):
        images.find(name)


def test_tag_moves(images: ImageStore) -> None:
    """A name stands for one image; the one that it stood for loses it and stays."""
    for digest in (ONE, TWO):
        images.add(digest, "top", created_at=1)
        images.tag(NAME, digest)

    assert images.names_of(ONE) == []
    assert images.names_of(TWO) == ["docker.io/library/app:latest"]
    assert images.get(ONE) is not None


def test_untag(images: ImageStore) -> None:
    """Taking a name away says whether there was one."""
    images.add(ONE, "top", created_at=1)
    images.tag(NAME, ONE)

    assert images.untag(NAME)
    assert not images.untag(NAME)
    assert images.by_reference(NAME) is None


def test_manifests(images: ImageStore) -> None:
    """An image can be found under the digest that a registry has for it, in that repository only."""
    image = images.add(ONE, "top", created_at=1)
    images.add_manifest(NAME, TWO, ONE)
    images.add_manifest(NAME, TWO, ONE)

    assert images.find(f"app@{TWO}") == image
    assert images.find(f"app:whatever@{TWO}") == image
    assert images.by_reference(Reference.parse(f"other@{TWO}")) is None
    assert images.manifests_of(ONE) == [("docker.io/library/app", TWO)]
    assert images.untag(Reference.parse(f"app@{TWO}"))
    assert images.manifests_of(ONE) == []


def test_delete_takes_all_names(images: ImageStore) -> None:
    """An image goes with everything that it was known by."""
    images.add(ONE, "top", created_at=1)
    images.tag(NAME, ONE)
    images.tag(Reference.parse("app:2"), ONE)
    images.add_manifest(NAME, TWO, ONE)
    images.delete(ONE)
    images.delete(ONE)

    assert images.all() == []
    assert images.by_reference(NAME) is None
    assert images.by_reference(Reference.parse(f"app@{TWO}")) is None


def test_newest_first(images: ImageStore) -> None:
    """A list begins with what was made last."""
    images.add(ONE, "top", created_at=1)
    images.add(TWO, "top", created_at=2)

    assert [image.id for image in images.all()] == [TWO, ONE]


def test_name_of_several(images: ImageStore) -> None:
    """A name, or a digest, of an index leads to one image, and to all in their order."""
    one, two = (images.add(id, "top", created_at=1) for id in (ONE, TWO))
    other = Reference.parse("other")
    images.tag(NAME, TWO, [ONE, TWO])
    images.add_manifest(other, THREE, ONE, [TWO, ONE])

    assert images.find("app") == two
    assert images.platforms_of(NAME) == [one, two]
    assert images.platforms_of(other.with_digest(THREE)) == [two, one]
    assert images.platforms_of(other) == []
    names = ["docker.io/library/app:latest", f"docker.io/library/other@{THREE}"]
    assert images.parts() == {ONE: names, TWO: names}

    images.tag(NAME, TWO)
    assert images.platforms_of(NAME) == []
    images.untag(other.with_digest(THREE))
    assert images.parts() == {}


@pytest.mark.parametrize(("gone", "left"), [(ONE, [TWO]), (TWO, [])])
def test_deleted_image_is_no_part(images: ImageStore, gone: Digest, left: list[Digest]) -> None:
    """A name is shorter by it, or is gone with the image that it led to."""
    images.add(ONE, "top", created_at=1)
    images.add(TWO, "top", created_at=1)
    images.tag(NAME, TWO, [ONE, TWO])
    images.delete(gone)

    assert [image.id for image in images.platforms_of(NAME)] == left
    assert list(images.parts()) == left
