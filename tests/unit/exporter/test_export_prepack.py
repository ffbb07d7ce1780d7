"""Layers packed beside later steps: found by whoever packs the image, and given up without a trace."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.core.image import ImageConfig
from builder.core.platform import Platform
from builder.exporter.image import finish_image
from builder.exporter.layers import Layers
from builder.exporter.pack import Packer, packer_name
from builder.exporter.packed import PackOptions
from builder.exporter.prepack import Prepacker
from tests.support.local_store import Store, open_store

LARGE = random.Random(1).randbytes(3_000_000)
OPTIONS = (PackOptions(), PackOptions(compression="zstd"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "root") as store:
        yield store


@pytest.fixture
def packer(store: Store) -> Iterator[Packer]:
    with Layers(store.snapshots, store.content) as layers:
        yield Packer(layers, store.snapshots, store.content, store.forms, threads=2)


def blobs(store: Store) -> set[str]:
    return {path.name for path in store.state.blobs.iterdir()}


def test_image_finds_its_layers_packed(store: Store, packer: Packer) -> None:
    """In every form that was asked for, also of a layer that was added with the one above it only."""
    low = store.tree({"low": b"low"})
    top = store.tree({"large": LARGE}, low.name)
    with Prepacker(lambda: packer, store.snapshots, OPTIONS) as ahead:
        ahead.add(top.name)
        ahead.add(top.name)
        ahead.finish()
    before = blobs(store)
    with Layers(store.snapshots, store.content) as layers:
        chain = store.snapshots.chain(top.name)
        config = finish_image(ImageConfig(platform=Platform("linux", "amd64")), chain, layers)
    for options in OPTIONS:
        packed = packer.pack(config, top.name, options)

        assert {layer.descriptor.digest.hex for layer in packed.layers} <= before


def test_what_is_not_finished_is_given_up(store: Store, packer: Packer) -> None:
    """In the middle of a layer: no form of it is kept, and no blob is left."""
    top = store.tree({"large": LARGE})
    began, go, before = threading.Event(), threading.Event(), blobs(store)

    def hold() -> Packer:
        began.set()
        assert go.wait(60)
        return packer

    ahead = Prepacker(hold, store.snapshots, OPTIONS)
    ahead.add(top.name)
    assert began.wait(60)
    closing = threading.Thread(target=ahead.__exit__, args=(None, None, None))
    closing.start()
    assert ahead.is_over.wait(60)
    go.set()
    closing.join(60)

    diff_id = store.snapshots.chain(top.name)[0].diff_id
    assert diff_id is None or store.forms.find(diff_id, packer_name(OPTIONS[0])) is None
    assert blobs(store) == before


def test_without_options_nothing_runs(store: Store) -> None:
    """A build whose image only stays in the store opens no packer."""

    def never() -> Packer:
        raise AssertionError("nobody wants it")

    with Prepacker(never, store.snapshots, ()) as ahead:
        ahead.add(store.tree({"a": b"a"}).name)
        ahead.finish()
