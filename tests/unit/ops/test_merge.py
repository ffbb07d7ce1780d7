"""Trees that were made on their own, over others: what is shared, and what of the tree below stays."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from builder.core.digest import Digest
from builder.core.events import Event, Warned
from builder.core.job import Job
from builder.fs.tree import StackedTree
from builder.llb.definition import Edge, Vertex
from builder.llb.ops import MergeOp
from builder.ops.merge import MergeOperation
from builder.ops.results import SnapshotResult
from builder.store.interface import Snapshot
from tests.support.local_store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "root") as store:
        yield store


class Heard:
    """A progress that keeps what is said."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


def merge(store: Store, names: Sequence[str], destination: str, heard: Heard | None = None) -> Snapshot:
    vertex = Vertex(op=(op := MergeOp(destination=destination)), inputs=(Edge(Digest.of(b"x")),) * len(names))
    operation = MergeOperation(vertex, op, store.snapshots)
    job = Job("merge", progress=heard) if heard else Job("merge")
    (result,) = operation.execute(job, [SnapshotResult(name) for name in names]).outputs
    assert isinstance(result, SnapshotResult)
    snapshot = store.snapshots.stat(result.name)
    assert snapshot is not None
    return snapshot


def mode_of(store: Store, name: str, path: str) -> int:
    entry = StackedTree(store.snapshots.lowers(name)).lookup(path)
    assert entry is not None
    return entry.mode


def tree(store: Store, files: dict[str, bytes], modes: dict[str, int], parent: str = "") -> Snapshot:
    active = store.active(files, parent)
    for path, mode in modes.items():
        os.chmod(active.upper / path, mode)
    return store.snapshots.commit(active, created_at=2.0)


def test_nothing_is_copied(store: Store) -> None:
    """Over any base a tree is the same directory, with the time of when it was made."""
    first, second = store.tree({"a": b"1"}), store.tree({"a": b"2", "d/e": b""})
    layer = store.tree({"d/file": b"x"})
    merged = [merge(store, (base.name, layer.name), "/d") for base in (first, second)]

    assert {store.snapshots.directory(each.name) for each in merged} == {
        store.snapshots.directory(layer.name)
    }
    assert [each.parent for each in merged] == [first.name, second.name]
    assert {each.created_at for each in merged} == {2.0}
    assert [e.path for e in StackedTree(store.snapshots.lowers(merged[1].name)).children("d")] == [
        "d/e",
        "d/file",
    ]


def test_directories_above_are_those_of_the_tree_below(store: Store) -> None:
    """The copy invented them: mode and owner come from below, what was copied keeps its own."""
    base = tree(store, {"tmp/d/x": b"", "other/x": b""}, {"tmp": 0o1777, "tmp/d": 0o700, "other": 0o711})
    layer = tree(store, {"tmp/d/new/file": b"new", "tmp/d/x": b"x"}, {"tmp/d/new": 0o750})
    if os.geteuid() == 0:
        os.chown(Path(store.snapshots.directory(base.name)) / "tmp/d", 7, 8)
    merged = merge(store, (base.name, layer.name), "/tmp/d")

    assert [mode_of(store, merged.name, path) for path in ("tmp", "tmp/d", "tmp/d/new")] == [
        0o1777,
        0o700,
        0o750,
    ]
    found = StackedTree(store.snapshots.lowers(merged.name)).lookup("tmp/d")
    assert found is not None
    assert (found.uid, found.gid) == ((7, 8) if os.geteuid() == 0 else (os.geteuid(), os.getegid()))
    # Their time is the layer's, and the files are the layer's, not copies.
    original = Path(store.snapshots.directory(layer.name))
    assert found.mtime_ns == (original / "tmp/d").stat().st_mtime_ns
    there = Path(store.snapshots.directory(merged.name)) / "tmp/d/new/file"
    assert there.stat().st_ino == (original / "tmp/d/new/file").stat().st_ino
    assert stat.S_IMODE((original / "tmp").stat().st_mode) == 0o755


def test_below_the_destination_the_layer_decides(store: Store) -> None:
    """As in a plain COPY, directories inside of what is copied take the source's mode."""
    base = tree(store, {"d/sub/x": b""}, {"d/sub": 0o700})
    layer = tree(store, {"d/sub/y": b""}, {"d/sub": 0o777})

    merged = merge(store, (base.name, layer.name), "/d")

    assert mode_of(store, merged.name, "d/sub") == 0o777


