"""Collection: what is reachable stays, everything else goes, and a kill in between does no harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.cache.interface import CacheRecord
from builder.cache.sqlite import SqliteCache
from builder.core.digest import Digest
from builder.core.reference import Reference
from builder.store import snapshots as snapshots_module
from builder.store.gc import collect
from tests.support.killing import kills, other_process
from tests.support.local_store import Store, check_store, open_store


def run(store: Store) -> int:
    return collect(store.state, store.database, store.content)


def names(store: Store) -> set[str]:
    return {path.name for path in store.state.snapshots.iterdir()}


def test_unreachable_snapshots_go(tmp_path: Path) -> None:
    """A tree that neither an image nor a record nor a container leads to is removed."""
    with open_store(tmp_path) as store:
        store.tree({"a": b"a"}, store.tree({"b": b"b"}).name)

        assert run(store) == 2
        assert names(store) == set()
        assert store.database.rows("SELECT * FROM snapshots") == []
        assert run(store) == 0


def test_images_hold_their_layers(tmp_path: Path) -> None:
    """An image holds its config and every layer below it."""
    with open_store(tmp_path) as store:
        base = store.layer(b"base")
        top = store.tree({"a": b"a"}, base.name)
        beside = store.tree({"x": b"x"}, base.name)
        image = store.content.put(b'{"an image": "config"}')
        store.images.add(image, top.name, created_at=1)
        store.snapshots.lowers(top.name)

        assert run(store) == 1
        assert names(store) == {base.name, top.name}
        assert beside.name not in names(store)
        assert base.layer is not None
        assert store.content.size(base.layer.digest) is not None
        assert store.content.size(image) is not None

        store.images.delete(image)
        assert run(store) == 4
        assert list(store.state.blobs.iterdir()) == []


def test_clamped_layers_hold_what_they_are_made_of(tmp_path: Path) -> None:
    """Their tar can be made again as long as they live, and goes with them."""
    with open_store(tmp_path) as store:
        tree = store.tree({"a": b"a"})
        clamped = store.snapshots.clamp("", tree.name, 7)
        image = store.content.put(b'{"an image": "config"}')
        store.images.add(image, clamped.name, created_at=1)

        assert run(store) == 0
        assert names(store) == {tree.name}
        store.images.delete(image)
        assert run(store) == 2
        assert store.database.rows("SELECT * FROM snapshots") == []


def test_records_hold_their_results(tmp_path: Path) -> None:
    """What a cache record leads to is worth keeping."""
    with open_store(tmp_path) as store:
        cache, key = SqliteCache(store.database), Digest.of(b"key")
        tree = store.tree({"a": b"a"})
        cache.save(key, CacheRecord(tree.name, b""))

        assert run(store) == 0
        cache.forget(key)
        assert run(store) == 1


def test_containers_hold_their_images(tmp_path: Path) -> None:
    """A container's tree stays though its image is gone; a container without a row goes."""
    with open_store(tmp_path) as store:
        tree = store.tree({"a": b"a"})
        for name in ("known", "unknown"):
            (store.state.containers / name / "upper").mkdir(parents=True)
        store.database.run(
            "INSERT INTO containers (id, name, image, snapshot, description, created_at)"
            " VALUES ('known', 'n', '', ?, x'', 0)",
            (tree.name,),
        )

        assert run(store) == 1
        assert [path.name for path in store.state.containers.iterdir()] == ["known"]
        assert names(store) == {tree.name}


def test_manifests_hold_their_blobs(tmp_path: Path) -> None:
    """A manifest that a registry knows an image by stays, and so do those that an index lists."""
    with open_store(tmp_path) as store:
        manifest = store.content.put(b'{"layers": []}')
        index = store.content.put(json.dumps({"manifests": [{"digest": str(manifest)}]}).encode())
        stray = store.content.put(b"stray")
        config = store.content.put(b"{}")
        store.images.add(config, "", created_at=1)
        store.images.add_manifest(Reference.parse("app"), index, config)

        assert run(store) == 1
        assert [store.content.size(d) is None for d in (manifest, index, config, stray)] == [
            False, False, False, True,
        ]  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 100_000,
        b'{"manifests": 5}',
        b'{"manifests": "text"}',
        b'{"manifests": [1, null, [], {"digest": 5}, {"digest": "../../etc"}]}',
        b"\xff\xfe\x00",
    ],
)
def test_hostile_documents(tmp_path: Path, document: bytes) -> None:
    """A config may hold anything; collection reads it and is none the worse."""
    with open_store(tmp_path) as store:
        image = store.content.put(document)
        store.images.add(image, "", created_at=1)

        assert run(store) == 0
        assert store.content.size(image) == len(document)


def test_flat_form_goes_with_its_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The merged form of a deep chain stays as long as the chain."""
    monkeypatch.setattr(snapshots_module, "_MAX_LOWERS", 1)
    with open_store(tmp_path) as store:
        top = store.tree({"a": b"a"}, store.tree({"b": b"b"}).name)
        store.snapshots.lowers(top.name)
        cache, key = SqliteCache(store.database), Digest.of(b"key")
        cache.save(key, CacheRecord(top.name, b""))

        assert run(store) == 0
        assert [path.name for path in store.state.flat.iterdir()] == [top.name]
        cache.forget(key)
        assert run(store) == 3
        assert list(store.state.flat.iterdir()) == []


def test_nothing_goes_beside_a_running_job(tmp_path: Path) -> None:
    """A build in another process may need what nothing leads to yet."""

    def work(say: object, wait: object) -> None:
        with open_store(tmp_path) as store:
            store.tree({"new": b"n"})
            say(b"built")  # type: ignore[operator]  # a function
            wait()  # type: ignore[operator]  # a function

    with other_process(work) as other, open_store(tmp_path) as store:
        assert other.wait() == b"built"
        assert run(store) == 0
        assert other.let_go() == 0
        assert run(store) == 1


def test_killed_anywhere(tmp_path: Path) -> None:
    """A collection that dies has taken nothing that is needed, and the next one takes the rest."""
    root = tmp_path / "root"
    with open_store(root) as store:
        kept = store.tree({"k": b"k"})
        store.images.add(store.content.put(b"{}"), kept.name, created_at=1)
        for _ in range(2):
            store.tree({"directory/x": b"x"}, store.tree({"y": b"y"}).name)
        store.content.put(b"stray")

    def work() -> None:
        with open_store(root) as store:
            run(store)

    count = 0
    for _ in kills(root, work):
        count += 1
        with open_store(root) as store:
            here, known = names(store), {str(r[0]) for r in store.database.rows("SELECT name FROM snapshots")}

            assert kept.name in here
            assert known <= here
            assert (Path(store.snapshots.directory(kept.name)) / "k").read_bytes() == b"k"
    with open_store(root) as store:
        assert count > 10
        check_store(store)
        assert names(store) == {kept.name}
        assert len(list(store.state.blobs.iterdir())) == 1


def test_a_shared_tree_stays(tmp_path: Path) -> None:
    """What is shown over another parent lives as long as somebody shows it."""
    with open_store(tmp_path) as store:
        cache, key = SqliteCache(store.database), Digest.of(b"key")
        base, layer = store.tree({"a": b"a"}), store.tree({"b": b"b"})
        shared = store.snapshots.share(base.name, layer.name)
        cache.save(key, CacheRecord(shared.name, b""))

        assert run(store) == 0
        assert names(store) == {base.name, layer.name}
        assert store.snapshots.is_intact(shared.name)

        cache.forget(key)
        assert run(store) == 2
        assert store.database.rows("SELECT * FROM snapshots") == []
