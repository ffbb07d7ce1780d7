"""Archives: what is saved can be loaded, by us and by others, and a hostile archive does no harm."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.core.descriptor import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.image import History, ImageConfig
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.exporter.archive import DirectoryTarget, SavedImage, save, write_tar
from builder.exporter.image import finish_image
from builder.exporter.layers import Layers
from builder.exporter.pack import Packer
from builder.exporter.packed import PackOptions
from builder.source.archive import ArchiveLoader, LoadedImage
from builder.store.interface import Image
from tests.support.local_store import Store, open_store

APP = Reference.parse("app:1")
WRONG = "sha256:" + "1" * 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "one") as store:
        yield store


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "two") as store:
        yield store


def build(store: Store, *trees: dict[str, bytes]) -> Image:
    name = ""
    for tree in trees:
        name = store.tree(tree, name).name
    config = ImageConfig(
        platform=Platform.host(),
        cmd=("sh",),
        history=tuple(History(created_by=f"{n}") for n in range(len(trees))),
    )
    with Layers(store.snapshots, store.content) as layers:
        data = finish_image(config, store.snapshots.chain(name), layers)
    return store.images.add(store.content.put(data), name, created_at=time.time())


class Saved(NamedTuple):
    """An image of a store, and its names in the archive."""

    image: Image
    names: Sequence[Reference]


@contextlib.contextmanager
def packing(store: Store, *saved: Saved) -> Iterator[tuple[list[SavedImage], Packer]]:
    """As `pybuild save` has them: with plain layers that are not stored."""
    options = PackOptions(compression="uncompressed", is_plain_stored=False)
    with Layers(store.snapshots, store.content) as layers:
        packer = Packer(layers, store.snapshots, store.content, store.forms, threads=1)
        packed = [
            SavedImage(packer.pack(store.content.read(image.id), image.snapshot, options), names)
            for image, names in saved
        ]
        yield packed, packer


def save_tar(store: Store, *saved: Saved) -> bytes:
    out = io.BytesIO()
    with packing(store, *saved) as (packed, packer):
        write_tar(packed, out.write, packer, store.content)
    return out.getvalue()


def load(store: Store, data: bytes) -> list[LoadedImage]:
    return ArchiveLoader(store.content, store.images, store.snapshots).load_tar(io.BytesIO(data))


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: file.read() for m in tar if (file := tar.extractfile(m)) is not None}


# -- our own -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_round_trip(store: Store, other: Store, pack: Callable[[bytes], bytes]) -> None:
    """An image that is saved and loaded elsewhere has its id, its names and its layers."""
    image = build(store, {"a": b"a"}, {"b": b"b"})
    data = save_tar(store, Saved(image, [APP, Reference.parse("localhost:5000/other:2")]))
    (loaded,) = load(other, pack(data))

    assert loaded.image.id == image.id
    assert other.images.find("app:1").id == image.id
    assert other.images.names_of(image.id) == ["docker.io/library/app:1", "localhost:5000/other:2"]
    chain = other.snapshots.chain(loaded.image.snapshot)
    assert [s.diff_id for s in chain] == [s.diff_id for s in store.snapshots.chain(image.snapshot)]
    assert other.content.read(image.id) == store.content.read(image.id)


def test_loaded_saves_to_the_same_bytes(store: Store, other: Store) -> None:
    """Saving what was loaded gives the archive that it came from."""
    image = build(store, {"a": b"a"}, {"b": b"b"})
    data = save_tar(store, Saved(image, [APP]))
    (loaded,) = load(other, data)

    assert save_tar(other, Saved(loaded.image, [APP])) == data


def test_saving_is_deterministic(store: Store) -> None:
    """The same image gives the same archive, on every day."""
    image = build(store, {"a": b"a"})

    assert save_tar(store, Saved(image, [APP])) == save_tar(store, Saved(image, [APP]))


def test_both_formats_describe_the_image(store: Store) -> None:
    """One archive is an OCI layout and a docker-archive: both lead to the same config and layers."""
    image = build(store, {"a": b"a"}, {"b": b"b"})
    found = members(save_tar(store, Saved(image, [APP])))
    (docker,) = json.loads(found["manifest.json"])
    (entry,) = json.loads(found["index.json"])["manifests"]
    manifest = json.loads(found[f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"])

    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert docker["RepoTags"] == ["app:1"]
    assert docker["Config"] == f"blobs/sha256/{image.id.hex}"
    assert manifest["config"]["digest"] == str(image.id)
    assert [f"blobs/sha256/{x['digest'][7:]}" for x in manifest["layers"]] == docker["Layers"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/app:1"
    assert entry["platform"]["os"] == "linux"
    for name, data in found.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{Digest.of(data).hex}"


def test_shared_layers_are_written_once(store: Store) -> None:
    """Two images over one base need its layer once, also under two names of one image."""
    one, two = build(store, {"a": b"a"}), build(store, {"a": b"a"}, {"b": b"b"})
    with tarfile.open(fileobj=io.BytesIO(save_tar(store, Saved(one, [APP]), Saved(two, [])))) as tar:
        names = tar.getnames()

    assert len(names) == len(set(names))


def test_image_without_a_name(store: Store, other: Store) -> None:
    """An image saved by id is loaded without a name."""
    image = build(store, {"a": b"a"})
    (loaded,) = load(other, save_tar(store, Saved(image, [])))

    assert loaded.names == ()
    assert other.images.find(image.id.short).id == image.id


def test_image_without_layers(store: Store, other: Store) -> None:
    """An image of metadata alone travels too."""
    image = build(store)
    (loaded,) = load(other, save_tar(store, Saved(image, [APP])))

    assert loaded.image.snapshot == ""


def test_pulled_layers_keep_their_form(store: Store, other: Store) -> None:
    """A compressed layer is saved compressed, under the media type that says so."""
    data = docker_archive({"a": b"a"}, compress=True)
    (loaded,) = load(store, data)
    again = members(save_tar(store, Saved(loaded.image, [APP])))
    (entry,) = json.loads(again["index.json"])["manifests"]
    manifest = json.loads(again[f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"])

    assert manifest["layers"][0]["mediaType"] == OCI_LAYER + "+gzip"
    assert load(other, save_tar(store, Saved(loaded.image, [APP])))[0].image.id == loaded.image.id


def test_folder_round_trip(store: Store, other: Store, tmp_path: Path) -> None:
    """A folder is an OCI layout; saving into it again changes nothing and leaves nothing."""
    image, target = build(store, {"a": b"a"}), DirectoryTarget(tmp_path / "layout")
    with packing(store, Saved(image, [APP])) as (packed, packer):
        for _ in range(2):
            save(packed, target, packer, store.content)
    loader = ArchiveLoader(other.content, other.images, other.snapshots)
    (loaded,) = loader.load_directory(tmp_path / "layout")

    assert loaded.image.id == image.id
    assert loaded.names == (APP,)
    assert not [path for path in (tmp_path / "layout").rglob("*") if path.name.endswith(".partial")]


# -- other people's ------------------------------------------------------------------------------------------


def tar_of(files: Mapping[str, bytes | str | tuple[str, str]]) -> bytes:
    """Values: bytes for a file, a text for a symbolic link, ("hard", name) for a hard link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, value in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(value, bytes):
                member.size = len(value)
                tar.addfile(member, io.BytesIO(value))
            else:
                member.type = tarfile.SYMTYPE if isinstance(value, str) else tarfile.LNKTYPE
                member.linkname = value if isinstance(value, str) else value[1]
                tar.addfile(member)
    return out.getvalue()


