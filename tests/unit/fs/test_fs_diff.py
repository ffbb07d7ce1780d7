"""Upper directories as layers: order, whiteouts, links, what is left out, and the way back."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_trees import NET_RAW, Node, Tree, build, build_upper, trees, view

from builder.core.errors import Unsupported
from builder.fs.apply import apply_layer
from builder.fs.diff import ReservedName, write_layer, write_trees
from builder.fs.tar import TarMember, TarReader
from builder.fs.tree import StackedTree

# Whiteouts are devices and opaque marks trusted attributes: both take root.
pytestmark = pytest.mark.sandbox

CASES = Path(__file__).parents[3] / "testdata" / "layers"


def layer_of(upper: Path, parent: Path | None = None, **options: int) -> bytes:
    parts: list[bytes] = []
    tree = StackedTree([str(parent)]) if parent else None
    stats = write_layer(str(upper), parts.append, parent=tree, **options)
    data = b"".join(parts)
    assert stats.size == len(data)
    assert stats.entries == len(members(data))
    return data


def members(data: bytes) -> list[TarMember]:
    return list(TarReader(io.BytesIO(data)))


def names(data: bytes) -> list[str]:
    return [member.name for member in members(data)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=trees(), after=trees(), mixed=st.booleans())
def test_a_layer_turns_the_parent_into_what_the_overlay_showed(
    before: Tree, after: Tree, mixed: bool
) -> None:
    """apply(write(upper)) over the same parent shows the same, with and without looking at the parent."""
    if mixed:  # most steps change little
        after = {**after, **{p: n for p, n in before.items() if _fits(p, {**after, **before}, before)}}
        after = dict(sorted(after.items()))
        after = {p: n for p, n in after.items() if not _orphan(p, after)}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lower = build(before, root / "lower")
        expected = view(build(after, root / "wanted"))
        upper = build_upper(before, after, root / "upper")
        assert expected == view(upper, lower)

        for number, parent in enumerate((None, lower)):
            data = layer_of(upper, parent)
            applied = root / f"applied{number}"
            applied.mkdir()
            apply_layer(io.BytesIO(data), str(applied), StackedTree([str(lower)]))

            assert expected == view(applied, lower)
            assert layer_of(upper, lower) == layer_of(applied, lower)
            with tarfile.open(fileobj=io.BytesIO(data)) as other:
                assert [m.name.rstrip("/") for m in members(data)] == [m.name for m in other]


def _fits(path: str, merged: Tree, before: Tree) -> bool:
    above = path.rpartition("/")[0]
    return not above or (merged[above].kind == "dir" and above in before)


def _orphan(path: str, tree: Tree) -> bool:
    above = path.rpartition("/")[0]
    return bool(above) and (above not in tree or tree[above].kind != "dir" or _orphan(above, tree))


def test_order_does_not_depend_on_the_directory(tmp_path: Path) -> None:
    """Names made in another order elsewhere give the same bytes, in byte order per directory."""
    files = ["b", "a", "a.b", "Z", "é", "\udcff", "a0"]
    uppers = []
    for number, order in enumerate((files, files[::-1])):
        upper = tmp_path / str(number)
        tree = {"d": Node("dir", 0o755)} | {f"d/{name}": Node("file") for name in order}
        uppers.append(build(tree, upper))
    first, second = (layer_of(upper) for upper in uppers)

    assert first == second
    assert names(first) == ["d/", "d/Z", "d/a", "d/a.b", "d/a0", "d/b", "d/é", "d/\udcff"]


def test_trees_side_by_side_have_no_link_into_each_other(tmp_path: Path) -> None:
    """Each can be taken out alone, though they share a file; within one, names of it stay together."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one/a").write_bytes(b"data")
    for name in ("one/b", "two/c"):
        os.link(tmp_path / "one/a", tmp_path / name)
    written = io.BytesIO()
    write_trees([(name, str(tmp_path / name)) for name in ("one", "two")], written.write)
    written.seek(0)

    with tarfile.open(fileobj=written) as tar:
        assert [(member.name, member.linkname) for member in tar] == [
            ("one", ""), ("one/a", ""), ("one/b", "one/a"), ("two", ""), ("two/c", "")
        ]  # fmt: skip


def test_an_empty_upper_is_two_blocks_of_zeros(tmp_path: Path) -> None:
    """A step that changes nothing has a layer of 1024 zeros."""
    assert layer_of(tmp_path) == bytes(1024)


