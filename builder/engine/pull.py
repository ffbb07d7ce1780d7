"""Images from registries: one name, or every tag of a repository."""

from __future__ import annotations

from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.platform import Platform
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine


class Pulled(NamedTuple):
    """What a registry has under a name."""

    reference: Reference
    digest: Digest | None  # of its manifest, or its index
    is_new: bool  # the store had the name for another image, or not at all


def pull(engine: Engine, name: str, platform: Platform, *, all_tags: bool = False) -> list[Pulled]:
    """Bring an image with all its layers, or those of every tag. Raises InvalidReference."""
    return [_pull_one(engine, reference, platform) for reference in _references(engine, name, all_tags)]


def _references(engine: Engine, name: str, all_tags: bool) -> list[Reference]:
    reference = Reference.parse(name)
    if not all_tags:
        return [reference.with_default_tag()]
    if reference.tag is not None or reference.digest is not None:
        raise InvalidReference(
            name, "one image was named, and all of them", hint="leave out the tag or --all-tags"
        )
    return [reference.with_tag(tag) for tag in engine.registry.tags(reference, cancel=engine.job.cancel)]


def _pull_one(engine: Engine, reference: Reference, platform: Platform) -> Pulled:
    before = engine.images.by_reference(reference)
    source = engine.sources.pull(reference, platform, engine.job)
    if reference.digest is None:
        # Whatever other platforms of it a build needed: this one was asked for.
        engine.images.tag(reference, source.image.id)
    return Pulled(reference, source.manifest, before is None or before.id != source.image.id)
