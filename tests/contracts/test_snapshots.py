"""What every Snapshotter promises."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.core.digest import Digest
from builder.core.errors import Kind
from builder.core.image import chain_ids
from builder.fs.tree import StackedTree
from builder.store.snapshots import SnapshotMissing
from tests.support.local_store import Store, open_store


@pytest.fixture(params=["overlay"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as store:
        yield store


def files(store: Store, name: str) -> list[str]:
    tree = StackedTree(store.snapshots.lowers(name))
    return [entry.path for entry in tree.children("")]


def test_empty_tree(store: Store) -> None:
    """The name "" is the empty tree: it has no layers, no directories, and is always there."""
    assert store.snapshots.chain("") == []
    assert store.snapshots.lowers("") == []
    assert store.snapshots.is_intact("")


def test_commit(store: Store) -> None:
    """A committed tree shows what was written over what its parent shows."""
    base = store.tree({"a": b"base", "b": b"base"})
    top = store.tree({"b": b"top", "c": b"top"}, base.name)

    assert files(store, top.name) == ["a", "b", "c"]
    assert files(store, base.name) == ["a", "b"]
    assert store.snapshots.chain(top.name) == [base, top]
    assert [s.depth for s in store.snapshots.chain(top.name)] == [1, 2]
    assert store.snapshots.stat(top.name) == top
    assert top.created_at == 2.0


def test_committed_trees_outlive_the_process(tmp_path: Path) -> None:
    """What was committed is there when the store is opened again."""
    with open_store(tmp_path) as store:
        top = store.tree({"a": b"a"}, store.tree({"b": b"b"}).name)
    with open_store(tmp_path) as store:
        assert store.snapshots.stat(top.name) == top
        assert files(store, top.name) == ["a", "b"]
        assert store.snapshots.is_intact(top.name)


def test_active_tree_is_seen_by_nobody(store: Store) -> None:
    """Before the commit there is no such snapshot, after a discard no trace."""
    active = store.active({"a": b"a"})
    assert store.snapshots.stat(active.name) is None
    store.snapshots.discard(active)
    store.snapshots.discard(active)

    assert list(store.state.scratch.iterdir()) == []
    assert store.snapshots.stat(active.name) is None


def test_root_directory_has_its_mode_whatever_the_umask(store: Store) -> None:
    """The caller's umask does not reach the image."""
    before = os.umask(0o077)
    try:
        active = store.snapshots.prepare("")
    finally:
        os.umask(before)

    assert stat.S_IMODE(active.upper.stat().st_mode) == 0o755


def test_prepared_elsewhere(store: Store, tmp_path: Path) -> None:
    """A container's writable tree lies in a directory that outlives the process."""
    home = tmp_path / "container"
    home.mkdir()
    active = store.snapshots.prepare("", within=home)

    assert active.upper == home / "upper"
    assert active.upper.is_dir()
    assert active.work.is_dir()


def test_mounts_are_data(store: Store) -> None:
    """An active tree is an overlay: its upper, its parent's directories, top first, and the mount points."""
    base = store.tree({"a": b"a"})
    middle = store.tree({"b": b"b"}, base.name)
    active = store.active({}, middle.name)
    (mount,) = store.snapshots.mounts(active)

    assert (mount.type, mount.target) == ("overlay", "/")
    assert mount.options == (
        f"lowerdir+={store.snapshots.directory(middle.name)}",
        f"lowerdir+={store.snapshots.directory(base.name)}",
        f"lowerdir+={store.state.mountpoints}",
        f"upperdir={active.upper}",
        f"workdir={active.work}",
    )


def test_mount_points_whatever_the_umask(store: Store) -> None:
    """What a sandbox mounts over can be seen by every user of the image."""
    before = os.umask(0o077)
    try:
        store.snapshots.mounts(store.active({}))
    finally:
        os.umask(before)
    found = [store.state.mountpoints, *store.state.mountpoints.rglob("*")]

    assert store.state.mountpoints / "etc/resolv.conf" in found
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


def test_failed_step_is_set_aside(store: Store) -> None:
    """What a failed step wrote can be looked at, and is no snapshot."""
    active = store.active({"a": b"a"})
    store.snapshots.keep_failed(active, "build-step")

    assert (store.state.failed / "build-step/a").read_bytes() == b"a"
    assert store.snapshots.stat(active.name) is None
    assert list(store.state.scratch.iterdir()) == []


