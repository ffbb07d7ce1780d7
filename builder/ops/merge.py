"""COPY --link: a tree that was made on its own, laid over another one without copying it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from builder.core.canonical import digest_of, plain
from builder.core.events import Warned
from builder.core.job import Job
from builder.fs.tree import Entry, StackedTree
from builder.llb.definition import Vertex
from builder.llb.ops import MergeOp
from builder.ops.results import Result, SnapshotResult, snapshot_of
from builder.solver.interface import CacheMap, Dep, Executed
from builder.store.interface import Snapshotter


class MergeOperation:
    """One MergeOp vertex.

    A copy into an empty tree has to invent the directories above what it copies. As a layer they would give
    /tmp or a user's home to root, mode 0755. So where the tree below has such a directory with another owner
    or mode, the layer is a second tree of hard links in which it has those; their times stay the layer's own,
    or each build of the base would make another layer.
    """

    def __init__(self, vertex: Vertex, op: MergeOp, snapshots: Snapshotter) -> None:
        self._vertex = vertex
        self._op = op
        self._snapshots = snapshots

    def cache_map(self, job: Job) -> CacheMap[Result]:
        """See Op."""
        deps: tuple[Dep[Result], ...] = tuple(Dep() for _ in self._vertex.inputs)
        return CacheMap(digest_of(("merge", self._op)), deps, plain=lambda: plain(self._op))

    def execute(self, job: Job, inputs: Sequence[Result]) -> Executed[Result]:
        """See Op."""
        merged, *others = [snapshot_of(result) for result in inputs]
        for name in others:
            merged = self._lay(merged, name, job) if merged and name else merged or name
        return Executed((SnapshotResult(merged),))

    def _lay(self, below: str, name: str, job: Job) -> str:
        layer = self._snapshots.lowers(name)
        kept: list[tuple[str, Entry]] = []
        for ours, theirs in _conflicts(
            StackedTree(layer), StackedTree(self._snapshots.lowers(below)), self._op.destination
        ):
            if ours.kind == theirs.kind == "dir":
                if (ours.mode, ours.uid, ours.gid) != (theirs.mode, theirs.uid, theirs.gid):
                    kept.append((ours.path, theirs))
            elif "dir" in (ours.kind, theirs.kind):
                self._warn(ours, theirs, job)
        if kept or len(layer) > 1:
            name = self._adapted(name, layer, kept)
        return self._snapshots.share(below, name).name

    def _adapted(self, name: str, layer: Sequence[str], kept: Sequence[tuple[str, Entry]]) -> str:
        from builder.fs.flatten import flatten

        original = self._snapshots.stat(name)
        assert original is not None, "an input is a committed tree"
        active = self._snapshots.prepare("")
        try:
            flatten(layer, str(active.upper))
            for path, entry in kept:
                os.chown(active.upper / path, entry.uid, entry.gid, follow_symlinks=False)
                os.chmod(active.upper / path, entry.mode)
            return self._snapshots.commit(active, created_at=original.created_at).name
        finally:
            self._snapshots.discard(active)

    def _warn(self, ours: Entry, theirs: Entry, job: Job) -> None:
        kinds = {"dir": "directory", "symlink": "symbolic link"}
        job.progress.emit(
            Warned(
                f'the {kinds.get(theirs.kind, "file")} "/{theirs.path}" is replaced by a '
                f"{kinds.get(ours.kind, 'file')}",
                "--link does not look at the files below; without it, links are followed and directories are"
                " copied into",
                self._vertex.location,
            )
        )


def _conflicts(layer: StackedTree, below: StackedTree, destination: str) -> Iterator[tuple[Entry, Entry]]:
    """From the top, what both trees have of a path, as far as both are directories."""
    parts = [part for part in destination.split("/") if part]
    for depth in range(len(parts)):
        path = "/".join(parts[: depth + 1])
        ours, theirs = layer.lookup(path), below.lookup(path)
        if ours is None or theirs is None:
            return
        yield ours, theirs
        if not ours.kind == theirs.kind == "dir":
            return
