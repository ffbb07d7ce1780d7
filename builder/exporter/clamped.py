"""The layers of a build with no file time after SOURCE_DATE_EPOCH."""

from __future__ import annotations

from builder.store.interface import Snapshotter


class ClampedChain:
    """What clamped layers the layers of one build become; those of its base stay as they are."""

    def __init__(self, snapshots: Snapshotter, base_depth: int, mtime_s: int) -> None:
        """``base_depth`` is the number of layers that the base image has."""
        self._snapshots = snapshots
        self._base_depth = base_depth
        self._mtime_s = mtime_s
        self._known: dict[str, str] = {}

    def name(self, name: str) -> str:
        """The snapshot to use in place of a snapshot of the build."""
        pending = []
        top = name
        while top and top not in self._known:
            snapshot = self._snapshots.stat(top)
            assert snapshot is not None, "a result of the build is in the store"
            if snapshot.depth <= self._base_depth:
                break
            pending.append(snapshot)
            top = snapshot.parent
        top = self._known.get(top, top)
        for snapshot in reversed(pending):
            top = self._snapshots.clamp(top, snapshot.name, self._mtime_s).name
            self._known[snapshot.name] = top
        return top
