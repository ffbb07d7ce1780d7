"""Packed images: compressed once, the same for any number of threads, and valid whatever was asked for."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from builder.core.descriptor import (
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
)
from builder.core.digest import Digest, DigestMismatch
from builder.core.errors import Unsupported
from builder.core.image import ImageConfig, chain_ids
from builder.core.platform import Platform
from builder.exporter.annotations import Annotation, Annotations, InvalidAnnotation, parse_annotation
from builder.exporter.image import finish_image
from builder.exporter.index import assemble_index
from builder.exporter.layers import Layers
from builder.exporter.pack import Packer, needed_blobs
from builder.exporter.packed import NeedsOciTypes, PackedImage, PackOptions
from builder.registry.manifest import Index, Manifest, parse_manifest
from builder.store.gc import collect
from builder.store.interface import Snapshot
from tests.support.local_store import Store, open_store

LINUX = Platform("linux", "amd64")
# Compressible, and of several blocks.
LARGE = random.Random(1).randbytes(700_000) * 5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "root") as store:
        yield store


def tar_of(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def pulled(store: Store, *, is_docker: bool = True) -> Snapshot:
    """A gzip layer from elsewhere, as a registry of Docker has it."""
    plain = tar_of("base", b"base" * 1000)
    stored = gzip.compress(plain, mtime=0)
    diff_id = Digest.of(plain)
    layer = Descriptor(
        media_type=DOCKER_LAYER_GZIP if is_docker else OCI_LAYER_GZIP,
        digest=store.content.put(stored),
        size=len(stored),
    )
    return store.snapshots.add_layer("", diff_id, chain_ids((diff_id,))[0], layer, "r.test/base", 1.0)


def config_of(store: Store, layers: Layers, top: str, platform: Platform = LINUX) -> bytes:
    return finish_image(ImageConfig(platform=platform), store.snapshots.chain(top), layers)


def pack(
    store: Store, top: str, options: PackOptions, threads: int = 2, platform: Platform = LINUX
) -> PackedImage:
    with Layers(store.snapshots, store.content) as layers:
        packer = Packer(layers, store.snapshots, store.content, store.forms, threads=threads)
        return packer.pack(config_of(store, layers, top, platform), top, options)


def plain(data: bytes, media_type: str) -> bytes:
    if media_type.endswith("gzip"):
        return gzip.decompress(data)
    if media_type.endswith("zstd"):
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    return data


def document(packed: PackedImage) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(packed.manifest)
    return value


@pytest.mark.parametrize(
    ("compression", "is_oci", "types"),
    [
        ("gzip", True, [OCI_LAYER_GZIP, OCI_LAYER_GZIP]),
        ("gzip", False, [DOCKER_LAYER_GZIP, DOCKER_LAYER_GZIP]),
        ("zstd", True, [OCI_LAYER_GZIP, OCI_LAYER_ZSTD]),
        ("uncompressed", True, [OCI_LAYER_GZIP, OCI_LAYER]),
        ("uncompressed", False, [DOCKER_LAYER_GZIP, DOCKER_LAYER]),
    ],
)
def test_everything_that_the_manifest_names_is_stored(
    store: Store, compression: str, is_oci: bool, types: list[str]
) -> None:
    """Manifest, config and layers are blobs with their digests and sizes, and layers unpack to diff IDs."""
    top = store.tree({"large": LARGE}, pulled(store).name)
    packed = pack(store, top.name, PackOptions(compression=compression, is_oci=is_oci))
    manifest = parse_manifest(packed.manifest, OCI_MANIFEST if is_oci else DOCKER_MANIFEST)

    assert isinstance(manifest, Manifest)
    assert manifest.media_type == packed.descriptor.media_type
    assert [layer.media_type for layer in manifest.layers] == types
    config = json.loads(store.content.read(manifest.config.digest))
    for layer, diff_id in zip(manifest.layers, config["rootfs"]["diff_ids"], strict=True):
        data = store.content.read(layer.digest)
        assert (layer.digest, layer.size) == (Digest.of(data), len(data))
        assert diff_id == f"sha256:{hashlib.sha256(plain(data, layer.media_type)).hexdigest()}"
    assert store.content.read(packed.descriptor.digest) == packed.manifest
    assert packed.platform == LINUX


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_threads_do_not_change_a_digest(tmp_path: Path, compression: str) -> None:
    """One worker and four, on two stores: the same manifest."""
    found = set()
    for number, threads in enumerate((1, 4)):
        with open_store(tmp_path / f"{number}") as store:
            base = store.layer(b"base")
            active = store.active({"large": LARGE}, base.name)
            os.utime(active.upper / "large", (1, 1))
            os.utime(active.upper, (1, 1))
            top = store.snapshots.commit(active, created_at=2.0)
            found.add(pack(store, top.name, PackOptions(compression=compression), threads).descriptor.digest)

    assert len(found) == 1


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_is_compressed_once(tmp_path: Path, compression: str) -> None:
    """The next process takes what is kept: its tree may even be gone."""
    options = PackOptions(compression=compression)
    with open_store(tmp_path) as store:
        top = store.tree({"large": LARGE})
        first = pack(store, top.name, options)
    with open_store(tmp_path) as store:
        (Path(store.snapshots.directory(top.name)) / "large").unlink()

        assert pack(store, top.name, options) == first
        store.content.delete(first.layers[0].descriptor.digest)
        with pytest.raises(DigestMismatch):
            pack(store, top.name, options)


def test_levels_are_kept_apart(store: Store) -> None:
    """Another level is another blob, and both stay."""
    top = store.tree({"text": b"some text, and some more of it. " * 9000 + LARGE[:100_000]})
    blobs = {pack(store, top.name, PackOptions(level=level)).layers[0].descriptor for level in (1, 6, 9)}
    diff_id = pack(store, top.name, PackOptions()).layers[0].plain

    assert len(blobs) == 3
    assert {form.digest for _, form in store.forms.all_of(diff_id)} == {blob.digest for blob in blobs}


def test_pulled_layers_keep_their_form_unless_forced(store: Store) -> None:
    """A base is not compressed again for a new kind, nor when forced to the kind that it has."""
    base = pulled(store)
    top = store.tree({"a": b"a"}, base.name)
    assert base.layer is not None
    kept, same, forced = (
        pack(store, top.name, PackOptions(compression=compression, is_forced=is_forced)).layers[0].descriptor
        for compression, is_forced in (("zstd", False), ("gzip", True), ("zstd", True))
    )

    assert kept.digest == same.digest == base.layer.digest
    assert forced.media_type == OCI_LAYER_ZSTD
    assert plain(store.content.read(forced.digest), forced.media_type) == tar_of("base", b"base" * 1000)


def test_only_conversion_needs_the_stored_form(store: Store) -> None:
    """A pulled layer that is not here can be named in a manifest; one to be converted must be brought."""
    base = pulled(store)
    top = store.tree({"a": b"a"}, base.name)
    chain = store.snapshots.chain(top.name)
    assert base.layer is not None
    zstd = PackOptions(compression="zstd")
    before = pack(store, top.name, zstd)
    store.content.delete(base.layer.digest)

    assert pack(store, top.name, zstd) == before
    assert before.layers[0].descriptor.digest == base.layer.digest
    assert needed_blobs(PackOptions(compression="zstd"), chain) == []
    assert needed_blobs(PackOptions(compression="zstd", is_forced=True), chain) == [base]


def test_plain_layers_need_not_be_stored(store: Store) -> None:
    """Without storing, an uncompressed layer is written from its tree, and takes no space before."""
    top = store.tree({"large": LARGE})
    with Layers(store.snapshots, store.content) as layers:
        packer = Packer(layers, store.snapshots, store.content, store.forms, threads=1)
        options = PackOptions(compression="uncompressed", is_plain_stored=False)
        layer = packer.pack(config_of(store, layers, top.name), top.name, options).layers[0]
        assert store.content.size(layer.descriptor.digest) is None
        out = io.BytesIO()
        packer.write(layer, out.write)

    assert Digest.of(out.getvalue()) == layer.descriptor.digest


def test_collection_knows_packed_layers(store: Store) -> None:
    """They stay as long as the layer does, and go with it."""
    kept, gone = store.tree({"kept": LARGE}), store.tree({"gone": b"x"})
    with Layers(store.snapshots, store.content) as layers:
        config = store.content.put(config_of(store, layers, kept.name))
    store.images.add(config, kept.name, created_at=1)
    stays, goes = (pack(store, tree.name, PackOptions()).layers[0].descriptor for tree in (kept, gone))
    collect(store.state, store.database, store.content)

    assert store.content.size(stays.digest) == stays.size
    assert store.content.size(goes.digest) is None
    assert len(store.database.rows("SELECT * FROM layer_forms")) == 1


def test_a_store_from_before_packing(store: Store) -> None:
    """A database without the table gets it when the first layer is packed."""
    store.database.run("DROP TABLE layer_forms")
    collect(store.state, store.database, store.content)
    store.database.run("DROP TABLE layer_forms")
    top = store.tree({"a": b"a"})

    assert pack(store, top.name, PackOptions()) == pack(store, top.name, PackOptions())


def test_what_docker_manifests_cannot_say(store: Store) -> None:
    """zstd and annotations need OCI types, and a level must exist."""
    top = store.tree({"a": b"a"})
    noted = Annotations(parse_annotation("a=b"))
    for options in (
        PackOptions(compression="zstd", is_oci=False),
        PackOptions(annotations=noted, is_oci=False),
    ):
        with pytest.raises(NeedsOciTypes):
            pack(store, top.name, options)
    with pytest.raises(Unsupported):
        pack(store, top.name, PackOptions(level=12))


def test_index_of_several(store: Store) -> None:
    """Each manifest with its platform and descriptor annotations, and the index's own beside them."""
    noted = Annotations(
        (
            *parse_annotation("manifest,manifest-descriptor[linux/arm64]:a=b"),
            *parse_annotation("index,index-descriptor:c=d=e"),
        )
    )
    top = store.tree({"a": b"a"})
    options = PackOptions(annotations=noted)
    images = [
        pack(store, top.name, options, platform=platform)
        for platform in (LINUX, Platform("linux", "arm64"), Platform("linux", "arm", "v7"))
    ]
    index = assemble_index(images, store.content, noted)
    parsed = parse_manifest(store.content.read(index.descriptor.digest), OCI_INDEX)

    assert isinstance(parsed, Index)
    assert [str(entry.platform) for entry in parsed.manifests] == [
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
    ]
    assert [entry.annotations for entry in parsed.manifests] == [(), (("a", "b"),), ()]
    assert parsed.annotations == index.descriptor.annotations == (("c", "d=e"),)
    assert all(document(image)["annotations"] == {"a": "b"} for image in images)
    with pytest.raises(NeedsOciTypes):
        assemble_index(images, store.content, is_oci=False)


