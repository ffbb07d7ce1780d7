"""Layers applied: everything they can say, in whatever order they say it."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from layer_ground import LOWER, Ground
from layer_trees import NET_RAW, Node

from builder.fs.apply import apply_layer, clean
from builder.fs.layer import LayerStats
from tests.support.layers import Part, archive, directory, file, hardlink, node, symlink

# Owners, devices and trusted attributes take root.
pytestmark = pytest.mark.sandbox


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    yield Ground(tmp_path)
    # Python's own rmtree, which pytest uses, does not get to the bottom of some of these trees.
    subprocess.run(["rm", "-rf", str(tmp_path / "upper")], check=True)


def test_everything_a_layer_can_say(ground: Ground) -> None:
    """Modes, owners, times, links, devices, pipes and capabilities are as in the archive."""
    old_umask = os.umask(0o077)
    try:
        stats = ground.apply(
            directory("d/", 0o2775, uid=1, gid=2, mtime_ns=5 * 10**9),
            file("d/su", b"x", 0o6755, uid=3, gid=4, mtime_ns=10**9),
            file("d/ping", b"x", 0o755, xattrs={"security.capability": NET_RAW}, uid=7),
            file("d/empty", b"", 0),
            symlink("d/up", "../../../../etc/pki/java/cacerts"),
            hardlink("d/link2", "d/up"),
            hardlink("other/again", "/d/su"),
            node("null", "char", (1, 3)),
            node("disk", "block", (259, 70_000), 0o660),
            node("pipe", "fifo"),
        )
    finally:
        os.umask(old_umask)

    assert ground.view() == {
        "d": ("dir", 0o2775, 1, 2, 0, 0, b"", ""),
        "d/empty": ("file", 0, 0, 0, 0, b"", b"", ""),
        "d/link2": ("symlink", 0o777, 0, 0, 0, "../../../../etc/pki/java/cacerts", b"", ""),
        "d/ping": ("file", 0o755, 7, 0, 0, b"x", NET_RAW, ""),
        "d/su": ("file", 0o6755, 3, 4, 1, b"x", b"", "other/again"),
        "d/up": ("symlink", 0o777, 0, 0, 0, "../../../../etc/pki/java/cacerts", b"", "d/link2"),
        "disk": ("block", 0o660, 0, 0, 0, os.makedev(259, 70_000), b"", ""),
        "null": ("char", 0o666, 0, 0, 0, os.makedev(1, 3), b"", ""),
        "other": ("dir", 0o755, 0, 0, 0, 0, b"", ""),
        "other/again": ("file", 0o6755, 3, 4, 1, b"x", b"", ""),
        "pipe": ("fifo", 0o666, 0, 0, 0, 0, b"", ""),
    }
    assert (ground.upper / "d").stat().st_mtime == 5
    assert stats == LayerStats(entries=10, whiteouts=0, data_size=2, size=0)


def test_parents_that_a_layer_does_not_mention(ground: Ground) -> None:
    """They look as in the parent, or plain where it has none; so does the root."""
    ground.below({"etc": Node("dir", 0o700, 5, 6, 99), "etc/x": Node("file")})
    assert ground.lower is not None
    ground.lower.chmod(0o711)
    ground.apply(file("etc/y"), file("new/deep/z"), directory("./", 0o700))

    assert (ground.view()["etc"], ground.kinds()["etc/x"]) == (("dir", 0o700, 5, 6, 0, 0, b"", ""), "file")
    assert ground.view()["new/deep"][1:4] == (0o755, 0, 0)
    assert ((ground.upper / "etc").stat().st_mtime, (ground.upper / "new").stat().st_mtime) == (99, 0)
    assert stat.S_IMODE(ground.upper.stat().st_mode) == 0o711


def test_names_lead_through_links_inside_the_merged_root(ground: Ground) -> None:
    """A name below a symbolic link goes where the link leads in the image, as with a merged /usr."""
    ground.below(
        {
            "lib": Node("symlink", payload="usr/lib"),
            "abs": Node("symlink", payload="/usr/lib"),
            "usr": Node("dir", 0o711),
            "usr/lib": Node("dir", 0o755),
            "usr/lib/old": Node("file"),
            "usr/lib/gone": Node("file"),
        }
    )
    ground.apply(
        file("lib/one"),
        file("abs/two"),
        symlink("own", "/../../lib"),
        file("own/three"),
        file("lib/.wh.gone"),
    )

    shown = ground.kinds()
    assert [name for name in shown if name.startswith("usr/lib/")] == [
        "usr/lib/old", "usr/lib/one", "usr/lib/three", "usr/lib/two",
    ]  # fmt: skip
    assert (shown["lib"], ground.view()["usr"][1]) == ("symlink", 0o711)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([file(".wh.x")], "f s"),
        ([file(".wh.x"), directory("x"), file("x/new")], "f s x x/new"),
        ([directory("x"), file("x/new"), file(".wh.x")], "f s x x/new"),
        ([file("x/new"), file(".wh.x")], "f s x x/new"),
        ([file("x/.wh..wh..opq"), file("x/new")], "f s x x/new"),
        ([directory("x"), file("x/new"), file("x/.wh..wh..opq")], "f s x x/new"),
        ([file("x/.wh.sub"), file("x/.wh.nothing")], "f s x x/old"),
        ([file("x/sub/.wh..wh..opq"), file("x/.wh.old"), file(".wh.f"), file(".wh.s")], "x x/sub"),
        ([file("x/.wh..wh..opq"), file("x/.wh.old"), file("x/sub/.wh.deep")], "f s x x/sub"),
        ([file("s/.wh.old")], "f s x x/sub x/sub/deep"),
        ([file(".wh.s"), file("s/new")], "f s s/new x x/old x/sub x/sub/deep"),
        ([file(".wh..wh..opq"), file("only")], "only"),
        ([file(".wh..wh..opq"), file("x/new")], "x x/new"),
        ([file("x")], "f s x"),
        ([directory("f"), file("f/in")], "f f/in s x x/old x/sub x/sub/deep"),
        ([file("x"), directory("x"), file("x/new")], "f s x x/new"),
        (
            [file(".wh..wh.plnk/1"), file(".wh..wh.aufs"), file("x/.wh..wh.orph/a")],
            "f s x x/old x/sub x/sub/deep",
        ),
        ([file(".wh.f"), file("f")], "f s x x/old x/sub x/sub/deep"),
        ([directory("f"), file("f/a/b"), file("f"), file(".wh.x")], "f s"),
    ],
)  # fmt: skip
def test_what_whiteouts_leave(ground: Ground, parts: list[Part], expected: str) -> None:
    """Whiteouts and opaque marks hide the parent only, in whatever order they come."""
    ground.below(LOWER)
    ground.apply(*parts)

    assert expected == " ".join(ground.kinds())
    # overlayfs shows marks that hide nothing; so nothing in the upper may be one.
    shown = set(ground.view())
    for path, _, names in os.walk(ground.upper):
        for name in names:
            full = os.path.relpath(os.path.join(path, name), ground.upper)
            assert full in shown or os.path.lexists(f"{ground.lower}/{full}")


def test_later_entries_win(ground: Ground) -> None:
    """The last entry of a name counts: directories merge, everything else is replaced, links let go."""
    ground.apply(
        file("a", b"1"), hardlink("b", "a"), file("a", b"2"),
        directory("d", 0o700), file("d/x"), directory("d", 0o750),
        directory("gone"), file("gone/sub/x"), symlink("gone", "d"), file("gone/y"),
        symlink("link", "d"), directory("link"), file("link/z"),
    )  # fmt: skip

    shown = ground.view()
    assert (shown["a"][5], shown["b"][5], shown["d"][1]) == (b"2", b"1", 0o750)
    assert list(shown) == ["a", "b", "d", "d/x", "d/y", "gone", "link", "link/z"]


@pytest.mark.parametrize(
    ("target", "expected"), [("f", "file"), ("s", "symlink"), ("x/old", "file"), ("p", "fifo")]
)
def test_a_link_to_a_lower_file_copies_it_up(ground: Ground, target: str, expected: str) -> None:
    """One inode with two names in the upper, like the lower file in every respect."""
    lower = {**LOWER, "p": Node("fifo"), "f": Node("file", 0o4711, 5, 6, 77, b"abc", NET_RAW)}
    ground.below(lower)
    before = ground.view()[target]
    ground.apply(hardlink("new/name", target))

    shown = ground.view()
    assert before[:7] == shown[target][:7] == shown["new/name"][:7]
    assert (expected, "new/name") == (shown[target][0], shown[target][7] or "new/name")
    assert os.lstat(ground.upper / target).st_nlink == 2


def test_only_harmless_attributes_are_applied(ground: Ground) -> None:
    """Capabilities and user.* are; overlayfs's own marks and anything else that steers the host are not."""
    ground.apply(
        directory("d", xattrs={"trusted.overlay.opaque": b"y", "user.overlay.opaque": b"y", "user.d": b"1"}),
        file(
            "f",
            xattrs={
                "security.selinux": b"x",
                "security.ima": b"x",
                "trusted.overlay.metacopy": b"",
                "trusted.overlay.redirect": b"/etc",
                "user.overlay.redirect": b"/etc",
                "user.note": b"n",
                "system.posix_acl_access": b"x",
                "user." + "n" * 300: b"too long a name",
            },
        ),
    )

    assert os.listxattr(ground.upper / "d") == ["user.d"]
    assert os.listxattr(ground.upper / "f") == ["user.note"]


