"""Images of the store, pushed under their names."""

from __future__ import annotations

import json
from typing import NamedTuple

from builder.core.descriptor import MANIFESTS, Descriptor
from builder.core.digest import Digest
from builder.core.image import ImageConfig
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine
from builder.exporter.layers import Layers
from builder.exporter.packed import PackedImage, PackedLayer, PackOptions
from builder.exporter.push import ImagePusher
from builder.store.interface import Image, ImageNotFound


class Pushed(NamedTuple):
    """What a registry now has under a name."""

    reference: Reference
    digest: Digest
    size: int  # of the manifest


def push(engine: Engine, name: str, *, all_tags: bool) -> list[Pushed]:
    """One name, or every tag of a repository that the store knows."""
    references = _references(engine, name, all_tags=all_tags)
    pusher = image_pusher(engine)
    pushed: list[Pushed] = []
    with Layers(engine.snapshots, engine.content) as layers:
        for reference in references:
            image = engine.images.by_reference(reference)
            if image is None:
                raise ImageNotFound(reference.familiar())
            packed = _as_it_came(engine, image, reference) or engine.packer(layers).pack(
                engine.content.read(image.id), image.snapshot, PackOptions()
            )
            pusher.push(packed, reference)
            engine.images.add_manifest(reference, packed.descriptor.digest, image.id)
            pushed.append(Pushed(reference, packed.descriptor.digest, len(packed.manifest)))
    return pushed


def image_pusher(engine: Engine) -> ImagePusher:
    """For what was packed from this store."""

    def fetch(layer: PackedLayer) -> None:
        snapshot = engine.snapshots.stat(layer.snapshot)
        assert snapshot is not None
        engine.sources.fetch_layers([snapshot], engine.job)

    return ImagePusher(engine.pusher, engine.content, engine.snapshots, fetch, engine.job)


def _references(engine: Engine, name: str, *, all_tags: bool) -> list[Reference]:
    reference = Reference.parse(name)
    if reference.digest is not None:
        raise InvalidReference(name, "a digest cannot be pushed to", hint="push a name or a tag")
    if not all_tags:
        return [reference.with_default_tag()]
    if reference.tag is not None:
        raise InvalidReference(name, "a tag was named, and all of them", hint="leave out :TAG or --all-tags")
    names = {name for image in engine.images.all() for name in engine.images.names_of(image.id)}
    known = [Reference.parse(name) for name in sorted(names)]
    found = [one for one in known if one.repository == reference.repository]
    if not found:
        raise ImageNotFound(reference.familiar())
    return found


def _as_it_came(engine: Engine, image: Image, reference: Reference) -> PackedImage | None:
    """The manifest under which a registry has the image already: its digest stays what it was."""
    chain = engine.snapshots.chain(image.snapshot)
    if any(snapshot.layer is None or snapshot.diff_id is None for snapshot in chain):
        return None
    for raw in _manifests(engine, image, reference):
        document = json.loads(raw)
        entries = [_descriptor(entry) for entry in document["layers"]]
        if [entry.digest for entry in entries] != [s.layer.digest for s in chain if s.layer is not None]:
            continue
        layers = tuple(
            PackedLayer(entry, snapshot.name, snapshot.diff_id)
            for entry, snapshot in zip(entries, chain, strict=True)
            if snapshot.diff_id is not None
        )
        config = ImageConfig.from_json(engine.content.read(image.id))
        top = Descriptor(
            media_type=document["mediaType"],
            digest=Digest.of(raw),
            size=len(raw),
            platform=config.platform,
        )
        return PackedImage(raw, top, _descriptor(document["config"]), layers)
    return None


def _manifests(engine: Engine, image: Image, reference: Reference) -> list[bytes]:
    """Stored manifests of that config, those of the repository first; a store may lack any of them."""
    known = engine.images.manifests_of(image.id)
    known.sort(key=lambda entry: entry[0] != reference.repository)
    pending = [digest for _, digest in known]
    found: list[bytes] = []
    while pending:
        digest = pending.pop(0)
        if engine.content.size(digest) is None:
            continue
        raw = engine.content.read(digest)
        document = json.loads(raw)
        pending += [Digest.parse(entry["digest"]) for entry in document.get("manifests", ())]
        is_manifest = document.get("mediaType") in MANIFESTS and "config" in document
        if is_manifest and document["config"]["digest"] == str(image.id):
            found.append(raw)
    return found


def _descriptor(entry: dict[str, object]) -> Descriptor:
    return Descriptor(
        media_type=str(entry["mediaType"]),
        digest=Digest.parse(str(entry["digest"])),
        size=int(str(entry["size"])),
    )
