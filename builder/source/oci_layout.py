"""Images out of an OCI layout folder, by tag or digest, as a base is read from a registry."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.core.descriptor import INDEXES, MANIFESTS, Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.errors import Kind, PybuildError
from builder.core.image import ImageConfig
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.source.documents import descriptor as descriptor_of
from builder.source.documents import entries, parse
from builder.source.image import register_layers
from builder.source.interface import BrokenImage, ImageUnavailable, ResolvedSource
from builder.store.interface import ContentStore, Image, Snapshotter

_MAX_DOCUMENT = 8 << 20  # bytes of an index, manifest or config; larger ones are no such thing
_MAX_HOPS = 8
_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")


class InvalidLayout(PybuildError):
    """A folder is no OCI layout."""

    kind = Kind.INVALID
    code = "invalid-layout"


class OciLayout:
    """One folder; nothing of it is trusted but what its digests prove."""

    def __init__(self, directory: Path, content: ContentStore, snapshots: Snapshotter) -> None:
        self._directory = directory
        self._content = content
        self._snapshots = snapshots

    def resolve(self, wanted: str, platform: Platform) -> ResolvedSource:
        """``wanted`` is a tag, a digest, or "" for the only image (or "latest").

        Brings its layers into the store. Raises InvalidLayout, ImageUnavailable, BrokenImage.
        """
        described = self._choose(wanted, platform)
        manifest = self._document(described)
        config_of = descriptor_of(manifest.get("config"))
        raw = self._read(config_of)
        try:
            config = ImageConfig.from_json(raw)
        except (ValueError, KeyError, TypeError, PybuildError) as error:
            raise BrokenImage(f"the layout's config is no image config: {error}") from error
        layers = [descriptor_of(layer) for layer in entries(manifest, "layers")]
        for layer in layers:
            self._bring(layer)
        self._content.put(raw)
        top = register_layers(self._snapshots, config, layers, origin="")
        reference = Reference.parse(f"layout.invalid/image@{config_of.digest}")
        return ResolvedSource(reference, Image(config_of.digest, top, 0.0), config, described.digest)

    def _choose(self, wanted: str, platform: Platform) -> Descriptor:
        listed = entries(self._index(), "manifests")
        found = [entry for entry in listed if _is_meant(entry, wanted, is_only=len(listed) == 1)]
        if not found:
            names = sorted({name for entry in listed for name in _names(entry)})
            raise ImageUnavailable(
                f'the OCI layout "{self._directory}" has no image "{wanted or "latest"}"',
                hint=f"it has {', '.join(names[:8])}" if names else "name one by its digest, with @sha256:…",
            )
        for entry in found:
            chosen = self._below(entry, platform, is_only=len(found) == 1, hops=0)
            if chosen is not None:
                return chosen
        raise ImageUnavailable(
            f'the OCI layout "{self._directory}" has no image for {platform}',
            hint="build for another --platform",
        )

    def _below(
        self, entry: Mapping[str, Any], platform: Platform, *, is_only: bool, hops: int
    ) -> Descriptor | None:
        if hops > _MAX_HOPS:
            raise BrokenImage("the layout's indexes lead to indexes without end")
        kind = entry.get("mediaType")
        if kind in MANIFESTS:
            listed = _platform(entry.get("platform"))
            return descriptor_of(entry) if platform.matches(listed) or (is_only and listed.os == "") else None
        if kind in INDEXES:
            below = entries(self._document(descriptor_of(entry)), "manifests")
            for each in below:
                chosen = self._below(each, platform, is_only=len(below) == 1, hops=hops + 1)
                if chosen is not None:
                    return chosen
        return None

    def _index(self) -> Any:
        try:
            return parse(_bounded(self._open("index.json")), "index.json")
        except FileNotFoundError as error:
            raise InvalidLayout(
                f'"{self._directory}" is no OCI layout: it has no index.json',
                hint="write one with `pybuild save --format oci-dir`, or `skopeo copy … oci:DIRECTORY`",
            ) from error

    def _document(self, descriptor: Descriptor) -> Any:
        return parse(self._read(descriptor), str(descriptor.digest))

    def _read(self, descriptor: Descriptor) -> bytes:
        data = _bounded(self._blob(descriptor))
        if Digest.of(data) != descriptor.digest:
            raise DigestMismatch(descriptor.digest, Digest.of(data), what="a blob of the layout")
        return data

    def _bring(self, layer: Descriptor) -> None:
        if self._content.size(layer.digest) == layer.size:
            return
        descriptor = self._blob(layer)
        with open(descriptor, "rb") as file, self._content.writer() as writer:
            while data := file.read(1 << 20):
                writer.write(data)
            writer.commit(expected=layer.digest)

    def _blob(self, descriptor: Descriptor) -> int:
        try:
            return self._open(f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}")
        except FileNotFoundError as error:
            raise BrokenImage(f"the layout lacks {descriptor.digest}") from error

    def _open(self, name: str) -> int:
        """A link in a layout may lead anywhere, so none is followed."""
        directory = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            *parents, last = name.split("/")
            for parent in parents:
                below = os.open(parent, os.O_PATH | os.O_DIRECTORY | flags, dir_fd=directory)
                os.close(directory)
                directory = below
            # O_NONBLOCK: opening a FIFO must not wait for a writer.
            file = os.open(last, os.O_RDONLY | os.O_NONBLOCK | flags, dir_fd=directory)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InvalidLayout(
                f'"{name}" of the OCI layout "{self._directory}" cannot be read: {error.strerror}',
                hint="a layout has regular files and directories only",
            ) from error
        finally:
            os.close(directory)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise InvalidLayout(
                f'"{name}" of the OCI layout "{self._directory}" is no regular file',
                hint="a layout has regular files and directories only",
            )
        return file


def split_layout(text: str) -> tuple[str, str]:
    """``PATH[:TAG|@DIGEST]`` as path and tag or digest; "" for neither."""
    path, at, digest = text.rpartition("@")
    if at and digest.startswith("sha256:"):
        return path, digest
    directory, slash, name = text.rpartition("/")
    base, colon, tag = name.rpartition(":")
    return (f"{directory}{slash}{base}", tag) if colon else (text, "")


def _is_meant(entry: Mapping[str, Any], wanted: str, *, is_only: bool) -> bool:
    if wanted.startswith("sha256:"):
        return entry.get("digest") == wanted
    names = _names(entry)
    tags = [name.rpartition(":")[2] for name in names if "/" not in name.rpartition(":")[2]]
    return (wanted or "latest") in (*names, *tags) or (not wanted and is_only)


def _names(entry: Mapping[str, Any]) -> list[str]:
    annotations = entry.get("annotations")
    found = [annotations.get(key) for key in _NAMES] if isinstance(annotations, dict) else []
    return [name for name in found if isinstance(name, str)]


def _platform(value: object) -> Platform:
    fields = value if isinstance(value, dict) else {}
    return Platform(
        str(fields.get("os", "")), str(fields.get("architecture", "")), str(fields.get("variant", ""))
    )


def _bounded(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        data = file.read(_MAX_DOCUMENT + 1)
    if len(data) > _MAX_DOCUMENT:
        raise BrokenImage("a document of the layout is too large for one")
    return data