def test_sockets_and_foreign_attributes_are_left_out(tmp_path: Path) -> None:
    """A socket is no entry and user.* attributes are not recorded."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        (tmp_path / "file").write_bytes(b"")
        os.setxattr(tmp_path / "file", "user.note", b"x")
        parts: list[bytes] = []
        stats = write_layer(str(tmp_path), parts.append)

    (member,) = members(b"".join(parts))
    assert (member.name, member.xattrs) == ("file", {})
    assert stats.skipped == 1


def test_a_hole_is_read_as_zeros(tmp_path: Path) -> None:
    """A sparse file is a plain file of its full size in the layer."""
    with (tmp_path / "sparse").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"end")
    reader = TarReader(io.BytesIO(layer_of(tmp_path)))
    (member,) = [next(reader)]

    assert (member.size, reader.read()) == (3_000_003, bytes(3_000_000) + b"end")


def test_times_are_clamped_to_the_epoch(tmp_path: Path) -> None:
    """Newer times come back to the clamp, older ones stay, whiteouts are always 0."""
    before = {"gone": Node("file")}
    after = {"new": Node("file", mtime=2_000), "old": Node("file", mtime=500)}
    upper = build_upper(before, after, tmp_path / "upper")

    shown = {m.name: m.mtime_ns // 10**9 for m in members(layer_of(upper, clamp_mtime_s=1_000))}
    assert shown == {".wh.gone": 0, "new": 1_000, "old": 500}


def test_an_unchanged_name_of_a_changed_inode_stays_a_link(tmp_path: Path) -> None:
    """A new hard link to an old file is written as one file with two names, parents included."""
    file = Node("file", mtime=5, payload=b"same")
    lower = build({"d": Node("dir", 0o755), "d/old": file}, tmp_path / "lower")
    upper = tmp_path / "upper"
    build({"d": Node("dir", 0o755), "d/old": file, "new": Node("hardlink", payload="d/old")}, upper)

    shown = [(m.name, m.kind, m.link) for m in members(layer_of(upper, lower))]
    assert shown == [("new", "file", ""), ("d/", "dir", ""), ("d/old", "hardlink", "new")]


@pytest.mark.parametrize("xattr", ["trusted.overlay.redirect", "user.overlay.redirect"])
def test_redirected_directories_are_refused(tmp_path: Path, xattr: str) -> None:
    """An overlay with redirect_dir cannot be told from its upper alone."""
    (tmp_path / "moved").mkdir()
    os.setxattr(tmp_path / "moved", xattr, b"/from")

    with pytest.raises(Unsupported, match="redirect_dir"):
        layer_of(tmp_path)


@pytest.mark.parametrize("name", [".wh.x", ".wh..wh..opq"])
def test_reserved_names_are_refused(tmp_path: Path, name: str) -> None:
    """A real file with the name of a whiteout would delete another one; saying so beats losing both."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / name).write_bytes(b"")

    with pytest.raises(ReservedName, match=r'"d/\.wh'):
        layer_of(tmp_path)


