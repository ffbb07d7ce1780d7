"""Layers from anywhere: what they may do, and what they may not, with a canary outside."""

from __future__ import annotations

import errno
import io
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_trees import NET_RAW, Node, build, view

from builder.fs.apply import apply_layer, clean
from builder.fs.diff import write_layer
from builder.fs.layer import LayerStats
from builder.fs.limits import ArchiveLimit, BadArchive, Limits
from builder.fs.tar import TarMember
from builder.fs.tarwrite import TarWriter
from builder.fs.tree import StackedTree
from builder.fs.upper import DeviceDenied, OwnerDenied

# Owners, devices and trusted attributes take root.
pytestmark = pytest.mark.sandbox

Part = tuple[TarMember, bytes]


def file(name: str, data: bytes = b"data", mode: int = 0o644, **fields: object) -> Part:
    return TarMember(name, "file", mode, size=len(data))._replace(**fields), data


def directory(name: str, mode: int = 0o755, **fields: object) -> Part:
    return TarMember(name, "dir", mode)._replace(**fields), b""


def symlink(name: str, target: str) -> Part:
    return TarMember(name, "symlink", 0o777, link=target), b""


def hardlink(name: str, target: str) -> Part:
    return TarMember(name, "hardlink", 0o644, link=target), b""


def node(name: str, kind: str, device: tuple[int, int] = (0, 0), mode: int = 0o666) -> Part:
    return TarMember(name, kind, mode, device=device), b""


def archive(parts: Iterable[Part]) -> bytes:
    written: list[bytes] = []
    writer = TarWriter(written.append)
    for member, data in parts:
        writer.add(member, data)
    writer.finish()
    return b"".join(written)


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
        shown: list[object] = sorted(os.listdir(self.root))
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


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    yield Ground(tmp_path)
    # Python's own rmtree, which pytest uses, does not get to the bottom of some of these trees.
    subprocess.run(["rm", "-rf", str(tmp_path / "upper")], check=True)


# What layers may do.


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
    ground.apply(file("lib/one"), file("abs/two"), symlink("own", "/../../lib"), file("own/three"), file("lib/.wh.gone"))

    shown = ground.kinds()
    assert [name for name in shown if name.startswith("usr/lib/")] == [
        "usr/lib/old", "usr/lib/one", "usr/lib/three", "usr/lib/two",
    ]  # fmt: skip
    assert (shown["lib"], ground.view()["usr"][1]) == ("symlink", 0o711)


LOWER = {
    "x": Node("dir", 0o755),
    "x/old": Node("file"),
    "x/sub": Node("dir", 0o755),
    "x/sub/deep": Node("file"),
    "f": Node("file"),
    "s": Node("symlink", payload="x"),
}


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
        ([file(".wh..wh.plnk/1"), file(".wh..wh.aufs"), file("x/.wh..wh.orph/a")], "f s x x/old x/sub x/sub/deep"),
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
    assert ["a", "b", "d", "d/x", "d/y", "gone", "link", "link/z"] == list(shown)


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


# What they may not.

HOSTILE = {
    "leads-up": [file("../outside/canary")],
    "leads-up-later": [file("a/../../outside/canary")],
    "dot-dot": [directory("..")],
    "root-symlink": [symlink(".", "../outside")],
    "root-symlink-slash": [symlink("/", "../outside")],
    "root-file": [file("./")],
    "root-through-dots": [symlink("a/..", "../outside")],
    "empty-name": [file("")],
    "link-loop": [symlink("a", "b"), symlink("b", "a"), file("a/x")],
    "link-to-itself": [symlink("a", "a"), file("a/x")],
    "long-chain": [
        *(symlink(f"l{number}", f"l{number + 1}") for number in range(50)),
        directory("l50"),
        file("l0/x"),
    ],
    "hardlink-up": [hardlink("x", "../outside/canary")],
    "hardlink-missing": [hardlink("x", "nothing")],
    "hardlink-self": [hardlink("x", "x")],
    "hardlink-root": [hardlink("x", "/")],
    "hardlink-directory": [directory("d"), hardlink("x", "d")],
    "hardlink-lower-directory": [hardlink("x", "lowdir")],
    "hardlink-under-itself": [directory("d"), file("d/f"), hardlink("d", "d/f")],
    "hardlink-deleted": [file(".wh.lowfile"), hardlink("x", "lowfile")],
    "whiteout-dot": [file(".wh..")],
    "whiteout-dots": [file(".wh...")],
    "whiteout-nothing": [file(".wh.")],
    "whiteout-dots-below": [directory("d"), file("d/.wh...")],
    "below-a-whiteout": [file("d/.wh.x/y")],
    "opaque-below-loop": [symlink("a", "a"), file("a/.wh..wh..opq")],
    "file-as-parent": [file("a"), file("a/b")],
    "device-zero": [node("x", "char", (0, 0))],
    "device-huge": [node("x", "block", (1 << 20, 5))],
    "long-component": [file("n" * 256)],
    "bad-capability": [file("x", xattrs={"security.capability": b"rubbish"})],
    "empty-symlink": [symlink("x", "")],
}


