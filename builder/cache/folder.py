"""Caches in a folder: an OCI layout, as other tools read it too.

::

    oci-layout, index.json       the manifests, each under its name; written whole, by a rename
    blobs/sha256/HEX             written to a name of their own, and renamed

Several builds may write to one folder at a time: what one of them adds to the index, the other keeps.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from builder.cache.interface import RemoteManifest
from builder.core.descriptor import INDEXES, MANIFESTS, OCI_INDEX, Descriptor
from builder.core.digest import Digest, DigestMismatch, InvalidDigest
from builder.core.errors import Kind, PybuildError
from builder.core.job import Cancel
from builder.core.reference import DEFAULT_TAG

_NAME = "org.opencontainers.image.ref.name"
_LARGEST_DOCUMENT = 8 << 20
_PIECE = 1 << 20
_MARK = b'{"imageLayoutVersion":"1.0.0"}'


class CacheFolderBroken(PybuildError):
    """A folder that should hold a shared cache holds something else."""

    kind = Kind.CORRUPT
    code = "cache-folder-broken"

    def __init__(self, directory: Path, what: str) -> None:
        super().__init__(f'the cache in "{directory}" cannot be read: {what}', hint="export it again")


class FolderRemote:
    """See CacheRemote. The folder is made when the first thing is put into it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def place(self) -> str:
        """See CacheRemote."""
        return str(self._directory)

    @property
    def origin(self) -> str:
        """See CacheRemote."""
        return ""

    def manifest(self, name: str, cancel: Cancel) -> RemoteManifest | None:
        """See CacheRemote."""
        listed = self._index()
        entries = [entry for entry in listed if _is_meant(entry, name)]
        if not entries and name == DEFAULT_TAG and len(listed) == 1 and not _name_of(listed[0]):
            entries = listed  # as tools write it that were given no name
        if not entries:
            return None
        entry = entries[-1]
        try:
            blob = Descriptor(
                media_type=str(entry["mediaType"]),
                digest=Digest.parse(str(entry["digest"])),
                size=int(entry["size"]),
            )
        except (KeyError, TypeError, ValueError, InvalidDigest) as error:
            raise CacheFolderBroken(self._directory, "index.json names no manifest") from error
        if blob.media_type not in MANIFESTS | INDEXES or not 0 <= blob.size <= _LARGEST_DOCUMENT:
            raise CacheFolderBroken(self._directory, "index.json names something that is no manifest")
        raw = bytearray()
        self.read_blob(blob, raw.extend, cancel)
        return RemoteManifest(bytes(raw), blob.media_type, blob.digest)

    def put_manifest(self, name: str, raw: bytes, media_type: str, cancel: Cancel) -> None:
        """See CacheRemote."""
        digest = Digest.of(raw)
        self._write(self._path(digest), lambda file: file.write(raw))
        entry = {
            "mediaType": media_type, "digest": str(digest), "size": len(raw), "annotations": {_NAME: name},
        }  # fmt: skip
        with self._locked():
            others = [other for other in self._index() if not _is_meant(other, name)]
            index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*others, entry]}
            self._write(self._directory / "oci-layout", lambda file: file.write(_MARK))
            self._write(
                self._directory / "index.json",
                lambda file: file.write(json.dumps(index, separators=(",", ":")).encode()),
            )

    def has_blob(self, blob: Descriptor, cancel: Cancel) -> bool:
        """See CacheRemote."""
        try:
            return self._path(blob.digest).lstat().st_size == blob.size
        except FileNotFoundError:
            return False

    def read_blob(self, blob: Descriptor, sink: Callable[[bytes], object], cancel: Cancel) -> None:
        """See CacheRemote. Raises CacheFolderBroken, DigestMismatch, OSError."""
        digest, left = hashlib.new(blob.digest.algorithm), blob.size
        with self._opened(self._path(blob.digest)) as file:
            while data := file.read(min(_PIECE, left + 1)):
                cancel.check()
                left -= len(data)
                if left < 0:
                    break
                digest.update(data)
                sink(data)
        if left or digest.hexdigest() != blob.digest.hex:
            raise DigestMismatch(
                blob.digest, f"{blob.digest.algorithm}:{digest.hexdigest()}", what="a blob of the cache"
            )

    def put_blob(
        self, blob: Descriptor, open_at: Callable[[int], BinaryIO], cancel: Cancel, *, mount_from: str = ""
    ) -> bool:
        """See CacheRemote."""
        if self.has_blob(blob, cancel):
            return False

        def copy(target: BinaryIO) -> None:
            digest = hashlib.sha256()
            with open_at(0) as source:
                while data := source.read(_PIECE):
                    cancel.check()
                    digest.update(data)
                    target.write(data)
            if digest.hexdigest() != blob.digest.hex:
                raise DigestMismatch(blob.digest, f"sha256:{digest.hexdigest()}", what="a blob for the cache")

        self._write(self._path(blob.digest), copy)
        return True

    def _path(self, digest: Digest) -> Path:
        # Digest.parse has checked both parts, so that they name nothing else.
        return self._directory / "blobs" / digest.algorithm / digest.hex

    def _index(self) -> list[dict[str, Any]]:
        try:
            with self._opened(self._directory / "index.json") as file:
                data = file.read(_LARGEST_DOCUMENT + 1)
        except FileNotFoundError:
            return []
        try:
            manifests = json.loads(data)["manifests"] if len(data) <= _LARGEST_DOCUMENT else None
        except (ValueError, KeyError, TypeError, RecursionError):
            manifests = None
        if not isinstance(manifests, list) or not all(isinstance(entry, dict) for entry in manifests):
            raise CacheFolderBroken(self._directory, "index.json is no index")
        return manifests

    @contextlib.contextmanager
    def _opened(self, path: Path) -> Iterator[BinaryIO]:
        """A regular file of the folder; a link, or a FIFO that nobody writes to, is not waited for."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise CacheFolderBroken(self._directory, f'"{path.name}": {error.strerror}') from error
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CacheFolderBroken(self._directory, f'"{path.name}" is no regular file')
            yield file

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, path: Path, fill: Callable[[BinaryIO], object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}-{os.urandom(4).hex()}")
        try:
            with open(scratch, "xb") as file:
                fill(file)
            os.rename(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


def _is_meant(entry: dict[str, Any], name: str) -> bool:
    return entry.get("digest") == name if name.startswith("sha256:") else _name_of(entry) == name


def _name_of(entry: dict[str, Any]) -> object:
    annotations = entry.get("annotations")
    return annotations.get(_NAME) if isinstance(annotations, dict) else None