def test_layers_from_elsewhere_are_lazy(store: Store) -> None:
    """A pulled layer is known at once and unpacked when somebody reads the tree, once."""
    top = store.layer(b"two", store.layer(b"one"))
    assert store.snapshots.is_intact(top.name)
    assert store.unpacked == []
    assert files(store, top.name) == ["one", "two"]
    assert files(store, top.name) == ["one", "two"]

    assert store.unpacked == [s.name for s in store.snapshots.chain(top.name)]


def test_same_layers_are_one_snapshot(store: Store) -> None:
    """Two images on one base share its snapshots; the same layer over another base is another."""
    base = store.layer(b"one")
    again = store.layer(b"one")
    on_other = store.layer(b"one", store.layer(b"zero"))

    assert again.name == base.name
    assert on_other.name != base.name


def test_built_and_pulled_layers_meet(store: Store) -> None:
    """A pulled image whose layers were built here uses what is here."""
    built = store.tree({"x": b"x"}, store.tree({"y": b"y"}).name)
    diff_ids = (Digest.of(b"lower"), Digest.of(b"upper"))
    for snapshot, diff_id in zip(store.snapshots.chain(built.name), diff_ids, strict=True):
        store.snapshots.set_diff_id(snapshot.name, diff_id, 100)
    layer = store.layer(b"one").layer
    assert layer is not None
    found = store.snapshots.add_layer(built.parent, diff_ids[1], chain_ids(diff_ids)[1], layer, "", 1.0)

    assert found.name == built.name
    assert found.diff_id == diff_ids[1]
    assert store.snapshots.tar_size(built.name) == 100


def test_layer_that_two_processes_unpack(tmp_path: Path) -> None:
    """Of two that unpack a layer at once the first one's directory stays: it may be mounted already."""
    with open_store(tmp_path) as one, open_store(tmp_path) as two:
        layer = one.layer(b"one")
        directory = Path(one.snapshots.directory(layer.name))
        seen = []

        def unpack_slowly(*arguments: object) -> None:
            two.snapshots.lowers(layer.name)
            seen.append(directory.stat().st_ino)

        one.snapshots._unpack = unpack_slowly  # the only seam between unpacking and publishing
        one.snapshots.lowers(layer.name)

        assert seen == [directory.stat().st_ino]
        assert (directory / "one").exists()


def test_failed_unpacking_leaves_nothing(store: Store) -> None:
    """A layer that cannot be unpacked is tried again the next time."""
    layer = store.layer(b"one")
    assert layer.layer is not None
    store.content.delete(layer.layer.digest)
    with pytest.raises(Exception, match="not in the store"):
        store.snapshots.lowers(layer.name)
    assert list(store.state.scratch.iterdir()) == []
    store.content.put(b"one")

    assert files(store, layer.name) == ["one"]


def test_deep_chain(store: Store) -> None:
    """A chain of more layers than overlayfs takes is given as fewer directories that show the same."""
    name = ""
    for number in range(403):
        name = store.tree({f"{number:03}": b"x", "same": b"%d" % number}, name).name
    lowers = store.snapshots.lowers(name)

    assert len(lowers) <= 401
    assert files(store, name) == [f"{number:03}" for number in range(403)] + ["same"]
    assert (Path(lowers[0]) / "same").read_bytes() == b"402"
    top = store.tree({"top": b"t"}, name)
    assert files(store, top.name)[-1] == "top"


def test_broken_chain(store: Store) -> None:
    """A tree whose parent is gone is an error for people."""
    base = store.tree({"a": b"a"})
    top = store.tree({"b": b"b"}, base.name)
    store.database.run("DELETE FROM snapshots WHERE name = ?", (base.name,))
    with open_store(store.state.root) as again:
        for use in (again.snapshots.chain, again.snapshots.lowers):
            with pytest.raises(SnapshotMissing) as caught:
                use(top.name)
            assert caught.value.kind is Kind.CORRUPT


def test_lost_directory_is_noticed(store: Store) -> None:
    """A built tree without its directory is not intact: its record becomes a miss."""
    tree = store.tree({"a": b"a"})
    os.rename(store.snapshots.directory(tree.name), store.state.scratch / "elsewhere")

    assert not store.snapshots.is_intact(tree.name)
    assert not store.snapshots.is_intact("absent")


