"""Shared caches as they travel: what comes back, and what is refused."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from builder.cache.document import (
    LARGEST_CONFIG,
    MEMBER,
    MOST_RECORDS,
    CacheDocument,
    InvalidCache,
    NoSharedCache,
    SharedLayer,
    SharedMount,
    SharedRecord,
    decode,
)
from builder.cache.interface import ContentMemo
from builder.cache.reading import read_caches
from builder.core.descriptor import OCI_CONFIG, OCI_INDEX, Descriptor
from builder.core.digest import Digest
from builder.core.errors import PybuildError
from builder.core.job import Cancel
from builder.core.platform import Platform
from tests.support.cache_remotes import MemoryRemote, layer_of

BASE = Digest.of(b"base")
FIRST, SECOND, MOUNT = Digest.of(b"first"), Digest.of(b"second"), Digest.of(b"mount")
LOWER = SharedLayer(BASE, FIRST, 12.25)
UPPER = SharedLayer(LOWER.chain_id, SECOND, 13.5)
DIFF_IDS = (FIRST, SECOND, MOUNT)
LAYERS = [layer_of(b"1"), layer_of(b"2"), layer_of(b"3")]
DOCUMENT = CacheDocument(
    layers={LOWER.chain_id: LOWER, UPPER.chain_id: UPPER},
    records={
        Digest.of(b"key"): SharedRecord(UPPER.chain_id, 2.5, b"op RUN \xff\n"),
        Digest.of(b"empty"): SharedRecord(None, 0.0),
    },
    memos=(ContentMemo(Digest.of(b"key"), "/caf\udce9", Digest.of(b"content")),),
    mounts=(SharedMount(Digest.of(b"identity"), "npm", 99.0, (0o1777, 5, 6), (MOUNT,), MOUNT),),
    blobs=dict(zip(DIFF_IDS, LAYERS, strict=True)),
)

Change = Callable[[dict[str, Any]], object]


def config_of(member: object, diff_ids: tuple[Digest, ...] = DIFF_IDS) -> bytes:
    return json.dumps({"rootfs": {"diff_ids": [str(d) for d in diff_ids]}, MEMBER: member}).encode()


def test_document_comes_back() -> None:
    """Every member, times to the last digit, and bytes that are no UTF-8."""
    read = decode(config_of(DOCUMENT.member()), OCI_CONFIG, LAYERS)

    assert read == DOCUMENT
    assert list(read.layers) == [LOWER.chain_id, UPPER.chain_id]


def test_equal_documents_are_equal_bytes() -> None:
    """The order in which records were found is not seen."""
    turned = CacheDocument(
        layers=DOCUMENT.layers,
        records=dict(list(DOCUMENT.records.items())[::-1]),
        memos=DOCUMENT.memos,
        mounts=DOCUMENT.mounts,
    )

    assert config_of(turned.member()) == config_of(DOCUMENT.member())


def _break(change: Change) -> bytes:
    member = json.loads(json.dumps(DOCUMENT.member()))
    change(member)
    return config_of(member)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["layers"][0].update(diff_id=str(Digest.of(b"no blob of it"))),
        lambda m: m["layers"][0].update(diff_id="../../etc/passwd"),
        lambda m: m["layers"][0].update(parent=7),
        lambda m: m["layers"][0].update(created_at=float("nan")),
        lambda m: m["layers"][0].update(created_at=-1),
        lambda m: m["layers"][0].update(created_at=10**400),
        lambda m: m["layers"][0].pop("parent"),
        lambda m: m.update(layers={}),
        lambda m: m.update(records=None),
        lambda m: m["records"].append(m["records"][0]),
        lambda m: m["records"][0].update(key="0" * 63),
        lambda m: m["records"][0].update(key="/" * 64),
        lambda m: m["records"][0].update(seconds=True),
        lambda m: m["records"][0].update(inputs=["x"]),
        lambda m: m["records"][0].update(inputs="x" * (257 << 10)),
        lambda m: m.update(contents=[["a", "b"]]),
        lambda m: m.update(contents=[[1, 2, 3]]),
        lambda m: m["mounts"][0].update(layers=[str(Digest.of(b"elsewhere"))]),
        lambda m: m["mounts"][0].update(owner=[0o10000, 0, 0]),
        lambda m: m["mounts"][0].update(owner=[0o700, 0]),
        lambda m: m["mounts"][0].update(identity="../" + "0" * 61),
        lambda m: m.clear(),
    ],
)  # fmt: skip
def test_broken_document_is_refused_whole(change: Change) -> None:
    """Whatever is wrong with one member, it is one clear error, and nothing is used."""
    with pytest.raises(InvalidCache):
        decode(_break(change), OCI_CONFIG, LAYERS)


def test_layers_and_diff_ids_must_agree() -> None:
    """A manifest with other layers than its config tells of is refused."""
    with pytest.raises(InvalidCache, match="2 layers and 3 diff IDs"):
        decode(config_of(DOCUMENT.member()), OCI_CONFIG, LAYERS[:2])


def test_millions_of_records_are_not_even_parsed() -> None:
    """What is beyond the bounds costs no more memory than its bytes."""
    record = '{"key":"' + "0" * 64 + '","result":"","seconds":0},'
    many = record * (MOST_RECORDS + 1)
    data = f'{{"rootfs":{{"diff_ids":[]}},"{MEMBER}":{{"layers":[],"records":[{many[:-1]}]}}}}'.encode()
    nested = f'{{"{MEMBER}":{"[" * 1_000_001}'.encode()
    too_large = nested + b" " * LARGEST_CONFIG
    tracemalloc.start()
    for config in (nested, too_large):
        with pytest.raises(InvalidCache):
            decode(config, OCI_CONFIG, [])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20
    with pytest.raises(InvalidCache, match=f"at most|{MOST_RECORDS}"):
        decode(data, OCI_CONFIG, [])


def test_deep_nesting_is_no_crash() -> None:
    """A document without end is no cache."""
    with pytest.raises(NoSharedCache):
        decode(b'{"a":' + b"[" * 100_000, OCI_CONFIG, [])


@pytest.mark.parametrize(
    ("config", "media_type", "said"),
    [
        (b"{}", OCI_CONFIG, "it holds no cache"),
        (b"not JSON", OCI_CONFIG, "it holds no cache"),
        (b"[]", OCI_CONFIG, "it holds no cache"),
        (b'{"moby.buildkit.cache.v0":"e30="}', OCI_CONFIG, "cache of BuildKit"),
        (b"{}", "application/vnd.buildkit.cacheconfig.v0", "cache of BuildKit"),
    ],
)
def test_what_is_no_cache_of_ours_says_so(config: bytes, media_type: str, said: str) -> None:
    """An image without one, and a cache of BuildKit, which nobody can take for one of ours."""
    with pytest.raises(NoSharedCache, match=said):
        decode(config, media_type, [])


def test_cache_of_buildkit_as_an_index() -> None:
    """Its older form, layers in an index, is named too."""
    remote, cancel = MemoryRemote(), Cancel()
    entry = {"mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": str(BASE), "size": 2}
    index = {"schemaVersion": 2, "manifests": [entry]}
    remote.put_manifest("main", json.dumps(index).encode(), OCI_INDEX, cancel)

    with pytest.raises(NoSharedCache, match="BuildKit"):
        read_caches(remote, "main", [Platform("linux", "amd64")], cancel)
    with pytest.raises(NoSharedCache, match="nothing has that name"):
        read_caches(remote, "nothing", [Platform("linux", "amd64")], cancel)


def test_config_is_measured_before_it_is_fetched() -> None:
    """A manifest that promises a config of gigabytes leads to no transfer."""
    remote, cancel = MemoryRemote(), Cancel()
    config = Descriptor(media_type=OCI_CONFIG, digest=BASE, size=1 << 40)
    manifest = {"schemaVersion": 2, "layers": [], "config": {
        "mediaType": config.media_type, "digest": str(config.digest), "size": config.size}}  # fmt: skip
    remote.put_manifest(
        "main", json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json", cancel
    )

    with pytest.raises(PybuildError, match="1099511627776 bytes"):
        read_caches(remote, "main", [Platform("linux", "amd64")], cancel)
