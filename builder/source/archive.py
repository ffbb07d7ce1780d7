"""`load`: images from a docker-archive, an OCI archive or an OCI layout folder, other people's included."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from builder.core.descriptor import INDEXES, MANIFESTS, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.image import ImageConfig
from builder.core.platform import Platform
from builder.core.reference import InvalidReference, Reference
from builder.fs.compression import open_decompressed
from builder.fs.tar import TarReader
from builder.registry.interface import NoMatchingPlatform
from builder.source.documents import descriptor as descriptor_of
from builder.source.documents import entries, parse
from builder.source.image import register_layers
from builder.source.interface import BrokenImage
from builder.store.interface import ContentStore, Image, ImageStore, Snapshotter

# A chain of links or of indexes deeper than this is a trap.
_MAX_HOPS = 8
# An index, manifest or config; larger ones are no such thing.
_MAX_DOCUMENT = 8 << 20
# In the folder of one image that skopeo's `dir:` has.
_FLAT_BLOB = re.compile(r"[0-9a-f]{64}")


class InvalidArchive(PybuildError):
    """A file or folder is no image archive."""

    kind = Kind.INVALID
    code = "invalid-archive"


class LoadedImage(NamedTuple):
    """An image that came out of an archive, with the names that it had there.

    Of an index it is this machine's, or else the first; ``parts`` are all of them.
    """

    image: Image
    names: tuple[Reference, ...]
    parts: tuple[Digest, ...] = ()
    replaced: tuple[tuple[Reference, Digest], ...] = ()  # names, and the images that had them until now


class ArchiveLoader:
    """Reads one archive into the store: blobs first, then the images that they make up."""

    def __init__(
        self,
        content: ContentStore,
        images: ImageStore,
        snapshots: Snapshotter,
        platform: Platform | None = None,
    ) -> None:
        """``platform``: images for others are passed over."""
        self._platform = platform
        self._passed_over: list[Platform] = []
        self._content = content
        self._images = images
        self._snapshots = snapshots
        self._files: dict[str, Digest] = {}  # member → what it holds
        self._links: dict[str, str] = {}

    def load_tar(self, stream: BinaryIO) -> list[LoadedImage]:
        """From a tar, compressed or not. Raises InvalidArchive, BrokenImage, BadArchive."""
        with open_decompressed(stream) as plain:
            reader = TarReader(plain)
            for member in reader:
                name = os.path.normpath(member.name.lstrip("/"))
                if member.kind == "file":
                    with self._content.writer() as writer:
                        while data := reader.read(1 << 20):
                            writer.write(data)
                        self._files[name], _ = writer.commit(expected=_named_digest(name))
                elif member.kind in ("symlink", "hardlink"):
                    base = os.path.dirname(name) if member.kind == "symlink" else ""
                    self._links[name] = os.path.normpath(os.path.join(base, member.link))
        return self._images_of_archive()

    def load_directory(self, directory: Path) -> list[LoadedImage]:
        """From an OCI layout folder, or one of `dir:`. A link in it is refused: it may lead anywhere."""
        for path in sorted(directory.rglob("*")):
            kind = path.lstat().st_mode
            if stat.S_ISDIR(kind):
                continue
            if not stat.S_ISREG(kind):
                raise InvalidArchive(
                    f'"{path}" is not a regular file', hint="a folder of images has only files in it"
                )
            name = str(path.relative_to(directory))
            is_blob = name.startswith("blobs/") or _FLAT_BLOB.fullmatch(name)
            if is_blob or name in ("index.json", "oci-layout", "manifest.json", "version"):
                with self._content.writer() as writer, open(path, "rb") as file:
                    while data := file.read(1 << 20):
                        writer.write(data)
                    self._files[name], _ = writer.commit(expected=_named_digest(name))
        return self._images_of_archive()

    def _images_of_archive(self) -> list[LoadedImage]:
        if "index.json" in self._files:
            found = self._from_index()
        elif self._is_flat():
            found = self._from_flat()
        elif "manifest.json" in self._files:
            found = self._from_manifest()
        else:
            raise InvalidArchive(
                "this is no image archive: it has neither index.json nor manifest.json",
                hint="write one with `pybuild save`, `docker save` or `skopeo copy … oci-archive:`",
            )
        if self._platform is not None and not found and self._passed_over:
            raise NoMatchingPlatform(self._platform, tuple(self._passed_over))
        return [self._named(loaded) for loaded in found]

    def _named(self, loaded: LoadedImage) -> LoadedImage:
        """Give it its names, and tell who loses them."""
        replaced = []
        for name in loaded.names:
            before = self._images.by_reference(name)
            if before is not None and before.id != loaded.image.id:
                replaced.append((name, before.id))
            self._images.tag(name, loaded.image.id, loaded.parts)
        return loaded._replace(replaced=tuple(replaced))

    def _takes(self, config: Digest) -> bool:
        """Whether it is for the platform that is wanted."""
        if self._platform is None:
            return True
        platform = self._parsed(config).platform
        if self._platform.matches(platform):
            return True
        self._passed_over.append(platform)
        return False

    # -- OCI layout -----------------------------------------------------------------------------------------

    def _from_index(self) -> list[LoadedImage]:
        names = self._names_in_manifest_json()
        found: dict[tuple[Digest, ...], LoadedImage] = {}
        for entry in entries(self._document("index.json"), "manifests"):
            images = [image for each in self._manifests(entry) for image in self._add_oci(each)]
            if not images:
                continue
            ids = tuple(dict.fromkeys(image.id for image in images))
            main = next((image for image in images if self._is_of_host(image)), images[0])
            loaded = found.setdefault(ids, LoadedImage(main, (), ids if len(ids) > 1 else ()))
            annotations = entry.get("annotations")
            reference = _name_of(annotations if isinstance(annotations, dict) else {})
            told = [*([reference] if reference is not None else []), *names.get(main.id, ())]
            found[ids] = loaded._replace(names=tuple(dict.fromkeys((*loaded.names, *told))))
        return list(found.values())

    def _manifests(self, entry: Mapping[str, Any], hops: int = 0) -> list[Mapping[str, Any]]:
        """The manifests of images at or below an entry of an index that are here, whole if several are."""
        if hops > _MAX_HOPS:
            raise BrokenImage("the archive's indexes lead to indexes without end")
        if entry.get("mediaType") in MANIFESTS:
            return [entry]
        if entry.get("mediaType") not in INDEXES:
            return []
        below = [
            found
            for each in entries(self._blob_document(entry), "manifests")
            if not _is_attestation(each)
            for found in self._manifests(each, hops + 1)
        ]
        # An index may list more than somebody saved.
        return [each for each in below if self._is_whole(each)] or below[:1]

    def _is_whole(self, entry: Mapping[str, Any]) -> bool:
        if self._content.size(descriptor_of(entry).digest) is None:
            return False
        manifest = self._blob_document(entry)
        blobs = [manifest.get("config"), *entries(manifest, "layers")]
        return all(self._content.size(descriptor_of(blob).digest) is not None for blob in blobs)

    def _is_of_host(self, image: Image) -> bool:
        return Platform.host().matches(self._parsed(image.id).platform)

    def _add_oci(self, entry: Mapping[str, Any]) -> list[Image]:
        return self._add_manifest(self._blob_document(entry))

    def _add_manifest(self, manifest: Any) -> list[Image]:
        """The image, or none if another platform is wanted."""
        if not isinstance(manifest, dict):
            raise BrokenImage("a manifest of the archive is none")
        layers = [descriptor_of(layer) for layer in entries(manifest, "layers")]
        config = descriptor_of(manifest.get("config"))
        for layer in layers:
            if self._content.size(layer.digest) != layer.size:
                raise BrokenImage(f"the archive lacks layer {layer.digest}")
        return [self._add(config.digest, layers)] if self._takes(config.digest) else []

    # -- dir: ---------------------------------------------------------------------------------------------

    def _is_flat(self) -> bool:
        """Whether this is a folder of containers-image's `dir:` transport."""
        if not {"version", "manifest.json"} <= self._files.keys():
            return False
        return self._read(self._files["version"]).startswith(b"Directory Transport Version: 1.")

    def _from_flat(self) -> list[LoadedImage]:
        manifest = parse(self._read(self._files["manifest.json"]), "a manifest")
        return [LoadedImage(image, ()) for image in self._add_manifest(manifest)]

    # -- docker-archive -------------------------------------------------------------------------------------

    def _from_manifest(self) -> list[LoadedImage]:
        loaded = []
        for entry in self._entries_of_manifest_json():
            config = self._member(str(entry.get("Config")))
            layers = [self._docker_layer(name) for name in _texts(entry, "Layers")]
            names = tuple(_references(_texts(entry, "RepoTags")))
            if self._takes(config):
                loaded.append(LoadedImage(self._add(config, layers), names))
        return loaded

    def _docker_layer(self, name: str) -> Descriptor:
        digest = self._member(name)
        with self._content.open(digest) as blob:
            start = blob.read(4)
        kind = OCI_LAYER
        if start[:2] == b"\x1f\x8b":
            kind = OCI_LAYER_GZIP
        elif start == b"\x28\xb5\x2f\xfd":
            kind = OCI_LAYER_ZSTD
        size = self._content.size(digest)
        assert size is not None
        return Descriptor(media_type=kind, digest=digest, size=size)

    def _names_in_manifest_json(self) -> dict[Digest, list[Reference]]:
        if "manifest.json" not in self._files:
            return {}
        return {
            self._member(str(entry.get("Config"))): _references(_texts(entry, "RepoTags"))
            for entry in self._entries_of_manifest_json()
        }

    def _entries_of_manifest_json(self) -> list[Mapping[str, Any]]:
        document = self._document("manifest.json")
        if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
            raise InvalidArchive("manifest.json is not a list of images")
        return document

    # -- both -----------------------------------------------------------------------------------------------

    def _add(self, config: Digest, layers: list[Descriptor]) -> Image:
        top = register_layers(self._snapshots, self._parsed(config), layers, origin="")
        return self._images.add(config, top, created_at=time.time())

    def _parsed(self, config: Digest) -> ImageConfig:
        data = self._read(config)
        try:
            return ImageConfig.from_json(data)
        except (ValueError, KeyError, TypeError, PybuildError) as error:
            raise BrokenImage(f"the image's config is no image config: {error}") from error

    def _member(self, name: str) -> Digest:
        for _ in range(_MAX_HOPS):
            name = os.path.normpath(name)
            if name in self._files:
                return self._files[name]
            if name not in self._links:
                break
            name = self._links[name]
        raise BrokenImage(f'the archive names "{name}" and does not have it')

    def _blob_document(self, entry: Mapping[str, Any]) -> Any:
        return parse(self._read(descriptor_of(entry).digest), "a manifest")

    def _document(self, name: str) -> Any:
        return parse(self._read(self._files[name]), name)

    def _read(self, digest: Digest) -> bytes:
        with self._content.open(digest) as blob:
            data = blob.read(_MAX_DOCUMENT + 1)
        if len(data) > _MAX_DOCUMENT:
            raise BrokenImage(f"{digest} is too large for a document")
        return data