def config_json(layers: Sequence[bytes]) -> bytes:
    host = Platform.host()
    return json.dumps(
        {
            "os": host.os,
            "architecture": host.architecture,
            "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer)) for layer in layers]},
        }
    ).encode()


def docker_archive(*trees: dict[str, bytes], compress: bool = False) -> bytes:
    """As `docker save` wrote it before it wrote OCI layouts: <id>/layer.tar, <config>.json."""
    layers = [tar_of(tree) for tree in trees]
    config = config_json(layers)
    files: dict[str, bytes | str | tuple[str, str]] = {f"{Digest.of(config).hex}.json": config}
    for number, layer in enumerate(layers):
        files[f"{number:064}/VERSION"] = b"1.0"
        files[f"{number:064}/json"] = b"{}"
        files[f"{number:064}/layer.tar"] = gzip.compress(layer, mtime=0) if compress else layer
    manifest = [
        {
            "Config": f"{Digest.of(config).hex}.json",
            "RepoTags": ["old:1"],
            "Layers": [f"{number:064}/layer.tar" for number in range(len(layers))],
        }
    ]
    files["repositories"] = b"{}"
    files["manifest.json"] = json.dumps(manifest).encode()
    return tar_of(files)


@pytest.mark.parametrize("compress", [False, True])
def test_old_docker_archive(store: Store, *, compress: bool) -> None:
    """What `docker save` wrote for ten years is read."""
    trees = [{"a": b"a"}, {"b": b"b"}]
    (loaded,) = load(store, docker_archive(*trees, compress=compress))

    assert [str(name) for name in loaded.names] == ["docker.io/library/old:1"]
    assert [s.diff_id for s in store.snapshots.chain(loaded.image.snapshot)] == [
        Digest.of(tar_of(tree)) for tree in trees
    ]


