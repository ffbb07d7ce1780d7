"""The form in which a cache travels: a member of an image's config.

A cache that is pushed on its own is an ordinary image manifest, so that every registry takes it: its layers
are the layers of all steps, and then those of cache mounts; its config is an image config with their diff
IDs. One that is inlined is the image itself. In both the config has a member ``pybuild.cache.v1``::

    {"layers":   [{"parent": CHAIN_ID, "diff_id": DIFF_ID, "created_at": SECONDS}, …],
     "records":  [{"key": HEX, "result": CHAIN_ID, "seconds": SECONDS, "inputs": TEXT}, …],
     "contents": [[SOURCE_HEX, SELECTOR, CONTENT_HEX], …],
     "mounts":   [{"identity": HEX, "id": TEXT, "exported_at": SECONDS,
                   "owner": [MODE, UID, GID], "layers": [DIFF_ID, …], "listing": DIFF_ID}, …]}

A layer's parent is the chain ID of the tree below it, which is an earlier layer here, or the top of a base
image; "" is the empty tree. As chain IDs are digests of what they stand on, there can be no cycle. Its blob
is the manifest's layer at the position of the diff ID in the config. Nothing here is trusted: whoever reads
it checks what can be checked, and bounds the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from builder.cache.interface import ContentMemo
from builder.core.descriptor import LAYERS, Descriptor
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError

MEMBER = "pybuild.cache.v1"
# Bytes of a config that is read at all, and what may be in it. A record of a step with its plain inputs is
# a few hundred bytes, so that this is a cache of some ten thousand steps.
LARGEST_CONFIG = 16 << 20
_MOST_VALUES = 1_000_000  # objects and lists: what costs memory when it is parsed
MOST_RECORDS = 50_000
_MOST_LAYERS = 20_000
_MOST_MEMOS = 200_000
_MOST_MOUNTS = 1_000
_LONGEST_TEXT = 64 << 10
LONGEST_INPUTS = 256 << 10  # bytes of one record's plain inputs
_FOREIGN_MEMBER = "moby.buildkit.cache.v0"
_FOREIGN_TYPE = "application/vnd.buildkit.cacheconfig"


class NoSharedCache(PybuildError):
    """What a --cache-from names is nothing, or something without a cache that pybuild can read."""

    kind = Kind.NOT_FOUND
    code = "no-shared-cache"

    def __init__(self, *, is_foreign: bool = False, is_missing: bool = False) -> None:
        if is_missing:
            super().__init__("nothing has that name", hint="--cache-to writes it, after the first build")
        elif is_foreign:
            super().__init__(
                "it holds a cache of BuildKit, whose records pybuild cannot use",
                hint="export one with pybuild: --cache-to under another name",
            )
        else:
            super().__init__("it holds no cache", hint="name what --cache-to wrote, or an inline cache")


class InvalidCache(PybuildError):
    """A shared cache contradicts itself or is beyond all bounds; nothing of it is used."""

    kind = Kind.CORRUPT
    code = "invalid-cache"

    def __init__(self, why: str) -> None:
        super().__init__(f"the cache cannot be used: {why}", hint="export it again with --cache-to")


class SharedLayer(NamedTuple):
    """One layer of a step's result."""

    parent: Digest | None  # the chain ID below; None: the empty tree
    diff_id: Digest
    created_at: float  # epoch seconds: when the step ran

    @property
    def chain_id(self) -> Digest:
        """Of the tree that it is the top of."""
        return chained(self.parent, self.diff_id)


class SharedRecord(NamedTuple):
    """What one key was answered by."""

    result: Digest | None  # the chain ID of the tree; None: the empty one
    seconds: float  # that the step took
    inputs: bytes = b""  # the plain inputs of the key; opaque here


class SharedMount(NamedTuple):
    """One cache mount: layers that give its directory when they are applied in order."""

    identity: Digest
    id: str
    exported_at: float  # epoch seconds
    owner: tuple[int, int, int]  # mode, uid and gid of the directory itself
    layers: tuple[Digest, ...]  # diff IDs
    listing: Digest  # the diff ID of the layer that lists what is in it


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheDocument:
    """All that one cache says; ``blobs`` are the stored forms, by diff ID."""

    layers: Mapping[Digest, SharedLayer] = field(default_factory=dict)  # by chain ID, parents first
    records: Mapping[Digest, SharedRecord] = field(default_factory=dict)
    memos: tuple[ContentMemo, ...] = ()
    mounts: tuple[SharedMount, ...] = ()
    blobs: Mapping[Digest, Descriptor] = field(default_factory=dict)

    def member(self) -> dict[str, Any]:
        """For a config; equal documents give equal members, whatever the order in which they were filled."""
        document: dict[str, Any] = {
            "layers": [
                {
                    "parent": str(layer.parent or ""),
                    "diff_id": str(layer.diff_id),
                    "created_at": layer.created_at,
                }
                for layer in self.layers.values()
            ],
            "records": [
                {
                    "key": key.hex,
                    "result": str(record.result or ""),
                    "seconds": round(record.seconds, 3),
                    **_inputs_member(record.inputs),
                }
                for key, record in sorted(self.records.items())
            ],
            "contents": [[memo.source.hex, memo.selector, memo.content.hex] for memo in sorted(self.memos)],
        }
        if self.mounts:
            document["mounts"] = [
                {
                    "identity": mount.identity.hex,
                    "id": mount.id,
                    "exported_at": mount.exported_at,
                    "owner": list(mount.owner),
                    "layers": [str(diff_id) for diff_id in mount.layers],
                    "listing": str(mount.listing),
                }
                for mount in sorted(self.mounts)
            ]
        return document