@pytest.mark.parametrize(
    ("layer", "destination", "warning"),
    [
        ({"lib/x": b""}, "/lib/x", 'the symbolic link "/lib" is replaced by a directory'),
        ({"dir": b""}, "/dir", 'the directory "/dir" is replaced by a file'),
        ({"file/in/x": b""}, "/file/in/x", 'the file "/file" is replaced by a directory'),
        ({"file": b"new"}, "/file", None),
        ({"lib": b"new"}, "/lib", None),
        ({"new/lib/x": b""}, "/new/lib/x", None),
    ],
)
def test_what_is_replaced(
    store: Store, layer: dict[str, bytes], destination: str, warning: str | None
) -> None:
    """Links of the tree below are not followed, and what is lost by that is said."""
    active = store.active({"usr/lib/x": b"old", "dir/x": b"", "file": b""})
    (active.upper / "lib").symlink_to("usr/lib")
    base = store.snapshots.commit(active, created_at=1.0)
    heard = Heard()
    merged = merge(store, (base.name, store.tree(layer).name), destination, heard)
    shown = StackedTree(store.snapshots.lowers(merged.name))

    assert heard.warnings() == ([warning] if warning else [])
    for path in layer:
        entry = shown.lookup(path)
        assert entry is not None
        assert entry.kind == "file"
    kept = shown.lookup("usr/lib/x")
    assert kept is not None
    assert Path(kept.real).read_bytes() == b"old"


def test_a_link_of_the_base_leads_nowhere(store: Store, tmp_path: Path) -> None:
    """Modes are looked up without following links, so no directory of the host is looked at."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    active = store.active({})
    (active.upper / "data").symlink_to(outside)
    base = store.snapshots.commit(active, created_at=1.0)
    merged = merge(store, (base.name, store.tree({"data/d/x": b"x"}).name), "/data/d/")

    assert mode_of(store, merged.name, "data") == 0o755
    assert list(outside.iterdir()) == []


def test_the_same_layer_twice(store: Store) -> None:
    """No directory is in a stack twice, which overlayfs refuses; the upper one is what counts."""
    layer = store.tree({"d/x": b"layer", "e": b"layer"})
    once = merge(store, (store.tree({"base": b""}).name, layer.name), "/")
    between = store.tree({"d/x": b"between", "d/y": b"between"}, once.name)
    twice = merge(store, (between.name, layer.name), "/")
    lowers = store.snapshots.lowers(twice.name)
    shown = StackedTree(lowers)

    assert len(lowers) == len(set(lowers)) == 3
    assert [entry.path for entry in shown.children("d")] == ["d/x", "d/y"]
    found = shown.lookup("d/x")
    assert found is not None
    assert Path(found.real).read_bytes() == b"layer"
    assert len(store.snapshots.chain(twice.name)) == 4


def test_a_stack_becomes_one_layer(store: Store) -> None:
    """An input of several layers is one, of hard links; one that is empty adds nothing."""
    base = store.tree({"base": b""})
    stack = store.tree({"b": b"2"}, store.tree({"a": b"1", "b": b"1"}).name)
    merged = merge(store, (base.name, "", stack.name), "/")

    assert len(store.snapshots.chain(merged.name)) == 2
    assert [e.path for e in StackedTree(store.snapshots.lowers(merged.name)).children("")] == [
        "a",
        "b",
        "base",
    ]
    assert merge(store, ("", stack.name), "/") == stack


def test_key_is_of_destination_and_inputs(store: Store) -> None:
    """The same layer for another path is another merge; nothing of the trees is looked at."""

    def digest(destination: str) -> Digest | None:
        vertex = Vertex(op=(op := MergeOp(destination=destination)), inputs=(Edge(Digest.of(b"x")),) * 2)
        cache_map = MergeOperation(vertex, op, store.snapshots).cache_map(Job("key"))
        assert [dep.content for dep in cache_map.deps] == [None, None]
        return cache_map.digest

    assert digest("/a") == digest("/a")
    assert digest("/a") != digest("/b")