@pytest.mark.parametrize("link", ["../one/layer.tar", ("hard", "one/layer.tar")])
def test_linked_layers(store: Store, link: str | tuple[str, str]) -> None:
    """A layer that occurs twice is a link in old archives."""
    layer = tar_of({"a": b"a"})
    config = config_json([layer, layer])
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": ["one/layer.tar", "two/layer.tar"]}]
    files = {
        "config.json": config,
        "one/layer.tar": layer,
        "two/layer.tar": link,
        "manifest.json": json.dumps(manifest).encode(),
    }
    (loaded,) = load(store, tar_of(files))

    assert len(store.snapshots.chain(loaded.image.snapshot)) == 2


def oci_files(**changes: object) -> dict[str, bytes | str | tuple[str, str]]:
    """A small OCI layout; ``changes`` replace members of its manifest's first layer, or whole documents."""
    layer = tar_of({"a": b"a"})
    config = config_json([layer])
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": str(Digest.of(config)), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER, "digest": str(Digest.of(layer)), "size": len(layer)}],
    }
    manifest.update(changes.get("manifest", {}))  # type: ignore[call-overload]  # for tests
    raw = changes.get("raw_manifest") or json.dumps(manifest).encode()
    assert isinstance(raw, bytes)
    entry = {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(raw)), "size": len(raw)}
    entry.update(changes.get("entry", {}))  # type: ignore[call-overload]  # for tests
    index = changes.get("index") or {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    files: dict[str, bytes | str | tuple[str, str]] = {
        f"blobs/sha256/{Digest.of(data).hex}": data for data in (layer, config, raw)
    }
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    files["index.json"] = json.dumps(index).encode()
    return files


def test_foreign_oci_layout(store: Store) -> None:
    """An OCI archive of another program is read; a bare tag in it names nothing."""
    found = [
        load(store, tar_of(oci_files(entry={"annotations": labels})))
        for labels in ({"org.opencontainers.image.ref.name": "latest"}, [1], None)
    ]
    loaded = found[0][0]

    assert [[image.names for image in images] for images in found] == [[()]] * 3
    assert len(store.snapshots.chain(loaded.image.snapshot)) == 1


def test_index_of_indexes(store: Store) -> None:
    """The image for this machine is found below an index of several platforms."""
    host = Platform.host()
    files = oci_files()
    (entry,) = json.loads(files["index.json"])["manifests"]  # type: ignore[arg-type]  # bytes
    inner = json.dumps(
        {
            "manifests": [
                {
                    **entry,
                    "digest": "sha256:" + "0" * 64,
                    "platform": {"os": "plan9", "architecture": "mips"},
                },
                {**entry, "platform": {"os": host.os, "architecture": host.architecture}},
            ]
        }
    ).encode()
    files[f"blobs/sha256/{Digest.of(inner).hex}"] = inner
    top = {"mediaType": OCI_INDEX, "digest": str(Digest.of(inner)), "size": len(inner)}
    files["index.json"] = json.dumps({"manifests": [top]}).encode()

    assert len(load(store, tar_of(files))) == 1


# -- hostile -------------------------------------------------------------------------------------------------

DEEP = b"[" * 100_000


def docker_files(manifest: object, **files: bytes | str) -> bytes:
    return tar_of({**files, "manifest.json": json.dumps(manifest).encode()})


HOSTILE = {
    "empty": tar_of({}),
    "no manifest": tar_of({"hello": b"world"}),
    "blob under a wrong digest": tar_of({**oci_files(), "blobs/sha256/" + "1" * 64: b"evil"}),
    "blob name that is no digest": tar_of({**oci_files(), "blobs/sha256/x": b"evil"}),
    "missing layer": tar_of(
        oci_files(manifest={"layers": [{"mediaType": OCI_LAYER, "digest": WRONG, "size": 5}]})
    ),
    "missing config": tar_of(
        oci_files(manifest={"config": {"mediaType": OCI_CONFIG, "digest": WRONG, "size": 5}})
    ),
    "missing manifest": tar_of(oci_files(entry={"digest": WRONG})),
    "digest that is a path": tar_of(oci_files(entry={"digest": "sha256:../../../../etc/passwd"})),
    "too many layers": tar_of(oci_files(manifest={"layers": []})),
    "layers that are no list": tar_of(oci_files(manifest={"layers": {"a": 1}})),
    "layers that are numbers": tar_of(oci_files(manifest={"layers": [1]})),
    "config that is a list": tar_of(oci_files(manifest={"config": []})),
    "manifest that is a list": tar_of(oci_files(raw_manifest=b"[1]")),
    "manifest that is no JSON": tar_of(oci_files(raw_manifest=b"\xff\xfe")),
    "manifest that is deep": tar_of(oci_files(raw_manifest=DEEP)),
    "manifest that is huge": tar_of(oci_files(raw_manifest=b'"' + b"x" * (9 << 20) + b'"')),
    "index that is a list": tar_of({**oci_files(), "index.json": b"[]"}),
    "index that is deep": tar_of({**oci_files(), "index.json": DEEP}),
    "index of numbers": tar_of(oci_files(index={"manifests": [1]})),
    "digest that is a number": tar_of(
        oci_files(index={"manifests": [{"mediaType": OCI_INDEX, "digest": 5}]})
    ),
    "size that is a text": tar_of(oci_files(entry={"size": "many"})),
    "docker: no list": docker_files({"a": 1}),
    "docker: numbers": docker_files([1]),
    "docker: no config": docker_files([{"Layers": []}]),
    "docker: layers that are a number": docker_files(
        [{"Config": "c", "Layers": 5}], c=config_json([])
    ),
    "docker: tags that are a number": docker_files(
        [{"Config": "c", "Layers": [], "RepoTags": 5}], c=config_json([])
    ),
    "docker: tag that is none": docker_files(
        [{"Config": "c", "Layers": [], "RepoTags": ["../x"]}], c=config_json([])
    ),
    "docker: link that leads to itself": docker_files([{"Config": "loop", "Layers": []}], loop="loop"),
    "docker: links in a circle": docker_files([{"Config": "a", "Layers": []}], a="b", b="a"),
    "docker: link to the host": docker_files([{"Config": "a", "Layers": []}], a="/etc/passwd"),
    "docker: link out of the archive": docker_files([{"Config": "a", "Layers": []}], a="../../etc/passwd"),
    "docker: config that is no config": docker_files([{"Config": "c", "Layers": []}], c=b"[]"),
    "docker: config that is deep": docker_files([{"Config": "c", "Layers": []}], c=DEEP),
    "cut short": docker_archive({"a": b"a" * 5000})[:6000],
    "no tar": b"this is no tar at all" * 100,
    "cut gzip": gzip.compress(docker_archive({"a": b"a"}))[:-20],
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archive(store: Store, name: str) -> None:
    """It is refused with an error for people; no image and no name comes of it."""
    with pytest.raises(PybuildError) as caught:
        load(store, HOSTILE[name])

    assert caught.value.kind in (Kind.INVALID, Kind.CORRUPT, Kind.NOT_FOUND)
    assert store.images.all() == []
    assert store.database.rows("SELECT * FROM refs") == []
    assert list(store.state.scratch.iterdir()) == []


def test_indexes_in_a_circle(store: Store) -> None:
    """Indexes that lead deeper than anybody's do not hang or overflow."""
    files = oci_files()
    inner = b'{"manifests": []}'
    for _ in range(20):
        files[f"blobs/sha256/{Digest.of(inner).hex}"] = inner
        below = {"mediaType": OCI_INDEX, "digest": str(Digest.of(inner)), "size": len(inner)}
        inner = json.dumps({"manifests": [below]}).encode()
    files["index.json"] = inner
    with pytest.raises(PybuildError):
        load(store, tar_of(files))


def test_link_in_a_layout_folder(store: Store, tmp_path: Path) -> None:
    """A folder with a link in it is refused: the link may lead to any file of the user."""
    layout = tmp_path / "layout"
    for name, data in oci_files().items():
        (layout / name).parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(data, bytes)
        (layout / name).write_bytes(data)
    os.rename(layout / "index.json", tmp_path / "index.json")
    (layout / "index.json").symlink_to(tmp_path / "index.json")
    loader = ArchiveLoader(store.content, store.images, store.snapshots)
    with pytest.raises(PybuildError) as caught:
        loader.load_directory(layout)

    assert "index.json" in caught.value.message


def test_names_outside_do_not_escape(store: Store, tmp_path: Path) -> None:
    """Members called ../x or /x are read into the store like any other and written nowhere."""
    before = sorted(tmp_path.iterdir())
    with contextlib.suppress(PybuildError):
        load(store, tar_of({"../escaped": b"x", "/absolute-escape": b"x", "a/../../b": b"x"}))

    assert sorted(tmp_path.iterdir()) == before
    assert not Path("/absolute-escape").exists()
