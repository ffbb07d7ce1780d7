"""Trees as values: built on disk, as an overlay's upper, and read back for comparison."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from builder.fs.tree import StackedTree

CAPABILITY = "security.capability"
# cap_net_raw+ep, as setcap writes it (struct vfs_cap_data, revision 2).
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")


class Node(NamedTuple):
    """One path; ``payload`` is bytes, a link's target, a device's number or a hard link's first name."""

    kind: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 1_600_000_000
    payload: bytes | str | int = b""
    capability: bytes = b""
    opaque: bool = False  # a directory that replaces the lower one instead of merging with it
    copied_up: bool = False  # in the upper although it is the same in the lower


Tree = Mapping[str, Node]


def build(tree: Tree, directory: Path) -> Path:
    """The tree as plain files; parents come before what they hold."""
    directory.mkdir(exist_ok=True)
    for path, node in tree.items():
        _make(directory / path, node, directory)
    _set_times(tree, tree, directory)
    return directory


def build_upper(before: Tree, after: Tree, directory: Path) -> Path:
    """What an overlay over ``before`` has in its upper once it shows ``after``."""
    directory.mkdir()
    fresh: set[str] = {""}  # directories below which nothing of the lower shows
    if before:
        fresh.clear()
    made: dict[str, Node] = {}

    def ensure(path: str) -> None:
        if path and path not in made:
            ensure(path.rpartition("/")[0])
            made[path] = after[path]
            _make(directory / path, after[path], directory)

    for path, node in after.items():
        above = path.rpartition("/")[0]
        old = None if above in fresh else before.get(path)
        if node.kind == "dir" and (old is None or old.kind != "dir" or node.opaque):
            fresh.add(path)
        if old != node or node.copied_up or path in fresh:
            ensure(above)
            if path not in made:
                made[path] = node
                _make(directory / path, node, directory)
                if node.kind == "dir" and node.opaque:
                    os.setxattr(directory / path, "trusted.overlay.opaque", b"y")
    for path in before:
        above = path.rpartition("/")[0]
        if (
            path not in after
            and above not in fresh
            and (not above or after.get(above, Node("")).kind == "dir")
        ):
            ensure(above)
            os.mknod(directory / path, stat.S_IFCHR, 0)
    _set_times(made, after, directory)
    return directory


def view(*lowers: Path) -> dict[str, tuple[object, ...]]:
    """Everything a merged tree shows, times of directories left out."""
    tree = StackedTree([str(lower) for lower in lowers])
    shown: dict[str, tuple[object, ...]] = {}
    firsts: dict[tuple[int, int], str] = {}
    pending = [""]
    while pending:
        for entry in tree.children(pending.pop()):
            payload: object = entry.rdev
            mtime = entry.mtime_ns // 10**9
            if entry.kind == "dir":
                pending.append(entry.path)
                payload, mtime = 0, 0
            elif entry.kind == "file":
                payload = Path(entry.real).read_bytes()
            elif entry.kind == "symlink":
                payload = os.readlink(entry.real)
            first = firsts.setdefault((entry.dev, entry.ino), entry.path) if entry.nlink > 1 else ""
            names = os.listxattr(entry.real, follow_symlinks=False)
            capability = os.getxattr(entry.real, CAPABILITY) if CAPABILITY in names else b""
            same_as = first if entry.kind != "dir" and first != entry.path else ""
            shown[entry.path] = (
                entry.kind, entry.mode, entry.uid, entry.gid, mtime, payload, capability, same_as,
            )  # fmt: skip
    return dict(sorted(shown.items()))


def _make(target: Path, node: Node, root: Path) -> None:
    match node.kind:
        case "dir":
            target.mkdir()
        case "file":
            assert isinstance(node.payload, bytes)
            target.write_bytes(node.payload)
        case "symlink":
            os.symlink(str(node.payload), target)
        case "hardlink":
            os.link(root / str(node.payload), target, follow_symlinks=False)
            return
        case "fifo":
            os.mkfifo(target)
        case kind:
            assert isinstance(node.payload, int)
            os.mknod(target, stat.S_IFCHR if kind == "char" else stat.S_IFBLK, node.payload)
    os.chown(target, node.uid, node.gid, follow_symlinks=False)
    if node.kind != "symlink":
        os.chmod(target, node.mode)
    if node.capability:
        os.setxattr(target, CAPABILITY, node.capability)


def _set_times(made: Tree, nodes: Tree, root: Path) -> None:
    for path in made:
        times = (nodes[path].mtime, nodes[path].mtime)
        if nodes[path].kind != "hardlink":
            os.utime(root / path, times, follow_symlinks=False)


# Random trees.

NAMES = st.sampled_from(["a", "b", "c", "a.b", "a-", "é", "\udcff", "n" * 120])
_MODES = st.sampled_from([0o644, 0o755, 0o4755, 0o2755, 0o1777, 0o400, 0])
_IDS = st.sampled_from([0, 1, 1000, 65534, 3_000_000])
_TIMES = st.sampled_from([0, 1, 1_600_000_000, 2_000_000_000])
_LEAVES = st.one_of(
    st.builds(
        lambda mode, uid, mtime, data, cap: Node(
            "file", mode, uid, uid, mtime, data, NET_RAW if cap else b""
        ),
        _MODES,
        _IDS,
        _TIMES,
        st.one_of(st.binary(max_size=3), st.sampled_from([b"x" * 511, b"y" * 512, b"z" * 1025])),
        st.booleans(),
    ),
    st.builds(
        lambda target, uid: Node("symlink", 0o777, uid, uid, payload=target),
        st.sampled_from(["a", "../../../x", "/etc", "é" * 60]),
        _IDS,
    ),
    st.builds(lambda mode: Node("fifo", mode), _MODES),
    st.builds(lambda mode: Node("char", mode, payload=os.makedev(1, 3)), _MODES),
)
Branch = tuple[Node, dict[str, "Branch"]] | Node
_DIRECTORIES = st.builds(
    lambda mode, uid, mtime, opaque: Node("dir", mode, uid, uid, mtime, opaque=opaque),
    st.sampled_from([0o755, 0o700, 0o2775, 0o1777]),
    _IDS,
    _TIMES,
    st.booleans(),
)


def trees() -> st.SearchStrategy[dict[str, Node]]:
    """Trees of up to some thirty paths, four deep."""
    branches = st.recursive(
        _LEAVES,
        lambda inner: st.tuples(_DIRECTORIES, st.dictionaries(NAMES, inner, max_size=4)),
        max_leaves=12,
    )
    return st.dictionaries(NAMES, branches, max_size=4).map(lambda top: dict(_flat("", top)))


def _flat(prefix: str, level: object) -> Iterator[tuple[str, Node]]:
    assert isinstance(level, dict)
    for name, branch in level.items():
        path = f"{prefix}{name}"
        if isinstance(branch, Node):
            yield path, branch
        else:
            node, inner = branch
            yield path, node
            yield from _flat(f"{path}/", inner)