def test_docker_list_of_several(store: Store) -> None:
    """Without OCI types it is Docker's manifest list of Docker's manifests."""
    top = store.tree({"a": b"a"})
    image = pack(store, top.name, PackOptions(is_oci=False))
    index = assemble_index([image], store.content, is_oci=False)
    parsed = parse_manifest(index.document, DOCKER_INDEX)

    assert isinstance(parsed, Index)
    assert [entry.media_type for entry in parsed.manifests] == [DOCKER_MANIFEST]
    with pytest.raises(NeedsOciTypes):
        assemble_index([pack(store, top.name, PackOptions())], store.content, is_oci=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", [Annotation("manifest", None, "a", "b")]),
        ("a=", [Annotation("manifest", None, "a", "")]),
        ("org.test:x=1", [Annotation("manifest", None, "org.test:x", "1")]),
        ("index:a=b=c", [Annotation("index", None, "a", "b=c")]),
        (
            "index,manifest[linux/arm64]:a=b",
            [
                Annotation("index", None, "a", "b"),
                Annotation("manifest", Platform("linux", "arm64"), "a", "b"),
            ],
        ),
    ],
)
def test_annotations_are_read(text: str, expected: list[Annotation]) -> None:
    """Types before a colon, the manifest without one."""
    assert list(parse_annotation(text)) == expected


@pytest.mark.parametrize(
    "text", ["", "a", "=b", "index:=b", "index,other:a=b", "index[linux/amd64]:a=b", "x[:a=b"]
)
def test_bad_annotations(text: str) -> None:
    """They are refused, and not taken for something else."""
    with pytest.raises(InvalidAnnotation):
        parse_annotation(text)


def test_index_annotations_without_an_index() -> None:
    """One platform gives no index to annotate."""
    Annotations(parse_annotation("manifest:a=b")).refuse_index()
    with pytest.raises(InvalidAnnotation, match="index-descriptor"):
        Annotations(parse_annotation("index-descriptor:a=b")).refuse_index()