def _is_attestation(entry: Mapping[str, Any]) -> bool:
    """What BuildKit attaches to images has a platform of that name."""
    platform = entry.get("platform")
    return isinstance(platform, dict) and "unknown" in (platform.get("os"), platform.get("architecture"))


def _named_digest(name: str) -> Digest | None:
    """What a blob must hash to by its path in an OCI layout."""
    if _FLAT_BLOB.fullmatch(name):
        return Digest.parse(f"sha256:{name}")
    parts = name.split("/")
    if len(parts) == 3 and parts[0] == "blobs" and parts[1] == "sha256":
        return Digest.parse(f"sha256:{parts[2]}")
    return None


def _name_of(annotations: Mapping[str, Any]) -> Reference | None:
    """A full name where the writer gave one; a bare tag names nothing."""
    for key in ("io.containerd.image.name", "org.opencontainers.image.ref.name"):
        text = annotations.get(key)
        if isinstance(text, str) and (key.startswith("io.") or "/" in text or ":" in text):
            try:
                return Reference.parse(text).with_default_tag()
            except InvalidReference:
                continue
    return None


def _references(tags: Sequence[str]) -> list[Reference]:
    return [Reference.parse(str(tag)).with_default_tag() for tag in tags]


def _texts(document: Mapping[str, Any], key: str) -> list[str]:
    found = document.get(key) or []
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise BrokenImage(f'a document of the archive has no list "{key}"')
    return found