def chained(parent: Digest | None, diff_id: Digest) -> Digest:
    """The chain ID of a layer over the tree with another one (OCI config.md, "Layer ChainID")."""
    return diff_id if parent is None else Digest.of(f"{parent} {diff_id}".encode())


def decode(config: bytes, config_type: str, layers: Sequence[Descriptor]) -> CacheDocument:
    """Of a config that was checked against its digest, and its manifest's layers.

    Raises NoSharedCache, InvalidCache.
    """
    if config_type.startswith(_FOREIGN_TYPE):
        raise NoSharedCache(is_foreign=True)
    if len(config) > LARGEST_CONFIG:
        raise InvalidCache(f"its config has {len(config)} bytes")
    if config.count(b"{") + config.count(b"[") > _MOST_VALUES:
        raise InvalidCache("its config holds too many values")
    try:
        document = json.loads(config)
    except (ValueError, RecursionError) as error:
        raise NoSharedCache from error
    if not isinstance(document, dict) or MEMBER not in document:
        is_foreign = isinstance(document, dict) and _FOREIGN_MEMBER in document
        raise NoSharedCache(is_foreign=is_foreign)
    try:
        return _read(document[MEMBER], _blobs(document.get("rootfs"), layers))
    except (KeyError, TypeError, ValueError, OverflowError, PybuildError) as error:
        if isinstance(error, InvalidCache):
            raise
        raise InvalidCache(f"{type(error).__name__}: {error}"[:200]) from error


def _blobs(rootfs: Any, layers: Sequence[Descriptor]) -> dict[Digest, Descriptor]:
    diff_ids = [Digest.parse(_text(text)) for text in _items(rootfs["diff_ids"], _MOST_LAYERS)]
    if len(diff_ids) != len(layers):
        raise InvalidCache(f"it has {len(layers)} layers and {len(diff_ids)} diff IDs")
    return {
        diff_id: layer
        for diff_id, layer in zip(diff_ids, layers, strict=True)
        if layer.media_type in LAYERS and layer.digest.algorithm == "sha256"
    }


def _read(member: Any, blobs: Mapping[Digest, Descriptor]) -> CacheDocument:
    layers: dict[Digest, SharedLayer] = {}
    for entry in _items(member["layers"], _MOST_LAYERS):
        parent = Digest.parse(_text(entry["parent"])) if entry["parent"] else None
        layer = SharedLayer(parent, Digest.parse(_text(entry["diff_id"])), _seconds(entry["created_at"]))
        if layer.diff_id not in blobs:
            raise InvalidCache(f"it has no blob for the layer {layer.diff_id}")
        layers[layer.chain_id] = layer
    records: dict[Digest, SharedRecord] = {}
    for entry in _items(member["records"], MOST_RECORDS):
        key = Digest("sha256", _hex(entry["key"]))
        result = Digest.parse(_text(entry["result"])) if entry["result"] else None
        if key in records:
            raise InvalidCache(f"it has two records of the key {key}")
        inputs = _text(entry.get("inputs", ""), LONGEST_INPUTS)
        records[key] = SharedRecord(
            result, _seconds(entry["seconds"]), inputs.encode("utf-8", "surrogateescape")
        )
    memos = tuple(
        ContentMemo(Digest("sha256", _hex(source)), _text(selector), Digest("sha256", _hex(content)))
        for source, selector, content in _items(member["contents"], _MOST_MEMOS)
    )
    mounts = tuple(_mounts(member.get("mounts", []), blobs))
    return CacheDocument(layers=layers, records=records, memos=memos, mounts=mounts, blobs=blobs)


def _mounts(entries: Any, blobs: Mapping[Digest, Descriptor]) -> Iterator[SharedMount]:
    for entry in _items(entries, _MOST_MOUNTS):
        mount = SharedMount(
            Digest("sha256", _hex(entry["identity"])),
            _text(entry["id"]),
            _seconds(entry["exported_at"]),
            _owner(entry["owner"]),
            tuple(Digest.parse(_text(text)) for text in _items(entry["layers"], _MOST_MOUNTS)),
            Digest.parse(_text(entry["listing"])),
        )
        if any(diff_id not in blobs for diff_id in (*mount.layers, mount.listing)):
            raise InvalidCache(f'it lacks layers of the cache mount "{mount.id[:80]}"')
        yield mount


def _owner(value: Any) -> tuple[int, int, int]:
    mode, uid, gid = (int(_seconds(number)) for number in _items(value, 3))
    if mode > 0o7777 or max(uid, gid) >= 0xFFFF_FFFF:
        raise InvalidCache("it has a cache mount that nobody can own")
    return mode, uid, gid


def _items(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is something else")
    if len(value) > most:
        raise InvalidCache(f"it lists {len(value)} of what there are {most} of at most")
    return value


def _text(value: Any, longest: int = _LONGEST_TEXT) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is something else")
    if len(value) > longest:
        raise InvalidCache(f"a text in it has {len(value)} characters")
    return value


def _hex(value: Any) -> str:
    return Digest.parse(f"sha256:{_text(value)}").hex


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is something else")
    seconds = float(value)
    if not 0 <= seconds < 1 << 36:  # also NaN; the year 4147
        raise InvalidCache(f"{seconds} is no time")
    return seconds


def _inputs_member(inputs: bytes) -> dict[str, str]:
    """They explain misses and decide nothing: what is too large stays behind."""
    return {"inputs": inputs.decode("utf-8", "surrogateescape")} if 0 < len(inputs) <= LONGEST_INPUTS else {}