def test_shared_over_another_parent(tmp_path: Path) -> None:
    """One tree over several parents is one directory; that stays so when the store is opened again."""
    with open_store(tmp_path) as store:
        layer = store.tree({"a": b"layer"})
        bases = [store.tree({"a": b"base", "b": b"1"}), store.layer(b"packed")]
        shared = [store.snapshots.share(base.name, layer.name) for base in bases]

        assert [snapshot.same_as for snapshot in shared] == [layer.name] * 2
        assert [snapshot.depth for snapshot in shared] == [2, 2]
        assert files(store, shared[0].name) == ["a", "b"]
        assert files(store, shared[1].name) == ["a", "packed"]
        assert store.snapshots.lowers(shared[0].name)[0] == store.snapshots.directory(layer.name)
        assert store.snapshots.directory(shared[0].name) == store.snapshots.directory(layer.name)
    with open_store(tmp_path) as store:
        assert store.snapshots.stat(shared[0].name) == shared[0]
        assert store.snapshots.chain(shared[0].name) == [bases[0], shared[0]]
        assert files(store, shared[0].name) == ["a", "b"]
        assert store.snapshots.is_intact(shared[0].name)
        Path(store.snapshots.directory(layer.name)).rename(tmp_path / "elsewhere")
        assert not store.snapshots.is_intact(shared[0].name)


def test_clamped_tree_is_one_row(store: Store) -> None:
    """Asked for again, also by another process, it is the same; another time or parent is another."""
    base = store.tree({"base": b""})
    tree = store.tree({"a": b"a"}, base.name)
    clamped = store.snapshots.clamp(base.name, tree.name, 7)
    with open_store(store.state.root) as other:
        assert clamped == other.snapshots.clamp(base.name, tree.name, 7)
    assert (base.name, tree.name, 7) == (clamped.parent, clamped.clamp_of, clamped.clamp_s)
    assert [s.depth for s in store.snapshots.chain(clamped.name)] == [1, 2]
    assert store.snapshots.stat(clamped.name) == clamped
    assert store.snapshots.is_intact(clamped.name)
    assert len({clamped.name, tree.name, store.snapshots.clamp(base.name, tree.name, 8).name}) == 3


def test_clamped_tree_of_a_shared_one_is_shared(store: Store) -> None:
    """A linked layer is one layer over any parent, clamped or not."""
    linked = store.tree({"a": b"a"})
    found = []
    for content in (b"1", b"2"):
        base = store.tree({"base": content})
        shared = store.snapshots.share(base.name, linked.name)
        found.append(store.snapshots.clamp(base.name, shared.name, 7))
        assert found[-1] == store.snapshots.clamp(base.name, shared.name, 7)

    assert found[0].same_as == found[1].same_as
    assert found[0].name != found[1].name
    origin = store.snapshots.stat(found[0].same_as)
    assert origin is not None
    assert (linked.name, 7) == (origin.clamp_of, origin.clamp_s)


def test_clamped_tree_is_unpacked_when_needed(store: Store) -> None:
    """It has a directory of its own, made once, also where it is seen through a shared one."""
    base, linked = store.tree({"base": b""}), store.tree({"a": b"a"})
    shared = store.snapshots.share(base.name, linked.name)
    clamped = store.snapshots.clamp(base.name, shared.name, 7)
    assert store.unpacked == []

    assert files(store, clamped.name) == ["base", "clamped"]
    assert store.unpacked == [clamped.same_as]


def test_stored_layer_over_another_parent(store: Store) -> None:
    """It is the same blob there, unpacked once for both, and known by its chain where that can be told."""
    layer, below = store.layer(b"x"), store.layer(b"base")
    shared = store.snapshots.share(below.name, layer.name)
    built = store.snapshots.share(store.tree({"a": b"built"}).name, layer.name)
    assert layer.diff_id is not None
    assert below.diff_id is not None
    assert layer.layer is not None
    known = store.snapshots.add_layer(
        below.name, layer.diff_id, chain_ids((below.diff_id, layer.diff_id))[1], layer.layer, "", 1.0
    )

    assert (shared.layer, shared.diff_id, shared.depth) == (layer.layer, layer.diff_id, 2)
    assert known.name == shared.name
    assert store.snapshots.is_intact(shared.name)
    assert store.unpacked == []
    assert files(store, shared.name) == ["base", "x"]
    assert files(store, built.name) == ["a", "x"]
    assert store.unpacked.count(layer.name) == 1


def test_origin_can_change(store: Store) -> None:
    """A layer is fetched from where it was last said to be."""
    layer = store.layer(b"x")
    before = store.snapshots.origin(layer.name)
    store.snapshots.set_origin(layer.name, "registry.example/app")

    assert (before, store.snapshots.origin(layer.name)) == ("", "registry.example/app")
