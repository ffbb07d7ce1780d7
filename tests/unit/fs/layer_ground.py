"""Layers from members, and a ground to apply them on with a canary outside."""

from __future__ import annotations

import io
import os
from pathlib import Path

from layer_trees import Node, build, view

from builder.fs.apply import apply_layer
from builder.fs.layer import LayerStats
from builder.fs.limits import Limits
from builder.fs.tree import StackedTree
from tests.support.layers import Part, archive


class Ground:
    """A lower tree, a fresh upper, and a canary beside them that must not sing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.upper = root / "upper"
        self.upper.mkdir()
        self.outside = root / "outside"
        self.outside.mkdir(mode=0o700)
        (self.outside / "canary").write_bytes(b"alive")
        (self.outside / "canary").chmod(0o600)
        os.utime(self.outside / "canary", (1, 1))
        os.utime(self.outside, (1, 1))
        self.lower: Path | None = None
        self.before = self.canary()

    def canary(self) -> list[object]:
        shown: list[object] = [sorted(os.listdir(self.root))]
        for path in (self.outside, self.outside / "canary"):
            st = path.lstat()
            shown += [st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_mtime, os.listxattr(path)]
        return [*shown, sorted(os.listdir(self.outside)), (self.outside / "canary").read_bytes()]

    def below(self, tree: dict[str, Node]) -> None:
        self.lower = build(tree, self.root / "lower")
        self.before = self.canary()

    def apply(self, *parts: Part, limits: Limits | None = None) -> LayerStats:
        parent = StackedTree([str(self.lower)]) if self.lower else None
        try:
            return apply_layer(io.BytesIO(archive(parts)), str(self.upper), parent, limits)
        finally:
            assert self.before == self.canary()

    def view(self) -> dict[str, tuple[object, ...]]:
        return view(self.upper, *([self.lower] if self.lower else []))

    def kinds(self) -> dict[str, object]:
        return {path: shown[0] for path, shown in self.view().items()}


LOWER = {
    "x": Node("dir", 0o755),
    "x/old": Node("file"),
    "x/sub": Node("dir", 0o755),
    "x/sub/deep": Node("file"),
    "f": Node("file"),
    "s": Node("symlink", payload="x"),
}
