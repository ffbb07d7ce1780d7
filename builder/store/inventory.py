"""The inventory: everything in the database and the directories that can be collected, as Holdings."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builder.core.digest import Digest, InvalidDigest
from builder.store.cachemounts import unused
from builder.store.content import LocalContentStore
from builder.store.database import CACHE_MOUNTS_TABLE, LAYER_FORMS_TABLE, Database, Value, text
from builder.store.holdings import Holdings, Node, Thing
from builder.store.state import StateDir, is_locked

# Of an attestation in an index: what it is about (BuildKit's docs/attestations/attestation-storage.md).
_SAID = "vnd.docker.reference.digest"


class Inventory:
    """Reads it all; in a transaction, and with nobody touching anything, it is exact."""

    def __init__(self, state: StateDir, database: Database, content: LocalContentStore) -> None:
        self._state = state
        self._database = database
        self._content = content

    def take(self, sizes: Mapping[str, int], *, counts_own: bool = False) -> Holdings:
        """``counts_own``: what this command holds stays too."""
        self._database.run(CACHE_MOUNTS_TABLE)  # a store may be older than these
        self._database.run(LAYER_FORMS_TABLE)
        others = self._state.lease.others()
        names = frozenset(name for held in others for name in held.names)
        if counts_own:
            names |= self._state.lease.names
        began = min((held.started_at for held in others), default=float("inf"))
        things = [
            *self._images(names),
            *self._containers(),
            *self._records(),
            *self._cache_mounts(),
            *self._packed_layers(),
            *self._builds(began),
            *self._directory(self._state.failed, "failed-step"),
            *self._directory(self._state.partial, "partial"),
            *self._stat_cache(is_used=bool(others)),
        ]
        return Holdings(things, self._nodes(sizes), names, sizes)

    def _nodes(self, sizes: Mapping[str, int]) -> dict[str, Node]:
        blobs = self._state.blobs.relative_to(self._state.root)
        nodes = {
            f"sha256:{name}": Node((), sizes.get(f"{blobs}/{name}", 0))
            for name in os.listdir(self._state.blobs)
        }
        query = "SELECT name, parent, same_as, clamp_of, blob, diff_id FROM snapshots"
        for name, parent, same_as, clamp_of, blob, diff_id in self._database.rows(query):
            needs = tuple(text(each) for each in (parent, same_as, clamp_of, blob) if each)
            places = (f"{bucket.name}/{text(name)}" for bucket in (self._state.snapshots, self._state.flat))
            size = sum(sizes.get(place, 0) for place in places)
            nodes[text(name)] = Node(needs, size, text(diff_id or ""))
        return nodes

    def _images(self, leased: frozenset[str]) -> Iterator[Thing]:
        names: dict[str, list[str]] = {}
        for name, image in self._database.rows(
            "SELECT name, image FROM refs UNION SELECT name, image FROM platforms ORDER BY name"
        ):
            names.setdefault(text(image), []).append(text(name))
        manifests: dict[str, list[str]] = {}
        for repository, digest, image in self._database.rows(
            "SELECT repository, digest, image FROM manifests ORDER BY repository, digest"
        ):
            names.setdefault(text(image), []).append(f"{text(repository)}@{text(digest)}")
            manifests.setdefault(text(image), []).append(text(digest))
        for image, digest in self._database.rows("SELECT image, digest FROM attested"):
            manifests.setdefault(text(image), []).append(text(digest))
        for id, snapshot, created_at in self._database.rows("SELECT id, snapshot, created_at FROM images"):
            image, known = text(id), names.get(text(id), [])
            blobs = {image, *manifests.get(image, ())}
            roots = (text(snapshot), *sorted(blobs | self._named_by(blobs)))
            pinned = "it has a name" if known else ""
            if image in leased:
                pinned = "a running command uses it"
            yield Thing(
                kind="image", id=image, text=known[0] if known else "(no name)", roots=roots, pinned=pinned,
                created_at=_number(created_at), used_at=_number(created_at),
            )  # fmt: skip

    def _named_by(self, blobs: set[str]) -> set[str]:
        """Manifests below an index: the index is what a registry's digest names. Attestations whole."""
        found: set[str] = set()
        for blob in blobs:
            for entry in _entries(self._document(blob), "manifests"):
                digest = str(entry.get("digest"))
                found.add(digest)
                if isinstance(entry.get("annotations"), dict) and _SAID in entry["annotations"]:
                    manifest = self._document(digest)
                    parts = [*_entries(manifest, "layers"), manifest.get("config")]
                    found |= {str(part.get("digest")) for part in parts if isinstance(part, dict)}
        return found

    def _document(self, blob: str) -> dict[str, Any]:
        """A manifest, an index or a config, all of which are small; {} for anything else."""
        try:
            path = self._content.path(Digest.parse(blob))
            if path.stat().st_size < 1 << 18:
                document = json.loads(path.read_bytes())
                return document if isinstance(document, dict) else {}
        except (OSError, ValueError, RecursionError, InvalidDigest):
            pass
        return {}

    def _containers(self) -> Iterator[Thing]:
        query = "SELECT id, name, image, snapshot, created_at FROM containers"
        for id, name, image, snapshot, created_at in self._database.rows(query):
            yield Thing(
                kind="container", id=text(id), text=text(name), roots=(text(snapshot), text(image)),
                path=f"{self._state.containers.name}/{text(id)}", pinned="`pybuild rm` removes containers",
                created_at=_number(created_at), used_at=_number(created_at),
            )  # fmt: skip

    def _records(self) -> Iterator[Thing]:
        query = "SELECT key, result, created_at, coalesce(used_at, created_at) FROM records"
        for key, result, created_at, used_at in self._database.rows(query):
            yield Thing(
                kind="record", id=text(key), text="", roots=tuple(filter(None, text(result).split(","))),
                created_at=_number(created_at), used_at=_number(used_at),
            )  # fmt: skip

    def _cache_mounts(self) -> Iterator[Thing]:
        for identity, id, created_at, used_at in self._database.rows(
            "SELECT identity, id, created_at, used_at FROM cache_mounts"
        ):
            directory = self._state.caches / text(identity)
            with unused(directory) as is_free:
                pinned = "" if is_free else "a running build uses it"
            yield Thing(
                kind="cache-mount", id=text(identity), text=text(id).lstrip("/"),
                path=f"{self._state.caches.name}/{text(identity)}", pinned=pinned,
                created_at=_number(created_at), used_at=_number(used_at),
            )  # fmt: skip

    def _packed_layers(self) -> Iterator[Thing]:
        query = "SELECT diff_id, packer, digest FROM layer_forms"
        for diff_id, packer, digest in self._database.rows(query):
            at = _changed_at(self._content.path(Digest.parse(text(digest))))
            yield Thing(
                kind="packed-layer", id=f"{text(diff_id)}/{text(packer)}",
                text=f"{text(diff_id)[:19]} by {text(packer)}",
                roots=(text(digest),), content=text(diff_id), created_at=at, used_at=at,
            )  # fmt: skip

    def _builds(self, began: float) -> Iterator[Thing]:
        rows = self._database.rows("SELECT id, started_at FROM builds")
        known = {text(id): _number(started_at) for id, started_at in rows}
        for id, at in known.items():
            yield Thing(kind="build", id=id, text="", created_at=at, used_at=at)
        for id in sorted(os.listdir(self._state.logs)):
            at = known.get(id) or _changed_at(self._state.logs / id)
            # Of a build that has no record yet; its first line came after its command began.
            pinned = "a running build writes it" if id not in known and at >= began - 1 else ""
            yield Thing(
                kind="log", id=id, text="", path=f"{self._state.logs.name}/{id}", pinned=pinned,
                created_at=at, used_at=at,
            )  # fmt: skip

    def _directory(self, bucket: Path, kind: str) -> Iterator[Thing]:
        for name in sorted(os.listdir(bucket)):
            at, path = _changed_at(bucket / name), bucket / name
            pinned = "a running command fetches it" if kind == "partial" and is_locked(path) else ""
            yield Thing(
                kind=kind,
                id=name,
                text="",
                path=f"{bucket.name}/{name}",
                pinned=pinned,
                created_at=at,
                used_at=at,
            )

    def _stat_cache(self, *, is_used: bool) -> Iterator[Thing]:
        path = self._state.stat_cache
        if path.exists():
            at, pinned = _changed_at(path), "a running command may use it" if is_used else ""
            yield Thing(
                kind="stat-cache", id=path.name, text="digests of the files of contexts", path=path.name,
                created_at=at, used_at=at, pinned=pinned,
            )  # fmt: skip


def _entries(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A config may have a member of that name too, with anything in it."""
    entries = document.get(name)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _changed_at(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.lstat().st_mtime
    return 0.0


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
