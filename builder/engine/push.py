"""Images of the store, pushed under their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from builder.core.descriptor import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest
from builder.core.image import ImageConfig
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine
from builder.exporter.layers import Layers
from builder.exporter.packed import Packed, PackedImage, PackedIndex, PackedLayer, PackOptions
from builder.exporter.push import ImagePusher
from builder.store.interface import Image, ImageNotFound, Snapshot


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
            packed = _packed(engine, layers, image, reference)
            pusher.push(packed, reference)
            parts = [part.id for part in engine.images.platforms_of(reference)]
            engine.images.add_manifest(reference, packed.descriptor.digest, image.id, parts)
            pushed.append(Pushed(reference, packed.descriptor.digest, packed.descriptor.size))
    return pushed


def _packed(engine: Engine, layers: Layers, image: Image, reference: Reference) -> Packed:
    """The image that a name stands for, or the index."""

    def one(image: Image, known: Sequence[bytes]) -> PackedImage:
        return _as_it_came(engine, image, known) or engine.packer(layers).pack(
            engine.content.read(image.id), image.snapshot, PackOptions()
        )

    documents = _documents(engine, image, reference)
    parts = engine.images.platforms_of(reference)
    images = [one(part, documents) for part in parts or [image]]
    said = engine.images.attested(image.id)
    attested = None if said is None else _attested_index(engine, images, said)
    if attested is not None or not parts:
        return attested or images[0]
    from builder.exporter.index import assemble_index

    return _index_as_it_came(images, documents) or assemble_index(
        images, engine.content, is_oci=all(each.descriptor.media_type == OCI_MANIFEST for each in images)
    )


def image_pusher(engine: Engine, insecure: Iterable[str] = ()) -> ImagePusher:
    """For what was packed from this store; ``insecure`` are registries that may be so."""

    def fetch(layer: PackedLayer) -> None:
        snapshot = engine.snapshots.stat(layer.snapshot)
        assert snapshot is not None
        engine.sources.fetch_layers([snapshot], engine.job)

    pusher = engine.pusher
    if insecure:
        from builder.engine.registries import open_exchange
        from builder.registry.pusher import HttpRegistryPusher

        pusher = HttpRegistryPusher(open_exchange(engine.config, insecure, engine.patience))
    return ImagePusher(pusher, engine.content, engine.snapshots, fetch, engine.job)


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


def _as_it_came(engine: Engine, image: Image, known: Sequence[bytes]) -> PackedImage | None:
    """The manifest under which a registry has the image already: its digest stays what it was."""
    chain = engine.snapshots.chain(image.snapshot)
    for raw in known:
        document = json.loads(raw)
        if "config" not in document or document["config"]["digest"] != str(image.id):
            continue
        layers = _layers_of(engine, document, chain)
        if layers is None:
            continue
        config = ImageConfig.from_json(engine.content.read(image.id))
        top = Descriptor(
            media_type=document["mediaType"],
            digest=Digest.of(raw),
            size=len(raw),
            platform=config.platform,
        )
        return PackedImage(raw, top, _descriptor(document["config"]), layers)
    return None


def _layers_of(
    engine: Engine, document: dict[str, Any], chain: Sequence[Snapshot]
) -> tuple[PackedLayer, ...] | None:
    """Of a manifest, if each of them is here, or where it was pulled from."""
    entries = [_descriptor(entry) for entry in document["layers"]]
    if len(entries) != len(chain):
        return None
    layers = []
    for entry, snapshot in zip(entries, chain, strict=True):
        is_pulled = snapshot.layer is not None and snapshot.layer.digest == entry.digest
        if snapshot.diff_id is None or not (is_pulled or engine.content.size(entry.digest) == entry.size):
            return None
        layers.append(PackedLayer(entry, snapshot.name, snapshot.diff_id))
    return tuple(layers)


def _index_as_it_came(images: Sequence[PackedImage], known: Sequence[bytes]) -> PackedIndex | None:
    """The index under which a registry has them, with its annotations, if it has nothing else."""
    for raw in known:
        document = json.loads(raw)
        entries = [entry["digest"] for entry in document.get("manifests", ())]
        if entries == [str(image.descriptor.digest) for image in images]:
            top = Descriptor(media_type=document["mediaType"], digest=Digest.of(raw), size=len(raw))
            return PackedIndex(raw, top, tuple(images))
    return None


def _attested_index(engine: Engine, images: Sequence[PackedImage], digest: Digest) -> PackedIndex | None:
    """The index of them and of what is said of them, if it is still about these, and whole."""
    from builder.exporter.attestation import stored_attestation

    if engine.content.size(digest) is None:
        return None
    raw = engine.content.read(digest)
    entries = json.loads(raw)["manifests"]
    if [entry["digest"] for entry in entries[: len(images)]] != [str(i.descriptor.digest) for i in images]:
        return None
    said = [stored_attestation(entry, engine.content) for entry in entries[len(images) :]]
    whole = [each for each in said if each is not None]
    if len(whole) < len(said):
        return None
    return PackedIndex(raw, Descriptor(media_type=OCI_INDEX, digest=digest, size=len(raw)), (*images, *whole))


def _documents(engine: Engine, image: Image, reference: Reference) -> list[bytes]:
    """Stored manifests and indexes with that image; a store may lack any.

    First those that something is said of, then those of the repository.
    """
    known = engine.images.manifests_of(image.id)
    known.sort(key=lambda entry: entry[0] != reference.repository)
    said = engine.images.attested(image.id)
    pending = [*([said] if said is not None else []), *(digest for _, digest in known)]
    found: list[bytes] = []
    while pending:
        digest = pending.pop(0)
        if engine.content.size(digest) is None:
            continue
        raw = engine.content.read(digest)
        document = json.loads(raw)
        pending += [Digest.parse(entry["digest"]) for entry in document.get("manifests", ())]
        if document.get("mediaType") in MANIFESTS | INDEXES:
            found.append(raw)
    return found


def _descriptor(entry: dict[str, object]) -> Descriptor:
    return Descriptor(
        media_type=str(entry["mediaType"]),
        digest=Digest.parse(str(entry["digest"])),
        size=int(str(entry["size"])),
    )
