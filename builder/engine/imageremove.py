"""`tag`, `rmi` and `image prune`: names of images, and images, come and go."""

from __future__ import annotations

from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine
from builder.runtime.containers import Container, ContainerStore
from builder.store.gc import collect
from builder.store.interface import Image


class ImageInUse(PybuildError):
    """An image cannot be removed as asked."""

    kind = Kind.CONFLICT
    code = "image-in-use"


class Removed(NamedTuple):
    """What `rmi` did: names as people write them, and the images that are gone."""

    untagged: tuple[str, ...]
    deleted: tuple[Digest, ...] = ()


def tag(engine: Engine, name: str, new_name: str) -> None:
    """Let ``new_name`` stand for the image that ``name`` means, or for the index."""
    reference = Reference.parse(new_name)
    if reference.digest is not None:
        raise InvalidReference(new_name, "a tag cannot hold a digest", hint="leave out @sha256:…")
    if reference.path == "library/sha256":
        raise InvalidReference(new_name, "sha256 is how an id begins", hint="choose another name")
    image = engine.images.find(name)
    known = _reference(name)
    is_name = known is not None and engine.images.by_reference(known) == image
    parts = engine.images.platforms_of(known) if known is not None and is_name else ()
    engine.images.tag(reference, image.id, [part.id for part in parts])


def remove_image(engine: Engine, name: str, *, is_forced: bool) -> Removed:
    """Take a name away, and the image with its last one; or the image, by its id. Raises ImageInUse.

    The images of an index go with the last name that stands for it.
    """
    image = engine.images.find(name)
    reference = _reference(name)
    tags = engine.images.names_of(image.id)
    digests = [f"{repository}@{digest}" for repository, digest in engine.images.manifests_of(image.id)]
    if reference is None or engine.images.by_reference(reference) != image:
        repositories = {text.rpartition(":")[0] for text in tags} | {t.partition("@")[0] for t in digests}
        if (len(repositories) > 1 or len(tags) > 1) and not is_forced:
            raise ImageInUse(
                f"conflict: unable to delete {image.id.short} (must be forced) - "
                "image is referenced in multiple repositories",
                hint="remove its names, or all at once with --force",
            )
        indexes = [text for text in engine.images.parts().get(image.id, ()) if text not in (*tags, *digests)]
        if indexes and not is_forced:
            raise ImageInUse(
                f'image {image.id.short} is part of the index "{_familiar(indexes)[0]}"',
                hint="remove that name, or take the image out of it with --force",
            )
        _check_unused(engine, image, is_forced=is_forced)
        return _remove(engine, image, [*tags, *digests], is_last=True)
    gone = _names_with(reference.with_default_tag(), tags, digests)
    rest = [text for text in (*tags, *digests) if text not in gone]
    if not rest:
        _check_unused(engine, image, is_forced=is_forced)
    return _remove(engine, image, gone, is_last=not rest)


def prune_images(engine: Engine, *, includes_tagged: bool) -> list[Removed]:
    """Remove images without a name (or all) that no container uses."""
    used = {container.image for container in _containers(engine)}
    removed = []
    parts = engine.images.parts()
    for image in engine.images.all():
        names = engine.images.names_of(image.id)
        digests = [f"{repository}@{digest}" for repository, digest in engine.images.manifests_of(image.id)]
        is_dangling = not names and not digests and image.id not in parts
        if str(image.id) not in used and (includes_tagged or is_dangling):
            engine.images.delete(image.id)
            removed.append(Removed(_familiar([*names, *digests]), (image.id,)))
    collect(engine.state, engine.database, engine.content)
    return removed


def _names_with(reference: Reference, tags: list[str], digests: list[str]) -> list[str]:
    """The name, and with the last tag of its repository the digests there: nobody could name them."""
    if reference.digest is not None:
        return [f"{reference.repository}@{reference.digest}"]
    gone = [str(reference)]
    if not any(text != gone[0] and text.rpartition(":")[0] == reference.repository for text in tags):
        gone += [text for text in digests if text.partition("@")[0] == reference.repository]
    return gone


def _check_unused(engine: Engine, image: Image, *, is_forced: bool) -> None:
    users = [each for each in _containers(engine) if each.image == str(image.id)]
    running = [each for each in users if each.status == "running"]
    if running:
        raise ImageInUse(
            f"conflict: unable to delete {image.id.short} (cannot be forced) - image is being used by running"
            f' container {running[0].short_id} ("{running[0].name}")',
            hint="stop it first; --force does not help",
        )
    if users and not is_forced:
        raise ImageInUse(
            f"conflict: unable to delete {image.id.short} (must be forced) - image is being used by stopped"
            f' container {users[0].short_id} ("{users[0].name}")',
            hint="remove it with `pybuild rm`, or use --force",
        )


def _remove(engine: Engine, image: Image, names: list[str], *, is_last: bool) -> Removed:
    """Names, with the last one the image, and the other images of an index that nothing leads to any more."""
    references = [Reference.parse(text) for text in names]
    others = {part.id for reference in references for part in engine.images.platforms_of(reference)}
    used = {container.image for container in _containers(engine)}
    with engine.database.transaction():
        for reference in references:
            engine.images.untag(reference)
        gone = [image.id] if is_last else []
        parts = engine.images.parts()
        gone += [
            id
            for id in sorted(others - {image.id}, key=str)
            if not (id in parts or str(id) in used or engine.images.names_of(id))
            and not engine.images.manifests_of(id)
        ]
        for id in gone:
            engine.images.delete(id)
    if gone:
        collect(engine.state, engine.database, engine.content)
    return Removed(_familiar(names), tuple(gone))


def _containers(engine: Engine) -> list[Container]:
    return ContainerStore(engine.state, engine.database).all()


def _familiar(names: list[str]) -> tuple[str, ...]:
    return tuple(Reference.parse(name).familiar() for name in names)


def _reference(name: str) -> Reference | None:
    try:
        return Reference.parse(name)
    except InvalidReference:
        return None
