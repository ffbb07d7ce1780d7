"""Saved images, read without any of pybuild's own code: their description and their files, layer by layer."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Node(NamedTuple):
    """One path of an image, without its times."""

    kind: str
    mode: int
    owner: tuple[int, int]
    content: str  # a digest, a link's target, a device's numbers
    xattrs: tuple[tuple[str, str], ...]


class SavedImage(NamedTuple):
    """What an archive says about one image."""

    config: dict[str, Any]
    layers: list[bytes]
    digest: str  # of the config: the image's id

    @property
    def description(self) -> dict[str, Any]:
        """The config without what differs between two builds of the same: times, and digests of layers."""
        history = [{k: v for k, v in entry.items() if k != "created"} for entry in self.config["history"]]
        rest = {k: v for k, v in self.config.items() if k not in ("created", "rootfs", "history")}
        return {**rest, "history": history, "layers": len(self.config["rootfs"]["diff_ids"])}

    def tree(self) -> dict[str, Node]:
        """The files, all layers applied."""
        found: dict[str, Node] = {}
        for layer in self.layers:
            _apply(found, layer)
        return found

    def text(self, path: str) -> str:
        """The last layer's word on one file."""
        for layer in reversed(self.layers):
            with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
                for member in tar:
                    if member.name.strip("/") == path.strip("/") and (file := tar.extractfile(member)):
                        return file.read().decode("utf-8", "surrogateescape")
        raise KeyError(path)


def read_archive(path: Path) -> SavedImage:
    """The one image of a `save` archive, through its OCI half; every digest is checked."""
    with tarfile.open(path) as tar:
        files = {m.name: file.read() for m in tar if m.isfile() and (file := tar.extractfile(m))}
    for name, data in files.items():
        if name.startswith("blobs/sha256/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2], f"{name} is damaged"

    def blob(descriptor: dict[str, Any]) -> bytes:
        data = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
        assert descriptor["size"] == len(data)
        return data

    manifest = json.loads(blob(json.loads(files["index.json"])["manifests"][0]))
    config = blob(manifest["config"])
    image = SavedImage(
        json.loads(config),
        [_plain(blob(layer)) for layer in manifest["layers"]],
        manifest["config"]["digest"],
    )
    for layer, diff_id in zip(image.layers, image.config["rootfs"]["diff_ids"], strict=True):
        assert diff_id == f"sha256:{hashlib.sha256(layer).hexdigest()}"
    return image


def layer_of(files: Mapping[str, bytes]) -> bytes:
    """A layer's tar with these files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def layer_names(layer: bytes) -> list[str]:
    """The paths in a layer's tar, in their order."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return [member.name for member in tar]


def layer_members(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return {member.name.strip("/"): member for member in tar}


def _plain(layer: bytes) -> bytes:
    import gzip

    return gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer


def _apply(found: dict[str, Node], layer: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = tar.getmembers()
        for member in members:  # whiteouts speak of what lies below, wherever they stand in the layer
            parent, _, name = member.name.strip("/").rpartition("/")
            prefix = f"{parent}/" if parent else ""
            if name == ".wh..wh..opq":
                _remove(found, prefix)
            elif name.startswith(".wh."):
                found.pop(f"{prefix}{name[4:]}", None)
                _remove(found, f"{prefix}{name[4:]}/")
        for member in members:
            path = member.name.strip("/")
            if path.rpartition("/")[2].startswith(".wh."):
                continue
            if not member.isdir():
                _remove(found, f"{path}/")
            found[path] = found[member.linkname.strip("/")] if member.islnk() else _node(tar, member)


def _remove(found: dict[str, Node], prefix: str) -> None:
    for path in [path for path in found if path.startswith(prefix)]:
        del found[path]


def _node(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Node:
    content = member.linkname
    if member.isfile():
        file = tar.extractfile(member)
        assert file is not None
        content = hashlib.sha256(file.read()).hexdigest()
    elif member.ischr() or member.isblk():
        content = f"{member.devmajor}:{member.devminor}"
    xattrs = tuple(sorted((k, v) for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr.")))
    return Node(member.type.decode(), member.mode, (member.uid, member.gid), content, xattrs)
