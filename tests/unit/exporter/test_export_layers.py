"""Layers as tars: computed once, the same every time, and never other than what was promised."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.core.descriptor import OCI_LAYER
from builder.core.digest import Digest, DigestMismatch
from builder.exporter.layers import Layers
from builder.store.interface import BlobNotFound
from tests.support.local_store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "root") as store:
        yield store


def written(layers: Layers, store: Store, name: str) -> bytes:
    out = io.BytesIO()
    snapshot = store.snapshots.stat(name)
    assert snapshot is not None
    layers.write(snapshot, out.write)
    return out.getvalue()


def test_descriptor_is_of_the_bytes(store: Store) -> None:
    """A layer that was built here leaves uncompressed: its digest is its diff ID."""
    tree = store.tree({"directory/file": b"content"})
    with Layers(store.snapshots, store.content) as layers:
        descriptor = layers.descriptor(tree)
        data = written(layers, store, tree.name)

    assert descriptor.media_type == OCI_LAYER
    assert (descriptor.digest, descriptor.size) == (Digest.of(data), len(data))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["directory", "directory/file"]


def test_diff_id_is_remembered(tmp_path: Path) -> None:
    """The next process knows a diff ID without reading the layer."""
    with open_store(tmp_path) as store, Layers(store.snapshots, store.content) as layers:
        tree = store.tree({"file": b"content"})
        diff_id = layers.diff_id(tree)
    with open_store(tmp_path) as store:
        known = store.snapshots.stat(tree.name)
        assert known is not None
        assert known.diff_id == diff_id
        (Path(store.snapshots.directory(tree.name)) / "file").unlink()
        with Layers(store.snapshots, store.content) as layers:
            assert layers.diff_id(known) == diff_id


def test_prefetched_is_the_same(store: Store) -> None:
    """Whether it was begun in the background or not, a diff ID is the same."""
    trees = [store.tree({f"{n}": b"%d" % n * 1000}) for n in range(8)]
    with Layers(store.snapshots, store.content) as layers:
        for tree in trees:
            layers.prefetch(tree.name)
            layers.prefetch(tree.name)
        layers.prefetch("absent")
        ahead = [layers.diff_id(tree) for tree in trees]
    with Layers(store.snapshots, store.content) as layers:
        assert [Digest.of(written(layers, store, tree.name)) for tree in trees] == ahead


def test_unused_prefetch_does_not_hold_up_the_end(store: Store) -> None:
    """What was begun and not asked for is no error."""
    with Layers(store.snapshots, store.content) as layers:
        layers.prefetch(store.tree({"a": b"a"}).name)

    assert store.database.rows("SELECT diff_id FROM snapshots") == [(None,)]


def test_pulled_layer_leaves_as_it_came(store: Store) -> None:
    """A layer from elsewhere keeps its stored form: pushing it back moves no bytes."""
    pulled = store.layer(b"the stored form")
    with Layers(store.snapshots, store.content) as layers:
        assert layers.descriptor(pulled) == pulled.layer
        assert written(layers, store, pulled.name) == b"the stored form"


def test_pulled_layer_that_is_not_here(store: Store) -> None:
    """A stored form that was never fetched, or is gone, is an error that says so."""
    pulled = store.layer(b"the stored form")
    assert pulled.layer is not None
    store.content.delete(pulled.layer.digest)
    with Layers(store.snapshots, store.content) as layers, pytest.raises(BlobNotFound):
        layers.write(pulled, lambda data: None)


def test_changed_snapshot_is_noticed(store: Store) -> None:
    """A committed tree that somebody wrote to does not pass for what it was."""
    tree = store.tree({"file": b"content"})
    with Layers(store.snapshots, store.content) as layers:
        layers.diff_id(tree)
        (Path(store.snapshots.directory(tree.name)) / "file").write_bytes(b"altered")
        with pytest.raises(DigestMismatch):
            written(layers, store, tree.name)


def test_deletions_are_whiteouts(store: Store) -> None:
    """The tar of an upper says what it hides of the layers below."""
    base = store.tree({"gone": b"x", "stays": b"y"})
    active = store.active({}, base.name)
    os.mknod(active.upper / "gone", stat.S_IFCHR, 0)
    top = store.snapshots.commit(active, created_at=3)
    with Layers(store.snapshots, store.content) as layers:
        layers.diff_id(base)
        with tarfile.open(fileobj=io.BytesIO(written(layers, store, top.name))) as tar:
            assert tar.getnames() == [".wh.gone"]


def test_a_shared_layer_is_the_same_over_everything(tmp_path: Path) -> None:
    """Its diff ID does not depend on what is below, be it the very same files, and it is hashed once."""
    with open_store(tmp_path) as store, Layers(store.snapshots, store.content) as layers:
        layer = store.tree({"d/same": b"same", "e": b"e"})
        twin = store.tree({"d/same": b"same"})
        for path in ("d/same", "d"):
            st = os.stat(Path(store.snapshots.directory(layer.name)) / path)
            os.utime(Path(store.snapshots.directory(twin.name)) / path, ns=(st.st_mtime_ns, st.st_mtime_ns))
        over = [store.snapshots.share(base.name, layer.name) for base in (twin, store.tree({"x": b""}))]
        layers.prefetch(over[0].name)
        diff_ids = [layers.diff_id(snapshot) for snapshot in over]
        data = [written(layers, store, snapshot.name) for snapshot in (layer, *over)]

        assert diff_ids == [Digest.of(data[0])] * 2
        assert data[1:] == [data[0]] * 2
        assert layers.descriptor(over[1]).size == len(data[0])
    with open_store(tmp_path) as store, Layers(store.snapshots, store.content) as layers:
        again = store.snapshots.share(twin.name, layer.name)
        (Path(store.snapshots.directory(layer.name)) / "e").unlink()

        assert layers.diff_id(again) == diff_ids[0]
        with pytest.raises(DigestMismatch):
            written(layers, store, again.name)


def test_clamped_layer_has_no_time_after_the_epoch(store: Store) -> None:
    """Newer times become the epoch, older ones and all else stay; both layers keep their digests."""
    active = store.active({"new": b"1", "old": b"2"})
    os.utime(active.upper / "old", (5, 5))
    tree = store.snapshots.commit(active, created_at=2.0)
    with Layers(store.snapshots, store.content) as layers:
        plain_id = layers.diff_id(tree)
        clamped = store.snapshots.clamp("", tree.name, 1000)
        diff_id = layers.diff_id(clamped)
        data = written(layers, store, clamped.name)

    assert Digest.of(data) == diff_id != plain_id
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {"new": 1000, "old": 5} == {member.name: member.mtime for member in tar}
    known = [store.snapshots.stat(name) for name in (tree.name, clamped.name)]
    assert [plain_id, diff_id] == [s.diff_id for s in known if s is not None]


def test_clamped_layer_is_written_once(store: Store, tmp_path: Path) -> None:
    """Its digest is remembered, beside that of the layer with its own times."""
    tree = store.tree({"file": b"content"})
    clamped = store.snapshots.clamp("", tree.name, 1000)
    with Layers(store.snapshots, store.content) as layers:
        diff_id = layers.diff_id(clamped)
    (Path(store.snapshots.directory(tree.name)) / "file").unlink()
    again = store.snapshots.clamp("", tree.name, 1000)
    with Layers(store.snapshots, store.content) as layers:
        assert diff_id == layers.diff_id(again)


def test_clamped_layer_leaves_out_what_the_step_did_not_change(store: Store) -> None:
    """A file that was copied up and not changed is found by its own time, not by the clamped one."""
    base = store.tree({"same": b"1", "changed": b"2"})
    active = store.active({"same": b"1", "changed": b"3"}, base.name)
    for name in ("same", "changed"):
        below = os.stat(f"{store.snapshots.directory(base.name)}/{name}")
        os.utime(active.upper / name, ns=(0, below.st_mtime_ns + (name == "changed")))
    tree = store.snapshots.commit(active, created_at=2.0)
    clamped_base = store.snapshots.clamp("", base.name, 1000)
    clamped = store.snapshots.clamp(clamped_base.name, tree.name, 1000)
    with Layers(store.snapshots, store.content) as layers:
        layers.diff_id(clamped_base)
        data = written(layers, store, clamped.name)

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert ["changed"] == tar.getnames()


def test_clamped_layer_unpacks_to_what_others_have(store: Store, tmp_path: Path) -> None:
    """The directory that a later build or a container sees has the times of the tar."""
    clamped = store.snapshots.clamp("", store.tree({"directory/file": b"1"}).name, 1000)
    directory = tmp_path / "made"
    directory.mkdir()
    with Layers(store.snapshots, store.content) as layers:
        layers.unpack(clamped, directory, [])

    assert [1000, 1000] == [(directory / n).stat().st_mtime for n in ("directory", "directory/file")]
    assert (directory / "directory/file").read_bytes() == b"1"
    assert not directory.with_name("made.tar").exists()
