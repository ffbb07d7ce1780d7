"""Snapshots as overlayfs upper directories, stacked without copying anything."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.image import chain_ids
from builder.core.mount import Mount
from builder.store.database import Database, Row, Value, text
from builder.store.interface import ActiveSnapshot, Snapshot
from builder.store.state import StateDir, remove_tree

# overlayfs takes 500 lower directories (fs/overlayfs/params.h OVL_MAX_STACK); a longer chain is made flat.
_MAX_LOWERS = 400

_COLUMNS = "name, parent, depth, diff_id, blob, media_type, blob_size, created_at, same_as, clamp_of, clamp_s"

# Uppers of failed steps; one may be as large as what the step downloaded.
_KEPT_FAILURES = 5

# What a sandbox mounts over, so that neither a stub is made in a layer nor one must be removed.
_MOUNTPOINT_DIRECTORIES = ("etc", "proc", "sys", "dev")
_MOUNTPOINT_FILES = ("etc/resolv.conf", "etc/hosts")


class SnapshotMissing(PybuildError):
    """The store names a snapshot that it does not have."""

    kind = Kind.CORRUPT
    code = "snapshot-missing"

    def __init__(self, name: str) -> None:
        super().__init__(f"snapshot {name} is not in the store", hint="build again with --no-cache")


class OverlaySnapshotter:
    """See Snapshotter.

    ``unpack(snapshot, directory, lowers)`` makes the directory form of a stored or a clamped layer.
    """

    def __init__(
        self,
        state: StateDir,
        database: Database,
        unpack: Callable[[Snapshot, Path, Sequence[str]], None],
    ) -> None:
        self._state = state
        self._database = database
        self._unpack = unpack
        self._known: dict[str, Snapshot] = {}
        self._lowers: dict[str, list[str]] = {}
        self._unpacking = threading.RLock()  # to unpack a clamped layer is to read the tree that it is of

    def stat(self, name: str) -> Snapshot | None:
        """See Snapshotter."""
        known = self._known.get(name)
        if known is None:
            with self._state.lease.touching(name):
                row = self._database.row(f"SELECT {_COLUMNS} FROM snapshots WHERE name = ?", (name,))  # noqa: S608 (constant)
            if row is None:
                return None
            known = self._known[name] = _snapshot(row)
        return known

    def is_intact(self, name: str) -> bool:
        """See Snapshotter."""
        if not name:
            return True
        snapshot = self.stat(name)
        if snapshot is None or snapshot.clamp_of:
            return snapshot is not None and self.is_intact(snapshot.clamp_of)
        return snapshot.layer is not None or (self._state.snapshots / (snapshot.same_as or name)).is_dir()

    def chain(self, name: str) -> list[Snapshot]:
        """See Snapshotter."""
        found = []
        while name:
            snapshot = self.stat(name)
            if snapshot is None:
                raise SnapshotMissing(name)
            found.append(snapshot)
            name = snapshot.parent
        return found[::-1]

    def lowers(self, name: str) -> list[str]:
        """See Snapshotter."""
        if not name:
            return []
        known = self._lowers.get(name)
        if known is not None:
            return known
        pending: list[Snapshot] = []  # top first
        below: list[str] = []
        while name:
            known = self._lowers.get(name)
            if known is not None:
                below = known
                break
            snapshot = self.stat(name)
            if snapshot is None:
                raise SnapshotMissing(name)
            pending.append(snapshot)
            flat = self._flat(name)
            if flat is not None:
                below = [flat]
                self._lowers[name] = below
                pending.pop()
                break
            name = snapshot.parent
        for snapshot in reversed(pending):
            self._make_ready(snapshot, below)
            directory = str(self._state.snapshots / (snapshot.same_as or snapshot.name))
            # overlayfs refuses one directory twice (ELOOP). A shared one hides every name that it has, so
            # that the lower of two shows nothing.
            below = [directory, *(lower for lower in below if lower != directory)]
            if len(below) > _MAX_LOWERS:
                below = [self._make_flat(snapshot.name, below)]
            self._lowers[snapshot.name] = below
        return below

    def prepare(self, parent: str, *, within: Path | None = None) -> ActiveSnapshot:
        """See Snapshotter."""
        name = self._state.new_name()
        directory = within or self._state.scratch / name
        upper, work = directory / "upper", directory / "work"
        if within is None:
            os.mkdir(directory, 0o700)
        os.mkdir(upper, 0o755)
        os.chmod(upper, 0o755)  # the caller's umask is not ours
        os.mkdir(work, 0o700)
        return ActiveSnapshot(name, parent, upper, work)

    def mounts(self, active: ActiveSnapshot) -> list[Mount]:
        """See Snapshotter."""
        lowers = [*self.lowers(active.parent), self._mountpoints()]
        options = [f"lowerdir+={lower}" for lower in lowers]
        return [
            Mount("overlay", "overlay", "/", (*options, f"upperdir={active.upper}", f"workdir={active.work}"))
        ]

    def commit(self, active: ActiveSnapshot, *, created_at: float) -> Snapshot:
        """See Snapshotter."""
        depth = 1
        if active.parent:
            below = self.stat(active.parent)
            assert below is not None, "a tree was prepared on a snapshot that is not there"
            depth = below.depth + 1
        snapshot = Snapshot(active.name, active.parent, depth, None, None, created_at)
        with self._state.lease.touching(active.name):  # or collection finds a directory without a row
            os.rename(active.upper, self._state.snapshots / active.name)
            # A kill here leaves a directory without a row; the next sweep knows its name from scratch.
            self._database.run(
                "INSERT INTO snapshots (name, parent, depth, is_ready, created_at) VALUES (?, ?, ?, 1, ?)",
                (active.name, active.parent, depth, created_at),
            )
        remove_tree(self._state.scratch / active.name)
        self._known[active.name] = snapshot
        return snapshot

    def share(self, parent: str, name: str) -> Snapshot:
        """See Snapshotter."""
        below, shared = self.stat(parent), self.stat(name)
        assert below is not None, "a tree is to be put on a snapshot that is not there"
        assert shared is not None, "a tree is to be shared that is not there"
        assert not shared.parent, "only a tree without parent means the same over another one"
        diff_id = shared.diff_id if shared.layer is not None else None
        snapshot = shared._replace(
            name=self._state.new_name(),
            parent=parent,
            depth=below.depth + 1,
            diff_id=diff_id,
            same_as=name,
            clamp_of="",
            clamp_s=None,
        )
        self._state.lease.hold(snapshot.name)
        # A stored layer stays one: its blob is not made again from the directory that it was unpacked to.
        self._database.run(
            "INSERT INTO snapshots (name, parent, depth, is_ready, created_at, same_as,"
            " diff_id, chain_id, blob, media_type, blob_size, origin) SELECT ?, ?, ?, 0, created_at, name,"
            " CASE WHEN blob IS NULL THEN NULL ELSE diff_id END, ?, blob, media_type, blob_size, origin"
            " FROM snapshots WHERE name = ?",
            (snapshot.name, parent, snapshot.depth, self._chain_over(parent, diff_id), name),
        )
        self._known[snapshot.name] = snapshot
        return snapshot

    def clamp(self, parent: str, name: str, mtime_s: int) -> Snapshot:
        """See Snapshotter."""
        source = self.stat(name)
        assert source is not None, "a tree is to be clamped that is not there"
        with self._database.transaction():
            if source.same_as:
                shared = self.clamp("", source.same_as, mtime_s)
                found = self._find("parent = ? AND same_as = ?", parent, shared.name)
                return found or self.share(parent, shared.name)
            found = self._find("clamp_of = ? AND clamp_s = ? AND parent = ?", name, mtime_s, parent)
            if found is not None:
                return found
            below = self.stat(parent) if parent else None
            clamped = source._replace(
                name=self._state.new_name(),
                parent=parent,
                depth=below.depth + 1 if below else 1,
                diff_id=None,
                layer=None,
                clamp_of=name,
                clamp_s=mtime_s,
            )
            self._state.lease.hold(clamped.name)
            self._database.run(
                "INSERT INTO snapshots (name, parent, depth, is_ready, created_at, clamp_of, clamp_s)"
                " VALUES (?, ?, ?, 0, ?, ?, ?)",
                (clamped.name, parent, clamped.depth, clamped.created_at, name, mtime_s),
            )
        return clamped

    def _find(self, condition: str, *values: Value) -> Snapshot | None:
        row = self._database.row(f"SELECT {_COLUMNS} FROM snapshots WHERE {condition} LIMIT 1", values)  # noqa: S608 (constant)
        if row is None:
            return None
        # Inside a transaction, which collection waits for.
        self._state.lease.hold(text(row[0]))
        return _snapshot(row)

    def discard(self, active: ActiveSnapshot) -> None:
        """See Snapshotter."""
        remove_tree(self._state.scratch / active.name)

    def keep_failed(self, active: ActiveSnapshot, name: str) -> None:
        """See Snapshotter."""
        remove_tree(self._state.failed / name)
        os.rename(active.upper, self._state.failed / name)
        self.discard(active)
        kept = sorted(self._state.failed.iterdir(), key=lambda path: path.lstat().st_ctime_ns)
        for path in kept[:-_KEPT_FAILURES]:
            remove_tree(path)

    def add_layer(
        self,
        parent: str,
        diff_id: Digest,
        chain_id: Digest,
        layer: Descriptor,
        origin: str,
        created_at: float,
    ) -> Snapshot:
        """See Snapshotter."""
        with self._database.transaction():
            found = self._find("chain_id = ?", str(chain_id))
            if found is not None:
                return found
            below = self.stat(parent) if parent else None
            depth = below.depth + 1 if below else 1
            name = self._state.new_name()
            self._state.lease.hold(name)
            self._database.run(
                "INSERT INTO snapshots (name, parent, depth, is_ready, diff_id, chain_id, blob, media_type,"
                " blob_size, origin, created_at) VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
                (name, parent, depth, str(diff_id), str(chain_id), str(layer.digest), layer.media_type,
                 layer.size, origin, created_at),
            )  # fmt: skip
        return Snapshot(name, parent, depth, diff_id, layer, created_at)

    def set_layer(self, name: str, layer: Descriptor, origin: str) -> None:
        """See Snapshotter."""
        self._database.run(
            "UPDATE snapshots SET blob = ?, media_type = ?, blob_size = ?, origin = ? WHERE name = ?",
            (str(layer.digest), layer.media_type, layer.size, origin, name),
        )
        self._known.pop(name, None)

    def directory(self, name: str) -> str:
        """See Snapshotter."""
        snapshot = self.stat(name)
        return str(self._state.snapshots / (snapshot.same_as if snapshot and snapshot.same_as else name))

    def set_diff_id(self, name: str, diff_id: Digest, tar_size: int) -> None:
        """See Snapshotter."""
        snapshot = self.stat(name)
        assert snapshot is not None
        self._database.run(
            "UPDATE snapshots SET diff_id = ?, chain_id = ?, tar_size = ? WHERE name = ?",
            (str(diff_id), self._chain_over(snapshot.parent, diff_id), tar_size, name),
        )
        self._known[name] = snapshot._replace(diff_id=diff_id)

    def content_size(self, name: str) -> int | None:
        """See Snapshotter."""
        row = self._database.row("SELECT content_size FROM snapshots WHERE name = ?", (name,))
        return _number(row[0]) if row and row[0] is not None else None

    def set_content_size(self, name: str, size: int) -> None:
        """See Snapshotter."""
        self._database.run("UPDATE snapshots SET content_size = ? WHERE name = ?", (size, name))

    def tar_size(self, name: str) -> int:
        """See Snapshotter."""
        row = self._database.row("SELECT tar_size FROM snapshots WHERE name = ?", (name,))
        assert row is not None
        return _number(row[0])

    def origin(self, name: str) -> str:
        """The repository that a layer's blob can be fetched from; "" if none is known."""
        row = self._database.row("SELECT origin FROM snapshots WHERE name = ?", (name,))
        return text(row[0]) if row and row[0] else ""

    def set_origin(self, name: str, origin: str) -> None:
        """See Snapshotter."""
        self._database.run("UPDATE snapshots SET origin = ? WHERE name = ?", (origin, name))

    def is_ready(self, name: str) -> bool:
        """See Snapshotter."""
        row = self._database.row("SELECT is_ready FROM snapshots WHERE name = ?", (name,))
        return bool(row and row[0])

    def is_known(self, name: str) -> bool:
        """Whether the database has a snapshot of that name; asks the database."""
        return self._database.row("SELECT 1 FROM snapshots WHERE name = ?", (name,)) is not None

    def _chain_id(self, name: str) -> Digest | None:
        row = self._database.row("SELECT chain_id FROM snapshots WHERE name = ?", (name,)) if name else None
        return Digest.parse(text(row[0])) if row and row[0] else None

    def _chain_over(self, parent: str, diff_id: Digest | None) -> str | None:
        """The chain ID of a layer, if that of its parent is known."""
        below = self._chain_id(parent)
        if diff_id is None or (parent and below is None):
            return None
        return str(chain_ids((below, diff_id))[1] if below is not None else diff_id)

    def _make_ready(self, snapshot: Snapshot, below: list[str]) -> None:
        if snapshot.same_as:
            shared = self.stat(snapshot.same_as)
            assert shared is not None, "a shared tree lives as long as who shares it"
            snapshot, below = shared, []
        if (snapshot.layer is None and not snapshot.clamp_of) or self.is_ready(snapshot.name):
            return
        # One at a time is no loss: decompression is the cost and layers depend on those below.
        with self._unpacking:
            if self.is_ready(snapshot.name):
                return
            active = self._state.scratch / self._state.new_name()
            upper = active / "upper"
            os.mkdir(active, 0o700)
            os.mkdir(upper, 0o755)
            os.chmod(upper, 0o755)
            try:
                self._unpack(snapshot, upper, below)
                # Another process may have unpacked it too. The write lock says who was first: a directory
                # that is ready may be mounted already and must stay.
                with self._database.transaction():
                    if not self.is_ready(snapshot.name):
                        self._publish(upper, self._state.snapshots / snapshot.name)
                        self._database.run(
                            "UPDATE snapshots SET is_ready = 1 WHERE name = ?", (snapshot.name,)
                        )
            finally:
                remove_tree(active)

    def _flat(self, name: str) -> str | None:
        row = self._database.row("SELECT is_flat FROM snapshots WHERE name = ?", (name,))
        return str(self._state.flat / name) if row and row[0] else None

    def _make_flat(self, name: str, lowers: list[str]) -> str:
        from builder.fs.flatten import flatten  # rarely needed, and large

        scratch = self._state.scratch / self._state.new_name()
        os.mkdir(scratch, 0o755)
        flatten(lowers, str(scratch))
        flat = self._state.flat / name
        self._publish(scratch, flat)
        remove_tree(scratch)
        self._database.run("UPDATE snapshots SET is_flat = 1 WHERE name = ?", (name,))
        return str(flat)

    def _mountpoints(self) -> str:
        path = self._state.mountpoints
        if not path.exists():
            scratch = self._state.scratch / self._state.new_name()
            for directory in _MOUNTPOINT_DIRECTORIES:
                (scratch / directory).mkdir(parents=True)
                os.chmod(scratch / directory, 0o755)
            for file in _MOUNTPOINT_FILES:
                (scratch / file).touch()
                os.chmod(scratch / file, 0o644)
            os.chmod(scratch, 0o755)
            self._publish(scratch, path)
        return str(path)

    def _publish(self, scratch: Path, path: Path) -> None:
        """Rename into place; a left-over of a killed process gives way, a finished one of another wins."""
        try:
            os.rename(scratch, path)
        except OSError:
            if not path.is_dir():
                raise
            if path.parent == self._state.snapshots and not self.is_ready(path.name):
                trash = self._state.scratch / self._state.new_name()
                os.rename(path, trash)
                os.rename(scratch, path)
                remove_tree(trash)


def _snapshot(row: Row) -> Snapshot:
    name, parent, depth, diff_id, blob, media_type, size, created_at, same_as, clamp_of, clamp_s = row
    layer = None
    if blob is not None:
        layer = Descriptor(media_type=text(media_type), digest=Digest.parse(text(blob)), size=_number(size))
    return Snapshot(
        text(name), text(parent), _number(depth), Digest.parse(text(diff_id)) if diff_id else None, layer,
        float(created_at or 0), text(same_as or ""), text(clamp_of or ""),
        None if clamp_s is None else _number(clamp_s),
    )  # fmt: skip


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value