@pytest.mark.parametrize("parts", HOSTILE.values(), ids=HOSTILE)
def test_hostile_layers_are_refused(ground: Ground, parts: list[Part]) -> None:
    """BadArchive, and not a byte outside has changed."""
    ground.below({"lowdir": Node("dir", 0o755), "lowfile": Node("file")})

    with pytest.raises(BadArchive):
        ground.apply(*parts)


def confined(outside: Path) -> dict[str, list[Part]]:
    """Layers that are fine as such, and try to get at ``outside`` on the host."""
    away, up = str(outside), "../" * 20 + str(outside).lstrip("/")
    return {
        "absolute": [file(f"{away}/canary", b"dead")],
        "symlink-then-write": [symlink("e", away), file("e/canary", b"dead"), file("e/new")],
        "symlink-up-then-write": [symlink("e", up), file("e/canary", b"dead"), directory("e/sub", 0o777)],
        "symlink-chain": [symlink("a", "b"), symlink("b", away), file("a/canary", b"dead")],
        "symlink-then-metadata": [symlink("e", away), directory("e/", 0o777, uid=5, mtime_ns=10**9)],
        "symlink-leaf-file": [symlink("e", f"{away}/canary"), file("e", b"dead")],
        "symlink-leaf-device": [symlink("e", f"{away}/canary"), node("e", "fifo")],
        "symlink-whiteout": [symlink("e", away), file("e/.wh.canary"), file("e/.wh..wh..opq")],
        "symlink-hardlink": [symlink("e", f"{away}/canary"), hardlink("x", "e"), file("x", b"dead")],
        "symlink-parent-device": [symlink("e", away), node("e/null", "char", (1, 3))],
        "dir-to-symlink": [directory("d"), file("d/x"), symlink("d", away), file("d/canary", b"dead")],
        "dir-to-symlink-deep": [file("d/e/f"), symlink("d/e", away), file("d/e/canary", b"dead")],
        "lower-symlink": [file("host/canary", b"dead"), file("host/.wh.canary")],
        "lower-symlink-hardlink": [file("host/canary", b"own"), hardlink("x", "host/canary")],
    }


@pytest.mark.parametrize("name", confined(Path("/")))
def test_links_never_lead_outside(ground: Ground, name: str) -> None:
    """Absolute names and links mean the image's root: the layer applies, the host is untouched."""
    ground.below({"host": Node("symlink", payload=str(ground.outside))})
    ground.apply(*confined(ground.outside)[name])

    for path in ground.view():
        assert not os.path.samefile(ground.outside, os.path.dirname(ground.upper / path))


def test_a_hard_link_through_a_link_needs_a_file_in_the_image(ground: Ground) -> None:
    """The host's file behind a lower symbolic link is not there."""
    ground.below({"host": Node("symlink", payload=str(ground.outside))})

    with pytest.raises(BadArchive, match="missing"):
        ground.apply(hardlink("x", "host/canary"))


@pytest.mark.parametrize(
    ("parts", "limits"),
    [
        ([file("a"), file("b"), file("c")], Limits(entries=2)),
        ([file("a", bytes(900)), file("b", bytes(900))], Limits(total_size=1000)),
        ([file("/".join("d" * 3000))], Limits()),
    ],
)
def test_limits_hold(ground: Ground, parts: list[Part], limits: Limits) -> None:
    """Entries, bytes and path lengths are bounded."""
    with pytest.raises(ArchiveLimit):
        ground.apply(*parts, limits=limits)


def test_links_cannot_add_up_to_endless_paths(ground: Ground) -> None:
    """A chain of links each a long path below the one before ends in an error, not in a full disk."""
    deep = "/".join("d" * 1000)
    parts = [symlink(f"{'l/' * number}l", deep) for number in range(9)]

    with pytest.raises(BadArchive):
        ground.apply(*parts, file("l/" * 9 + "x"))


