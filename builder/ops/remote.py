"""Trees from elsewhere: files of the web, commits of Git repositories, files that came with the request."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from builder.core.canonical import Plain, digest_of
from builder.core.digest import Digest
from builder.core.gitref import GitReference, parse_git, with_checksum
from builder.core.job import Job
from builder.llb.ops import SourceOp
from builder.ops.results import Result, SnapshotResult
from builder.solver.interface import CacheMap, Executed
from builder.source.interface import FilePin, FileSource, GitSource, RemoteFile
from builder.store.interface import ActiveSnapshot, Snapshotter

# As Docker has it: whoever wants others to read it says --chmod.
_FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class RemoteSources:
    """Where trees from elsewhere come from; each is made when a step is resolved that needs it."""

    files: Callable[[], FileSource]
    git: Callable[[], GitSource]
    blobs: Mapping[str, Path] = field(default_factory=dict)  # by digest; files of scratch


class _File(NamedTuple):
    """What a tree of one file is made of."""

    name: str
    mtime_ns: int
    path: Path


class HttpOperation:
    """A tree with one file of the web."""

    def __init__(self, digest: Digest, op: SourceOp, snapshots: Snapshotter, source: FileSource) -> None:
        attributes = dict(op.attributes)
        checksum = attributes.get("checksum")
        self._step = str(digest)
        self._shown = op.identifier
        self._name = attributes["filename"]
        self._file = RemoteFile(
            op.address or op.identifier, Digest.parse(checksum) if checksum is not None else None
        )
        self._snapshots = snapshots
        self._source = source
        self._pin: FilePin | None = None

    def cache_map(self, job: Job) -> CacheMap[Result]:
        """See Op."""
        return CacheMap(None, pin=lambda: self._key(job), plain=self._plain)

    def execute(self, job: Job, inputs: object) -> Executed[Result]:
        """See Op."""
        assert self._pin is not None, "a file is pinned before it is fetched"
        path, pin = self._source.take(self._file, self._pin, self._step, job)
        return _tree_of_file(self._snapshots, _File(self._name, pin.mtime_ns, path))

    def _key(self, job: Job) -> Digest:
        source = self._source
        self._pin = pin = source.pin(self._file, self._step, job)
        headers = source.key_names(self._file, job)
        return digest_of(("http", self._name, _FILE_MODE, 0, 0, pin.digest, pin.last_modified, headers))

    def _plain(self) -> Plain:
        pin = self._pin
        return {
            "url": self._shown,
            "file": self._name,
            "leads to": str(pin.digest) if pin is not None else "",
            "last modified": pin.last_modified if pin is not None else "",
        }


class BlobOperation:
    """A tree with one file that came with the request."""

    def __init__(self, op: SourceOp, snapshots: Snapshotter, blobs: Mapping[str, Path]) -> None:
        self._digest = op.identifier.removeprefix("blob://")
        self._name = dict(op.attributes)["filename"]
        self._snapshots = snapshots
        self._blobs = blobs

    def cache_map(self, job: Job) -> CacheMap[Result]:
        """See Op."""
        shown: Plain = {"file": self._name, "digest": self._digest}
        return CacheMap(digest_of(("blob", self._name, self._digest)), plain=lambda: shown)

    def execute(self, job: Job, inputs: object) -> Executed[Result]:
        """See Op."""
        return _tree_of_file(self._snapshots, _File(self._name, 0, self._blobs[self._digest]))


class GitOperation:
    """The files of a commit."""

    def __init__(self, op: SourceOp, snapshots: Snapshotter, source: GitSource) -> None:
        self._reference = _git_reference(op)
        self._snapshots = snapshots
        self._source = source
        self._commit = ""

    def cache_map(self, job: Job) -> CacheMap[Result]:
        """See Op."""
        return CacheMap(None, pin=lambda: self._key(job), plain=self._plain)

    def execute(self, job: Job, inputs: object) -> Executed[Result]:
        """See Op."""
        active = self._snapshots.prepare("")
        try:
            tree = self._source.checkout(self._reference, self._commit, job)
            for name in os.listdir(tree):
                os.rename(tree / name, active.upper / name)
            st = os.stat(tree)
            os.utime(active.upper, ns=(st.st_atime_ns, st.st_mtime_ns))
            return _committed(self._snapshots, active)
        finally:
            self._snapshots.discard(active)

    def _key(self, job: Job) -> Digest:
        self._commit = self._source.pin(self._reference, job)
        reference = self._reference
        # The directory .git tells where it is from; the files of a commit are the same wherever it is.
        kept = (reference.remote, reference.ref) if reference.keeps_git_dir else ()
        return digest_of(
            (
                "git",
                self._commit,
                reference.subdirectory,
                kept,
                reference.has_submodules,
                reference.has_commit_times,
            )
        )

    def _plain(self) -> Plain:
        return {
            "repository": self._reference.shown,
            "leads to": self._commit,
            "directory": self._reference.subdirectory,
        }


def _git_reference(op: SourceOp) -> GitReference:
    attributes = dict(op.attributes)
    reference = parse_git(op.address)
    if "checksum" in attributes:
        reference = with_checksum(reference, attributes["checksum"])
    if attributes.get("mtime") == "commit":  # asked for beside the address
        reference = reference._replace(has_commit_times=True)
    if "keep-git-dir" in attributes:
        reference = reference._replace(keeps_git_dir=True)
    return reference


def _tree_of_file(snapshots: Snapshotter, file: _File) -> Executed[Result]:
    active = snapshots.prepare("")
    try:
        target = active.upper / file.name
        os.rename(file.path, target)
        os.chmod(target, _FILE_MODE)
        os.utime(target, ns=(file.mtime_ns, file.mtime_ns))
        os.utime(active.upper, ns=(file.mtime_ns, file.mtime_ns))
        return _committed(snapshots, active)
    finally:
        snapshots.discard(active)


def _committed(snapshots: Snapshotter, active: ActiveSnapshot) -> Executed[Result]:
    return Executed((SnapshotResult(snapshots.commit(active, created_at=time.time()).name),))
