"""Records of a shared cache: used only where they stand on what their step stands on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cache.document import CacheDocument, SharedLayer, SharedRecord
from builder.cache.imported import ImportedCache
from builder.cache.interface import CacheRecord, ContentMemo, Lineage
from builder.cache.memory import MemoryCache
from builder.cache.overlay import CacheWithImports
from builder.core.digest import Digest
from builder.core.job import Cancel
from tests.support.cache_remotes import MemoryRemote, layer_of
from tests.support.local_store import Store, open_store

KEY, OTHER, CONTENT = Digest.of(b"key"), Digest.of(b"other"), Digest.of(b"content")
ONE, TWO = b"one", b"two"  # layers, which are their own diff IDs here


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened


class Scene:
    """A store with a base image, and a shared cache of two layers over it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        base = store.layer(b"base")
        assert base.diff_id is not None
        self.base, self.base_chain = base.name, base.diff_id
        self.lower = SharedLayer(self.base_chain, Digest.of(ONE), 5.0)
        self.upper = SharedLayer(self.lower.chain_id, Digest.of(TWO), 6.0)
        self.remote = MemoryRemote()
        self.remote.blobs = {Digest.of(data): data for data in (ONE, TWO)}
        self.warnings: list[str] = []

    def imported(
        self, result: Digest | None, *lineages: Lineage, memos: tuple[ContentMemo, ...] = ()
    ) -> ImportedCache:
        document = CacheDocument(
            layers={layer.chain_id: layer for layer in (self.lower, self.upper)},
            records={KEY: SharedRecord(result, 1.0, b"inputs")},
            memos=memos,
            blobs={Digest.of(data): layer_of(data) for data in (ONE, TWO)},
        )
        return ImportedCache(
            document, self.remote, self.store.snapshots, self.store.content, lambda key: lineages,
            self.warnings.append, Cancel(),
        )  # fmt: skip


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)


def test_hit_becomes_layers_of_the_store(scene: Scene) -> None:
    """Over the very base that is here, with the times of the machine that ran the steps."""
    lineage = Lineage(scene.base, scene.base_chain, 2)
    record = scene.imported(scene.upper.chain_id, lineage).find(KEY)
    assert record is not None
    chain = scene.store.snapshots.chain(record.result_id)

    assert record.inputs == b"inputs"
    assert chain[0].name == scene.base
    assert [snapshot.created_at for snapshot in chain[1:]] == [5.0, 6.0]
    assert [snapshot.diff_id for snapshot in chain[1:]] == [Digest.of(ONE), Digest.of(TWO)]
    assert scene.store.content.read(Digest.of(TWO)) == TWO
    assert scene.warnings == []


@pytest.mark.parametrize("shift", [-1, 1])
def test_result_of_another_height_is_refused(scene: Scene, shift: int) -> None:
    """A step of one layer cannot be answered by a tree of two."""
    lineage = Lineage(scene.base, scene.base_chain, 2 + shift)

    assert scene.imported(scene.upper.chain_id, lineage).find(KEY) is None
    assert len(scene.warnings) == 1
    assert "does not stand on" in scene.warnings[0]


def test_result_over_another_base_is_refused(scene: Scene) -> None:
    """Nor one over scratch, over another image, or with layers that nobody knows."""
    other = scene.store.layer(b"another base")
    assert other.diff_id is not None
    for lineage in (Lineage("", None, 2), Lineage("", None, 3), Lineage(other.name, other.diff_id, 2)):
        assert scene.imported(scene.upper.chain_id, lineage).find(KEY) is None
    assert scene.imported(Digest.of(b"nowhere"), Lineage("", None, 1)).find(KEY) is None
    assert scene.imported(None, Lineage("", None, 1)).find(KEY) is None
    assert scene.imported(scene.upper.chain_id).find(KEY) is None


def test_record_answers_its_own_key_alone(scene: Scene) -> None:
    """Another key is a miss, whatever else would fit."""
    imported = scene.imported(scene.upper.chain_id, Lineage(scene.base, scene.base_chain, 2))

    assert imported.find(OTHER) is None
    assert scene.warnings == []


@pytest.mark.parametrize("origin", ["", "registry.invalid/cache"])
def test_lost_layer_is_a_miss(scene: Scene, origin: str) -> None:
    """People hear of it once, the step runs, and no row of the store speaks of layers that are nowhere."""
    scene.remote = MemoryRemote(origin)
    scene.remote.blobs = {Digest.of(ONE): ONE}
    imported = scene.imported(scene.upper.chain_id, Lineage(scene.base, scene.base_chain, 2))
    rows = scene.store.database.rows("SELECT count(*) FROM snapshots")

    assert imported.find(KEY) is None
    assert imported.find(KEY) is None
    assert len(scene.warnings) == 1
    assert scene.store.database.rows("SELECT count(*) FROM snapshots") == rows


def test_wrong_bytes_are_a_miss(scene: Scene) -> None:
    """A blob that is not what its digest says never gets into the store."""
    scene.remote.blobs[Digest.of(TWO)] = b"bad"
    imported = scene.imported(scene.upper.chain_id, Lineage(scene.base, scene.base_chain, 2))

    assert imported.find(KEY) is None
    assert scene.store.content.size(Digest.of(TWO)) is None
    assert scene.store.content.size(Digest.of(b"bad")) is None


