"""A store in a directory, with layers that unpack to one file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from builder.core.descriptor import OCI_LAYER, Descriptor
from builder.core.digest import Digest
from builder.core.image import chain_ids
from builder.store.content import LocalContentStore
from builder.store.database import Database
from builder.store.images import LocalImageStore
from builder.store.interface import ActiveSnapshot, Snapshot
from builder.store.layerforms import LocalLayerForms
from builder.store.snapshots import OverlaySnapshotter
from builder.store.state import StateDir


class Store(NamedTuple):
    """The services of one state directory."""

    state: StateDir
    database: Database
    content: LocalContentStore
    images: LocalImageStore
    snapshots: OverlaySnapshotter
    forms: LocalLayerForms
    unpacked: list[str]  # names, in order

    def layer(self, data: bytes, parent: Snapshot | None = None) -> Snapshot:
        """A layer from elsewhere: a file "DATA" that holds ``data``."""
        diff_id = self.content.put(data)
        below = [s.diff_id for s in self.snapshots.chain(parent.name)] if parent else []
        diff_ids = tuple(d for d in (*below, diff_id) if d is not None)
        layer = Descriptor(media_type=OCI_LAYER, digest=diff_id, size=len(data))
        name = parent.name if parent else ""
        return self.snapshots.add_layer(name, diff_id, chain_ids(diff_ids)[-1], layer, "", 1.0)

    def tree(self, files: dict[str, bytes], parent: str = "") -> Snapshot:
        """A committed tree with these files over another."""
        return self.snapshots.commit(self.active(files, parent), created_at=2.0)

    def active(self, files: dict[str, bytes], parent: str = "") -> ActiveSnapshot:
        """A tree that is not committed yet."""
        active = self.snapshots.prepare(parent)
        for name, data in files.items():
            path = active.upper / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return active


@contextlib.contextmanager
def open_store(root: Path) -> Iterator[Store]:
    """As a command opens it, the sweep included."""
    with StateDir.open(root) as state, Database.open(state.database) as database:
        content = LocalContentStore(state)
        unpacked: list[str] = []

        def unpack(snapshot: Snapshot, directory: Path, lowers: Sequence[str]) -> None:
            unpacked.append(snapshot.name)
            if snapshot.layer is None:
                assert snapshot.clamp_of
                (directory / "clamped").touch()
                return
            data = content.read(snapshot.layer.digest)
            # A layer that is no plain name, such as one that is compressed, is one file too.
            (directory / (data.decode() if data.isalnum() else "layer")).write_bytes(data)

        snapshots = OverlaySnapshotter(state, database, unpack)
        state.sweep(lambda name: not snapshots.is_known(name))
        forms = LocalLayerForms(database, content)
        yield Store(
            state, database, content, LocalImageStore(database, state.lease), snapshots, forms, unpacked
        )


def check_store(store: Store) -> None:
    """What holds of every store that was just opened, whatever happened to the one before."""
    names = {str(row[0]) for row in store.database.rows("SELECT name FROM snapshots WHERE is_ready = 1")}
    known = {str(row[0]) for row in store.database.rows("SELECT name FROM snapshots")}
    here = {path.name for path in store.state.snapshots.iterdir()}
    assert names <= here, "a row speaks of a directory that is not there"
    assert here <= known, "a directory that no row speaks of was left behind"
    flat = {str(row[0]) for row in store.database.rows("SELECT name FROM snapshots WHERE is_flat = 1")}
    assert flat <= {path.name for path in store.state.flat.iterdir()}
    for blob in store.state.blobs.iterdir():
        assert Digest.of(blob.read_bytes()).hex == blob.name, "a blob is not what its name says"
    mine = {store.state.scratch.name, f"{store.state.scratch.name}.lock"}
    assert {path.name for path in (store.state.root / "tmp").iterdir()} == mine, "scratch was left behind"
    assert list(store.state.scratch.iterdir()) == []