def test_times_that_no_file_system_has_become_zero(ground: Ground) -> None:
    """Before 1970 or beyond the year 2262, as in containerd."""
    ground.apply(file("old", mtime_ns=-(10**9)), file("far", mtime_ns=10**20), directory("d", mtime_ns=-1))

    assert {(ground.upper / name).stat().st_mtime for name in ("old", "far", "d")} == {0}


def test_times_keep_their_nanoseconds(ground: Ground) -> None:
    """A PAX time is applied in full."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as writer:
        info = tarfile.TarInfo("x")
        info.pax_headers = {"mtime": "1.234567891"}
        writer.addfile(info)
    apply_layer(io.BytesIO(buffer.getvalue()), str(ground.upper))

    assert (ground.upper / "x").stat().st_mtime_ns == 1_234_567_891


def test_the_whole_stream_is_read(ground: Ground) -> None:
    """Bytes behind the end mark are read too: they are part of the digest."""
    stream = io.BytesIO(archive([file("x")]) + b"junk" * 200_000)
    apply_layer(stream, str(ground.upper))

    assert stream.read() == b""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b", "a/b"),
        ("./a//b/", "a/b"),
        ("/a/./b/../c", "a/c"),
        (".", ""),
        ("/", ""),
        ("...", "..."),
        ("a/..", ""),
    ],
)
def test_clean(name: str, expected: str) -> None:
    """Names lose what does not matter."""
    assert expected == clean(name)