def test_layers_that_can_be_fetched_later_are_not_fetched(scene: Scene) -> None:
    """A registry is asked whether it has them, and no more."""
    scene.remote = MemoryRemote("registry.invalid/cache")
    scene.remote.blobs = {Digest.of(data): data for data in (ONE, TWO)}
    record = scene.imported(scene.upper.chain_id, Lineage(scene.base, scene.base_chain, 2)).find(KEY)
    assert record is not None

    assert scene.store.content.size(Digest.of(TWO)) is None
    assert scene.store.snapshots.origin(record.result_id) == "registry.invalid/cache"


@pytest.mark.parametrize("lost", [None, 0, 39])
def test_many_layers_are_asked_for_together(store: Store, lost: int | None) -> None:
    """A result of forty layers is whole or a miss, whichever of them is lost."""
    remote, layers, blobs, parent = MemoryRemote("registry.invalid/cache"), {}, {}, None
    for number in range(40):
        data = f"layer {number}".encode()
        layer = SharedLayer(parent, Digest.of(data), 1.0)
        parent = layer.chain_id
        layers[parent], blobs[layer.diff_id] = layer, layer_of(data)
        if number != lost:
            remote.blobs[Digest.of(data)] = data
    document = CacheDocument(layers=layers, records={KEY: SharedRecord(parent, 1.0)}, blobs=blobs)
    warnings: list[str] = []
    imported = ImportedCache(
        document, remote, store.snapshots, store.content, lambda key: [Lineage("", None, 40)],
        warnings.append, Cancel(),
    )  # fmt: skip

    assert (imported.find(KEY) is None) == (lost is not None)
    assert len(warnings) == (lost is not None)


def test_old_result_is_a_miss(scene: Scene) -> None:
    """As a record of the store is that is older than it may be; nobody is warned."""
    lineage = Lineage(scene.base, scene.base_chain, 2)
    document = scene.imported(scene.upper.chain_id, lineage).document

    def found(oldest: float) -> CacheRecord | None:
        return ImportedCache(
            document, scene.remote, scene.store.snapshots, scene.store.content, lambda key: [lineage],
            scene.warnings.append, Cancel(), oldest=oldest,
        ).find(KEY)  # fmt: skip

    assert found(scene.upper.created_at + 1) is None
    assert found(scene.upper.created_at) is not None
    assert scene.warnings == []


# -- the store's cache with shared ones behind it ------------------------------------------------------------


def overlay_of(scene: Scene, inner: MemoryCache, *, is_there: bool = True) -> CacheWithImports:
    lineage = Lineage(scene.base, scene.base_chain, 2)
    memos = (ContentMemo(KEY, "/a", CONTENT), ContentMemo(OTHER, "/b", CONTENT))
    imported = scene.imported(scene.upper.chain_id, lineage, memos=memos)
    return CacheWithImports(inner, [imported], lambda result: is_there)


def test_own_records_come_first(scene: Scene) -> None:
    """What this machine has is used; only a result that is gone is taken from elsewhere."""
    inner = MemoryCache()
    own = inner.save(KEY, CacheRecord("own", b""))

    assert overlay_of(scene, inner).lookup([KEY]) == {KEY: own}
    assert overlay_of(scene, inner, is_there=False).lookup([KEY])[KEY].inputs == b"inputs"


def test_taken_record_is_the_stores_own(scene: Scene) -> None:
    """The next build has it without the shared cache, and what is known of its content."""
    inner = MemoryCache()
    overlay = overlay_of(scene, inner)
    taken = overlay.lookup([KEY, OTHER])

    assert inner.lookup([KEY, OTHER]) == taken
    assert inner.content(KEY, "/a") == CONTENT
    assert list(overlay.taken) == [KEY]


def test_memo_of_a_step_that_ran_here_is_not_believed(scene: Scene) -> None:
    """Another machine's run may have read other content."""
    inner = MemoryCache()
    overlay = overlay_of(scene, inner)
    before = overlay.content(OTHER, "/b")
    overlay.save(OTHER, CacheRecord("ran", b""), replace=True)
    overlay.save(KEY, CacheRecord("ran", b""), replace=True)

    assert before == CONTENT
    assert overlay.content(OTHER, "/b") is None
    assert overlay.content(KEY, "/a") is None
    assert overlay.ran == {KEY, OTHER}


def test_memo_of_a_result_of_our_own_is_not_believed(scene: Scene) -> None:
    """The store's record is of one result, the shared memo of another."""
    inner = MemoryCache()
    inner.save(KEY, CacheRecord("own", b""))

    assert overlay_of(scene, inner).content(KEY, "/a") is None


def test_memos_of_this_build_are_known(scene: Scene) -> None:
    """Those that were asked for or computed, and no others that the store happens to have."""
    inner = MemoryCache()
    inner.save_content(KEY, "/of another build", CONTENT)
    overlay = overlay_of(scene, inner)
    overlay.content(OTHER, "/b")
    overlay.save_content(KEY, "/new", CONTENT)

    assert overlay.memos() == sorted([ContentMemo(OTHER, "/b", CONTENT), ContentMemo(KEY, "/new", CONTENT)])