def test_depth_costs_no_descriptors(tmp_path: Path) -> None:
    """A tree three thousand deep, far beyond PATH_MAX, is written."""
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3_000):
        os.mkdir("dd", dir_fd=fd)
        inner = os.open("dd", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    parts: list[bytes] = []
    stats = write_layer(str(tmp_path), parts.append)
    # Neither Python nor a path gets there to clean up.
    subprocess.run(["rm", "-rf", "dd"], cwd=tmp_path, check=True)

    assert stats.entries == 3_000


SCRIPT = r"""
set -e
mount -t overlay overlay -o lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work $1/merged
cd $1/merged
echo changed > etc/motd
chmod 600 etc/shadow
touch -a etc/hosts
rm etc/gone
rm -r usr/share/doc
mkdir usr/share/doc
echo new > usr/share/doc/README
rm -r var/lib
ln -s usr/lib var/lib
ln etc/hosts etc/hosts2
mkdir -p new/deep/er
: > new/deep/er/file
touch new/deep/two && ln new/deep/two new/deep/three
rm -r opt && echo file > opt
rm link && mkdir link && : > link/inside
mkfifo new/pipe
chown 12:34 usr
"""

LISTING = r"""
set -e
mount -t overlay overlay -o $2 $1/merged
cd $1/merged
find . -printf '%p %y %#m %U:%G %l %n %s\n' | sort
find . -type f -exec sha256sum {} + | sort
"""


def test_what_the_kernel_wrote_comes_back(tmp_path: Path) -> None:
    """The upper of a real overlay mount, as a layer and applied again, mounts to the same tree."""
    directory = Node("dir", 0o755)
    lower = {
        "etc": directory,
        "etc/gone": Node("file", payload=b"x"),
        "etc/hosts": Node("file", payload=b"127.0.0.1"),
        "etc/motd": Node("file", payload=b"hello"),
        "etc/shadow": Node("file", 0o640),
        "link": Node("symlink", payload="etc"),
        "opt": directory,
        "opt/x": Node("file"),
        "usr": directory,
        "usr/lib": directory,
        "usr/share": directory,
        "usr/share/doc": directory,
        "usr/share/doc/old": Node("file"),
        "var": directory,
        "var/lib": directory,
        "var/lib/x": Node("file"),
    }
    build(lower, tmp_path / "lower")
    for name in ("upper", "work", "merged", "applied", "applied2"):
        (tmp_path / name).mkdir(mode=0o755)

    def run(script: str, *arguments: str) -> str:
        command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    run(SCRIPT)
    parent = StackedTree([str(tmp_path / "lower")])
    expected = run(LISTING, f"lowerdir={tmp_path}/upper:{tmp_path}/lower")
    data = layer_of(tmp_path / "upper", tmp_path / "lower")
    apply_layer(io.BytesIO(data), str(tmp_path / "applied"), parent)
    apply_layer(io.BytesIO(layer_of(tmp_path / "upper")), str(tmp_path / "applied2"), parent)

    assert expected == run(LISTING, f"lowerdir={tmp_path}/applied:{tmp_path}/lower")
    assert expected == run(LISTING, f"lowerdir={tmp_path}/applied2:{tmp_path}/lower")
    assert "usr/share/doc/.wh..wh..opq" in names(data)
    assert "new/.wh..wh..opq" not in names(data)


# Golden layers: before.txt and after.txt are trees, changeset.txt what the layer between them holds.


def parse(path: Path) -> dict[str, Node]:
    """Lines of ``path kind mode uid:gid mtime payload [opaque|copied-up|capability]…``."""
    tree: dict[str, Node] = {}
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, kind, mode, owner, mtime, payload, *flags = line.split()
        uid, _, gid = owner.partition(":")
        text = payload.encode().decode("unicode_escape") if payload != "-" else ""
        value: bytes | str | int = text
        if kind == "file":
            value = text.encode("latin-1")
        elif kind in ("char", "block"):
            value = os.makedev(*map(int, text.split(",")))
        tree[os.fsdecode(name.encode().decode("unicode_escape").encode("latin-1"))] = Node(
            kind, int(mode, 8), int(uid), int(gid), int(mtime), value,
            NET_RAW if "capability" in flags else b"", "opaque" in flags, "copied-up" in flags,
        )  # fmt: skip
    return tree


def show(data: bytes) -> str:
    lines = [f"sha256:{hashlib.sha256(data).hexdigest()[:16]} {len(data)}"]
    reader = TarReader(io.BytesIO(data))
    for m in reader:
        content = hashlib.sha256(reader.read()).hexdigest()[:16] if m.size else "-"
        device = ",".join(map(str, m.device)) if m.kind in ("char", "block") else "-"
        extra = " ".join(f"{key}={value.hex()}" for key, value in m.xattrs.items())
        name, link = (text.encode("unicode_escape").decode() for text in (m.name, m.link))
        mtime = m.mtime_ns // 10**9
        line = (
            f"{name} {m.kind} {m.mode:o} {m.uid}:{m.gid} {mtime} {m.size} {link or content or '-'} {device}"
        )
        lines.append(f"{line} {extra}".rstrip())
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_golden_layers(case: Path, tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    """The layer between two trees has exactly these entries and these bytes."""
    before, after = parse(case / "before.txt"), parse(case / "after.txt")
    lower = build(before, tmp_path / "lower")
    upper = build_upper(before, after, tmp_path / "upper")
    data = layer_of(upper, lower)

    golden(case / "changeset.txt", show(data))
    applied = tmp_path / "applied"
    applied.mkdir()
    apply_layer(io.BytesIO(data), str(applied), StackedTree([str(lower)]))
    assert view(upper, lower) == view(applied, lower)


def test_gnu_tar_reads_what_we_write(tmp_path: Path) -> None:
    """GNU tar unpacks long, odd and non-ASCII names, links, devices and capabilities as they were."""
    tree = {
        "d" * 200: Node("dir", 0o2775, 5, 6),
        "d" * 200 + "/" + "f" * 200: Node("file", 0o4755, 3_000_000, 7, payload=b"x" * 5000),
        "dev": Node("char", 0o666, payload=os.makedev(5, 1)),
        "link": Node("symlink", 0o777, payload="t" * 150),
        "new\nline": Node("file"),
        "old": Node("file", mtime=-10),
        "first": Node("file", payload=b"1"),
        "second": Node("hardlink", payload="first"),
        "\udcff": Node("fifo"),
        "ping": Node("file", payload=b"p", capability=NET_RAW),
    }
    source = build(tree, tmp_path / "source")
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run(
        ["tar", "-xp", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", str(target)],
        input=layer_of(source),
        check=True,
    )

    assert view(source) == view(target)
    shutil.rmtree(source)
