"""What a step's result is: a committed tree, or a handle on a directory of the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from builder.fs.tree import StackedTree, Tree
from builder.source.interface import LocalContext
from builder.store.interface import Snapshotter


class SnapshotResult(NamedTuple):
    """A committed tree, by name; "" is the empty one."""

    name: str


Result = SnapshotResult | LocalContext


class SnapshotResults:
    """See ResultStore; an id is the snapshots' names."""

    def __init__(self, snapshots: Snapshotter) -> None:
        self._snapshots = snapshots

    def save(self, results: Sequence[Result]) -> str:
        """See ResultStore."""
        names = []
        for result in results:
            assert isinstance(result, SnapshotResult), "only trees of the store outlive a job"
            names.append(result.name)
        return ",".join(names)

    def load(self, result_id: str) -> Sequence[Result] | None:
        """See ResultStore."""
        results = [SnapshotResult(name) for name in result_id.split(",")]
        if not all(self._snapshots.is_intact(result.name) for result in results):
            return None
        return results


def tree_of(result: Result, snapshots: Snapshotter) -> Tree:
    """A result to read from."""
    if isinstance(result, LocalContext):
        return result.tree
    return StackedTree(snapshots.lowers(result.name))


def snapshot_of(result: Result) -> str:
    """The name of a result that must be a tree of the store."""
    assert isinstance(result, SnapshotResult), "a directory of the user is never a root file system"
    return result.name
