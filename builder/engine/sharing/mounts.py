"""Cache mounts on their way to and from shared caches.

A mount travels as layers: the first has all of the directory, each of the others what changed since the one
before. A list of what is in it goes along, for whoever exports next, on whichever machine.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from builder.cache.document import CacheDocument, SharedMount
from builder.cache.interface import CacheRemote
from builder.core.descriptor import Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.errors import Cancelled, PybuildError
from builder.core.job import Cancel, Job
from builder.core.steps import as_step
from builder.engine.assemble import Engine
from builder.engine.sharing.blobs import Blob, LayerWriter
from builder.engine.sharing.options import CacheTarget
from builder.fs.blocks import Readable
from builder.fs.delta import Listing, decode, encode, has_changes, list_directory, settled, write_changes
from builder.fs.tar import TarMember, TarReader
from builder.fs.tarwrite import ChangedWhileRead, TarWriter
from builder.llb.definition import Definition
from builder.llb.ops import CacheMount, ExecOp
from builder.ops.mounts import cache_identity
from builder.store.interface import CacheMountRequest
from builder.store.state import remove_tree

_LISTING = "listing.json"
_LARGEST_LISTING = 64 << 20
# A stack is as costly to restore as its layers: then it is better to begin anew.
_MOST_LAYERS = 8
# How long an export waits for a mount that a step has for itself.
_PATIENCE_S = 10.0


class Found(NamedTuple):
    """A mount in a shared cache."""

    mount: SharedMount
    document: CacheDocument
    remote: CacheRemote


def wanted_mounts(definition: Definition, target: CacheTarget) -> dict[Digest, str]:
    """The ids, by identity, of those cache mounts of a build that a target is to have.

    One that is filled from another stage is of this machine alone.
    """
    found = {}
    for _, vertex in definition:
        for mount in vertex.op.other_mounts if isinstance(vertex.op, ExecOp) else ():
            if isinstance(mount, CacheMount) and mount.input < 0:
                name = mount.id.lstrip("/")
                if target.has_all_mounts or name in target.mounts or name.rpartition("/")[2] in target.mounts:
                    found[cache_identity(mount)] = name
    return found


class MountExport:
    """What one target gets of the mounts; ``blobs`` are those that its manifest names."""

    def __init__(
        self, engine: Engine, target: CacheTarget, earlier: Sequence[Found], job: Job, scratch: Path
    ) -> None:
        """``earlier`` holds what is at the target already, and then what was imported."""
        self._engine = engine
        self._target = target
        self._earlier = earlier
        self._job = job
        self._scratch = scratch
        self.mounts: list[SharedMount] = []
        self.blobs: list[Blob] = []

    def add(self, identity: Digest, name: str) -> str | None:
        """Why it is left out; None: it is not."""
        earlier = next((found for found in self._earlier if found.mount.identity == identity), None)
        used_at = self._engine.caches.used_at(identity)
        if earlier is not None and (used_at is None or used_at <= earlier.mount.exported_at):
            self._pass_on(earlier)
            return None
        if used_at is None:
            return None  # no step had it yet
        with self._engine.caches.reading(identity, self._job.cancel, wait_s=_PATIENCE_S) as directory:
            if directory is None:
                return "a step of another build has it"
            try:
                self._write(identity, name, directory, earlier)
            except (ChangedWhileRead, FileNotFoundError):
                return "it changed while it was read"
        return None

    def _pass_on(self, found: Found) -> None:
        mount = found.mount
        self.mounts.append(mount)
        for diff_id in (*mount.layers, mount.listing):
            blob = found.document.blobs[diff_id]
            self.blobs.append(Blob(blob, diff_id, self._opener(found.remote, blob)))

    def _opener(self, remote: CacheRemote, blob: Descriptor) -> Callable[[int], BinaryIO]:
        """Only called where the target lacks it: it is somewhere else then."""

        def open_at(offset: int) -> BinaryIO:
            path = self._scratch / blob.digest.hex
            if not path.exists():
                _fetch(remote, blob, path, self._job.cancel)
            file = path.open("rb")
            file.seek(offset)
            return file

        return open_at

    def _write(self, identity: Digest, name: str, directory: Path, earlier: Found | None) -> None:
        old, layers = self._continued(earlier)
        new = settled(old, list_directory(str(directory)))
        st = os.stat(directory)
        stack = list(layers)
        if not stack or has_changes(old, new):
            staged = self._scratch / f"stage-{identity.hex[:16]}"
            staged.mkdir()
            try:
                writer = LayerWriter(self._scratch, self._target.pack)
                write_changes(str(directory), old, new, str(staged), writer.write)
                stack.append(writer.close())
            finally:
                remove_tree(staged)
        listing = LayerWriter(self._scratch, self._target.pack)
        data = encode(new)
        tar = TarWriter(listing.write)
        tar.add(TarMember(_LISTING, "file", 0o644, size=len(data)), data)
        tar.finish()
        stack.append(listing.close())
        self.blobs += stack
        *contents, last = [blob.diff_id for blob in stack]
        owner = (st.st_mode & 0o7777, st.st_uid, st.st_gid)
        self.mounts.append(SharedMount(identity, name, time.time(), owner, tuple(contents), last))

    def _continued(self, earlier: Found | None) -> tuple[Listing, list[Blob]]:
        """The list and the layers that a new one is to come upon; nothing, if it is better to begin anew."""
        if earlier is None:
            return {}, []
        mount, document, remote = earlier
        sizes = [document.blobs[diff_id].size for diff_id in mount.layers]
        if not sizes or len(sizes) >= _MOST_LAYERS or sum(sizes[1:]) > sizes[0]:
            return {}, []
        try:
            listing = _read_listing(
                remote, document.blobs[mount.listing], mount.listing, self._scratch, self._job.cancel
            )
        except Cancelled:
            raise
        except (PybuildError, OSError):
            return {}, []  # what cannot be read is written again
        layers = []
        for diff_id in mount.layers:
            blob = document.blobs[diff_id]
            layers.append(Blob(blob, diff_id, self._opener(remote, blob)))
        return listing, layers


class RestoringCacheMounts:
    """See CacheMounts. A directory that is new is filled from a shared cache, if that has it.

    So is one that was last used before it was exported there; a newer one stays as it is.
    """

    def __init__(
        self, engine: Engine, found: Sequence[Found], job: Job, warns: Callable[[str, BaseException], None]
    ) -> None:
        self._engine = engine
        self._inner = engine.caches
        self._found = {each.mount.identity: each for each in reversed(found)}
        self._job = job
        self._warns = warns

    @contextlib.contextmanager
    def use(
        self,
        request: CacheMountRequest,
        holder: str,
        cancel: Cancel,
        *,
        fill: Callable[[Path], None],
        waits: Callable[[str], None],
    ) -> Iterator[Path]:
        """See CacheMounts."""
        found = self._found.get(request.identity)
        if found is None or request.is_new:
            filling = fill
        else:
            used_at = self._inner.used_at(request.identity)
            # What claims to be of the future says nothing.
            if used_at is not None and used_at < found.mount.exported_at <= time.time():
                request = request._replace(is_new=True)
            filling = partial(self._fill_and_restore, fill, found)
        with self._inner.use(request, holder, cancel, fill=filling, waits=waits) as directory:
            yield directory

    def _fill_and_restore(self, fill: Callable[[Path], None], found: Found, path: Path) -> None:
        fill(path)
        self._restore(found, path)

    def _restore(self, found: Found, path: Path) -> None:
        name = found.mount.id
        try:
            as_step(
                f"restore cache mount {found.mount.identity}",
                f'[internal] restore cache mount "{name}" from {found.remote.place}',
                self._job,
                lambda: self._fill(found, path),
            )
        except Cancelled:
            raise
        except (PybuildError, OSError) as error:
            self._warns(f'the cache mount "{name}" was not restored', error)

    def _fill(self, found: Found, path: Path) -> None:
        from builder.fs.flatten import flatten

        scratch = self._engine.state.scratch / self._engine.state.new_name()
        scratch.mkdir(mode=0o700)
        try:
            lowers: list[str] = []
            for number, diff_id in enumerate(found.mount.layers):
                directory = scratch / str(number)
                directory.mkdir(mode=0o755)
                blob = found.document.blobs[diff_id]
                _unpack(found.remote, blob, diff_id, directory, lowers, self._job.cancel)
                lowers.insert(0, str(directory))
            try:
                flatten(lowers, str(path))
            except BaseException:
                for name in os.listdir(path):  # all of it or nothing
                    remove_tree(path / name)
                raise
            mode, uid, gid = found.mount.owner
            os.chown(path, uid, gid)
            os.chmod(path, mode)
        finally:
            remove_tree(scratch)


def mounts_of(documents: Sequence[tuple[CacheDocument, CacheRemote]]) -> list[Found]:
    """Those of several caches."""
    return [Found(mount, document, remote) for document, remote in documents for mount in document.mounts]


def _fetch(remote: CacheRemote, blob: Descriptor, path: Path, cancel: Cancel) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        remote.read_blob(blob, file.write, cancel)
    part.rename(path)


@contextlib.contextmanager
def _plain(
    remote: CacheRemote, blob: Descriptor, diff_id: Digest, scratch: Path, cancel: Cancel
) -> Iterator[Readable]:
    """The layer's tar; when the block has ended well, it was the one of that diff ID."""
    from builder.fs.compression import HashingReader, open_decompressed

    path = scratch / f"{blob.digest.hex}.blob"
    _fetch(remote, blob, path, cancel)
    try:
        with path.open("rb") as file, open_decompressed(file) as plain:
            reader = HashingReader(plain)
            yield reader
            while reader.read(1 << 20):
                pass
        if reader.hex != diff_id.hex:
            raise DigestMismatch(diff_id, f"sha256:{reader.hex}", what="a layer of a cache mount")
    finally:
        path.unlink()


def _unpack(
    remote: CacheRemote,
    blob: Descriptor,
    diff_id: Digest,
    directory: Path,
    lowers: Sequence[str],
    cancel: Cancel,
) -> None:
    from builder.fs.apply import apply_layer
    from builder.fs.tree import StackedTree

    with _plain(remote, blob, diff_id, directory.parent, cancel) as tar:
        apply_layer(tar, str(directory), StackedTree(lowers) if lowers else None)


def _read_listing(
    remote: CacheRemote, blob: Descriptor, diff_id: Digest, scratch: Path, cancel: Cancel
) -> Listing:
    with _plain(remote, blob, diff_id, scratch, cancel) as tar:
        reader = TarReader(tar)
        for member in reader:
            if member.name == _LISTING and member.kind == "file" and member.size <= _LARGEST_LISTING:
                return decode(reader.read(member.size))
    return {}