def test_depth_is_fine(ground: Ground) -> None:
    """Two thousand directories in one path need no two thousand descriptors."""
    path = "/".join("d" * 2000)
    ground.apply(file(f"{path}/x"), file("y"))
    parts: list[bytes] = []

    assert write_layer(str(ground.upper), parts.append).entries == 2002


def test_odd_names(ground: Ground) -> None:
    """Newlines, invalid UTF-8 and names of 255 bytes are names like any other."""
    names = ["a\nb", "\udcff\udcfe", "n" * 255, " ", "-rf", "a\\b", ".wh", "..."]
    ground.apply(*(file(f"d/{name}") for name in names))

    assert sorted(names) == sorted(os.listdir(ground.upper / "d"))


class Refusing:
    """Stands for a host that does not let us call one function of os."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
        def refuse(*_arguments: object, **_options: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, name, refuse)


def test_whiteouts_that_cannot_be_made(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what the host lacks."""
    ground.below(LOWER)
    Refusing(monkeypatch, "mknod", errno.EPERM)

    with pytest.raises(DeviceDenied, match='"f"'):
        ground.apply(file(".wh.f"))


def test_devices_that_cannot_be_made_are_counted(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a user namespace device nodes are left out, as in containerd, and reported."""
    Refusing(monkeypatch, "mknod", errno.EPERM)

    assert ground.apply(node("dev/null", "char", (1, 3)), file("x")).skipped == 1


def test_owners_that_are_not_mapped(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the ids."""
    Refusing(monkeypatch, "fchown", errno.EINVAL)

    with pytest.raises(OwnerDenied, match="user 0 and group 0"):
        ground.apply(file("x"))


def test_a_full_disk_is_the_hosts_trouble(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC is not blamed on the archive, and no descriptor is left behind."""
    before = len(os.listdir("/proc/self/fd"))
    Refusing(monkeypatch, "write", errno.ENOSPC)

    with pytest.raises(OSError, match="No space left"):
        ground.apply(file("x"))
    assert before == len(os.listdir("/proc/self/fd"))


def test_truncation_anywhere(ground: Ground) -> None:
    """A layer cut at any block applies in part or fails cleanly, and leaves no descriptor open."""
    data = archive([directory("d"), file("d/x", bytes(3000)), hardlink("y", "d/x"), file("z", b"1")])
    before = len(os.listdir("/proc/self/fd"))
    failed = 0
    for cut in range(0, len(data), 512):
        upper = ground.root / f"cut{cut}"
        upper.mkdir()
        try:
            apply_layer(io.BytesIO(data[:cut]), str(upper))
        except BadArchive:
            failed += 1

    assert failed == 7
    assert before == len(os.listdir("/proc/self/fd"))


PATHS = st.lists(st.sampled_from(["a", "b", "c", "..", ".", "", "host", ".wh.a", ".wh..wh..opq"]), max_size=4).map(
    "/".join
)
PARTS = st.one_of(
    st.builds(file, PATHS),
    st.builds(directory, PATHS),
    st.builds(symlink, PATHS, st.one_of(PATHS, st.just("/../../outside"), st.just("../../../outside"))),
    st.builds(hardlink, PATHS, PATHS),
    st.builds(lambda name: node(name, "fifo"), PATHS),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts=st.lists(PARTS, max_size=10))
def test_random_layers_stay_inside(parts: list[Part]) -> None:
    """Whatever the names and their order: applied or refused, and the canary lives; the view is readable."""
    with tempfile.TemporaryDirectory() as scratch:
        ground = Ground(Path(scratch))
        ground.below({**LOWER, "host": Node("symlink", payload=str(ground.outside)), "a": Node("symlink", payload="x")})
        try:
            ground.apply(*parts)
        except BadArchive:
            return
        written: list[bytes] = []
        assert ground.lower is not None
        write_layer(str(ground.upper), written.append, parent=StackedTree([str(ground.lower)]))
        again = ground.root / "again"
        again.mkdir()
        apply_layer(io.BytesIO(b"".join(written)), str(again), StackedTree([str(ground.lower)]))

        assert ground.view() == view(again, ground.lower)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a/b", "a/b"), ("./a//b/", "a/b"), ("/a/./b/../c", "a/c"), (".", ""), ("/", ""), ("...", "..."), ("a/..", "")],
)
def test_clean(name: str, expected: str) -> None:
    """Names lose what does not matter."""
    assert expected == clean(name)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The process keeps its working directory and umask whatever a layer says."""
    before = os.getcwd()
    yield
    mask = os.umask(0)
    os.umask(mask)

    assert (before, 0o022) == (os.getcwd(), mask)
