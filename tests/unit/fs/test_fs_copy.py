"""COPY, row by row, as Docker was seen to do it."""

from __future__ import annotations

import inspect
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from builder.fs import clone
from builder.fs import copy as copy_module
from builder.fs.contenthash import ContentRecord, UnreadableSource, content_digest
from builder.fs.copy import CopyReport, copy
from builder.fs.editor import CopyConflict, TreeEditor
from builder.fs.mode import ModeChange
from builder.fs.select import select
from builder.fs.tree import DirectoryTree, Entry, StackedTree
from builder.fs.upper import DeviceDenied

OLD = 900_000_000_123_456_789
FILE_TIME = 1_000_000_000_500_000_001
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


class World:
    """A source directory, one lower directory, and the upper that a copy writes."""

    def __init__(self, root: Path) -> None:
        self.source = root / "source"
        self.lower = root / "lower"
        self.upper = root / "upper"
        for directory in (self.source, self.lower, self.upper):
            directory.mkdir()
        self.editor = TreeEditor(str(self.upper), StackedTree([str(self.lower)]))

    def file(self, path: str, data: str = "x", mode: int = 0o644) -> Path:
        return put(self.source, path, data, mode)

    def copy(
        self,
        source: str,
        destination: str,
        *,
        owner: tuple[int, int] | None = None,
        mode: str | None = None,
        keeps_owner: bool = False,
        record: ContentRecord | None = None,
    ) -> CopyReport:
        tree = DirectoryTree(str(self.source))
        return copy(
            self.editor,
            tree,
            select(tree, source),
            destination,
            owner=owner,
            mode=ModeChange.parse(mode) if mode else None,
            keeps_owner=keeps_owner,
            record=record,
        )

    def entries(self) -> dict[str, str]:
        """The upper: kind, mode, owner, and content or target."""
        return listing(self.upper)

    def merged(self, path: str) -> Entry:
        entry = StackedTree([str(self.upper), str(self.lower)]).lookup(path)
        assert entry is not None
        return entry


def put(root: Path, path: str, data: str = "x", mode: int = 0o644) -> Path:
    real = root / path
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_text(data)
    real.chmod(mode)
    os.utime(real, ns=(FILE_TIME, FILE_TIME))
    return real


def listing(root: Path) -> dict[str, str]:
    found = {}
    for path in sorted(root.rglob("*")):
        st = path.lstat()
        kind = {"d": "dir", "l": "link", "-": "file"}.get(stat.filemode(st.st_mode)[0], "node")
        extra = ""
        if kind == "file":
            extra = f" {path.read_text()}"
        elif kind == "link":
            extra = f" {os.readlink(path)}"
        found[str(path.relative_to(root))] = (
            f"{kind} {stat.S_IMODE(st.st_mode):o} {st.st_uid}:{st.st_gid}{extra}"
        )
    return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- names ---


def test_a_directory_is_its_contents(world: World) -> None:
    """The directory itself is never copied, with or without slashes, dots or a link in its place."""
    world.file("d/a", "a")
    world.file("d/sub/b", "b")
    (world.source / "to-d").symlink_to("d")
    for source, destination in [("d", "/1"), ("d/", "/2/"), ("d/.", "/3/."), ("to-d", "/4")]:
        world.copy(source, destination)

    for number in "1234":
        assert [path for path in world.entries() if path.startswith(number)] == [
            number,
            f"{number}/a",
            f"{number}/sub",
            f"{number}/sub/b",
        ]


@pytest.mark.parametrize(
    ("destination", "path"),
    [
        ("/new/name", "new/name"),
        ("/new/", "new/f"),
        ("/new/.", "new/f"),
        ("/etc", "etc/f"),
        ("/etc/", "etc/f"),
        ("/to-etc", "etc/f"),
        ("/to-etc/name", "etc/name"),
        ("/to-passwd", "etc/passwd"),
        ("/dangling", "nowhere/x"),
        ("/", "f"),
        ("/etc/../var/./name", "var/name"),
        ("/../../name", "name"),
    ],
)
def test_where_a_file_goes(world: World, destination: str, path: str) -> None:
    """Into a directory by slash or existence, else to that name; links are followed inside the root."""
    world.file("f", "new")
    put(world.lower, "etc/passwd", "old")
    (world.lower / "to-etc").symlink_to("/etc")
    (world.lower / "to-passwd").symlink_to("etc/passwd")
    (world.lower / "dangling").symlink_to("/nowhere/x")
    world.copy("f", destination)

    assert world.entries()[path] == "file 644 0:0 new"
    assert [path] == [name for name, what in world.entries().items() if what.startswith("file")]


def test_a_link_keeps_its_own_name(world: World) -> None:
    """A source that is a link arrives as what it leads to, under the name that was written."""
    world.file("f", "f")
    (world.source / "to-f").symlink_to("f")
    world.copy("to-f", "/x/")
    world.copy("to-?", "/y/")

    assert world.entries()["x/to-f"] == world.entries()["y/to-f"] == "file 644 0:0 f"


def test_several_files_to_one_name(world: World) -> None:
    """The last one wins, as in BuildKit."""
    world.file("f1", "1")
    world.file("f2", "2")
    world.copy("f?", "/x")

    assert world.entries() == {"x": "file 644 0:0 2"}


def test_a_wildcard_without_match_does_nothing(world: World) -> None:
    """Not even the destination is made."""
    assert world.copy("none*", "/x/") == CopyReport(0, 0, ())
    assert world.entries() == {}


def test_directories_of_a_wildcard_are_merged(world: World) -> None:
    """The contents of all of them, the metadata of the last."""
    world.file("d1/a")
    world.file("d1/sub/b")
    world.file("d2/sub/c")
    (world.source / "d2" / "sub").chmod(0o711)
    world.copy("d*", "/x/")

    assert sorted(world.entries()) == ["x", "x/a", "x/sub", "x/sub/b", "x/sub/c"]
    assert world.entries()["x/sub"] == "dir 711 0:0"


def test_a_very_deep_destination(world: World) -> None:
    """Hundreds of directories are no problem for a stack of calls."""
    deep = "/".join(["a"] * 200)
    world.file("f")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        world.copy("f", f"/{deep}/")
        assert world.editor.lookup(f"{deep}/b/c/d") is None
    finally:
        sys.setrecursionlimit(limit)

    assert world.merged(f"{deep}/f").kind == "file"


# --- what is in the way ---


def test_a_file_replaces_a_file(world: World) -> None:
    """The new file has nothing of the old one."""
    world.file("f", "new", 0o755)
    put(world.lower, "f", "old", 0o600)
    os.chown(world.lower / "f", 7, 7)
    world.copy("f", "/f")
    world.copy("f", "/f")

    assert world.entries() == {"f": "file 755 0:0 new"}
    assert (world.lower / "f").read_text() == "old"


def test_a_file_replaces_a_link_inside_a_directory(world: World) -> None:
    """Only the destination itself is followed; names below it are replaced."""
    world.file("d/f", "new")
    put(world.lower, "x/target", "old")
    (world.lower / "x" / "f").symlink_to("target")
    (world.upper / "x").mkdir()
    world.copy("d", "/x")
    world.copy("d/f", "/x/")

    assert world.entries()["x/f"] == "file 644 0:0 new"
    assert "x/target" not in world.entries()


@pytest.mark.parametrize("is_in_upper", [False, True])
def test_what_cannot_be_merged_is_an_error(world: World, is_in_upper: bool) -> None:
    """A directory over a file, a file over a directory, and a file as a parent."""
    world.file("d/a/b")
    world.file("e/dir")
    world.file("f")
    there = world.upper if is_in_upper else world.lower
    put(there, "file")
    put(there, "x/a")
    (there / "y" / "dir").mkdir(parents=True)
    (there / "z").mkdir()
    (there / "z" / "a").symlink_to("/y")
    failures = {}
    for source, destination in [
        ("d", "/file"),
        ("d", "/x"),
        ("e", "/y"),
        ("d", "/z"),
        ("f", "/file/"),
        ("f", "/file/x"),
        ("f", "/file/x/y"),
    ]:
        with pytest.raises(CopyConflict) as caught:
            world.copy(source, destination)
        failures[source, destination] = caught.value.message

    assert failures == {
        ("d", "/file"): 'cannot copy to non-directory "/file"',
        ("d", "/x"): 'cannot copy to non-directory "/x/a"',
        ("e", "/y"): 'cannot replace to directory "/y/dir" with file',
        ("d", "/z"): 'cannot copy to non-directory "/z/a"',
        ("f", "/file/"): 'cannot copy to non-directory "/file"',
        ("f", "/file/x"): 'cannot copy to non-directory "/file"',
        ("f", "/file/x/y"): '"/file" is not a directory',
    }


# --- metadata ---


def test_a_made_destination_is_0755_and_roots(world: World) -> None:
    """Whatever the source directory's mode and owner are; below it they count."""
    world.file("d/sub/f")
    os.chown(world.source / "d", 5, 6)
    os.chown(world.source / "d" / "sub", 5, 6)
    (world.source / "d").chmod(0o700)
    (world.source / "d" / "sub").chmod(0o2750)
    world.copy("d", "/x/y")

    assert world.entries() == {
        "x": "dir 755 0:0",
        "x/y": "dir 755 0:0",
        "x/y/sub": "dir 2750 0:0",
        "x/y/sub/f": "file 644 0:0 x",
    }


def test_merged_directories(world: World) -> None:
    """The destination keeps mode and owner; directories below take the source's."""
    world.file("d/sub/f")
    (world.source / "d").chmod(0o700)
    (world.source / "d" / "sub").chmod(0o750)
    put(world.lower, "x/sub/g")
    for name in ("x", "x/sub"):
        (world.lower / name).chmod(0o711)
        os.chown(world.lower / name, 3, 4)
    world.copy("d", "/x")

    assert world.entries() == {
        "x": "dir 711 3:4",
        "x/sub": "dir 750 0:0",
        "x/sub/f": "file 644 0:0 x",
    }
    assert world.merged("x/sub/g").kind == "file"


def test_an_empty_directory_is_merged_too(world: World) -> None:
    """A directory without contents still brings its mode."""
    (world.source / "d" / "sub").mkdir(parents=True, mode=0o700)
    (world.lower / "x" / "sub").mkdir(parents=True)
    world.copy("d", "/x")

    assert world.entries()["x/sub"] == "dir 700 0:0"


def test_owners(world: World) -> None:
    """A context's files are root's, a stage's keep their ids, --chown beats both and reaches new parents."""
    world.file("d/f")
    (world.source / "d" / "link").symlink_to("f")
    for name in ("d", "d/f", "d/link"):
        os.chown(world.source / name, 5, 6, follow_symlinks=False)
    world.copy("d", "/context")
    world.copy("d", "/stage", keeps_owner=True)
    world.copy("d", "/new/chown", owner=(7, 8), keeps_owner=True)

    owners = {path: what.split()[2] for path, what in world.entries().items()}
    assert owners == {
        "context": "0:0",
        "context/f": "0:0",
        "context/link": "0:0",
        "stage": "0:0",
        "stage/f": "5:6",
        "stage/link": "5:6",
        "new": "7:8",
        "new/chown": "7:8",
        "new/chown/f": "7:8",
        "new/chown/link": "7:8",
    }


def test_modes_are_kept_whatever_the_umask(world: World) -> None:
    """Execute and special bits survive, a change of owner too."""
    modes = [0o000, 0o444, 0o666, 0o755, 0o777, 0o4755, 0o2711, 0o6711, 0o1666]
    for mode in modes:
        world.file(f"d/{mode:04o}", mode=mode)
    old = os.umask(0o077)
    try:
        world.copy("d", "/x", owner=(5, 6))
    finally:
        os.umask(old)

    assert {f"x/{mode:04o}": f"file {mode:o} 5:6 x" for mode in modes} == {
        path: what for path, what in world.entries().items() if path != "x"
    }
    assert world.entries()["x"] == "dir 755 5:6"


def test_an_octal_mode_reaches_everything_new(world: World) -> None:
    """Files, directories, made parents (without special bits); existing directories and links are left."""
    world.file("d/sub/f")
    (world.source / "d" / "link").symlink_to("sub")
    (world.lower / "old").mkdir(mode=0o700)
    world.copy("d", "/new/x", mode="2644")
    world.copy("d", "/old", mode="711")

    assert world.entries() == {
        "new": "dir 644 0:0",
        "new/x": "dir 644 0:0",
        "new/x/link": "link 777 0:0 sub",
        "new/x/sub": "dir 2644 0:0",
        "new/x/sub/f": "file 2644 0:0 x",
        "old": "dir 700 0:0",
        "old/link": "link 777 0:0 sub",
        "old/sub": "dir 711 0:0",
        "old/sub/f": "file 711 0:0 x",
    }


def test_a_symbolic_mode_changes_each(world: World) -> None:
    """From what it had; made parents stay 0755."""
    world.file("d/run", mode=0o700)
    world.file("d/sub/text", mode=0o600)
    (world.source / "d" / "sub").chmod(0o700)
    world.copy("d", "/x", mode="u=rwX,go=rX")

    assert world.entries() == {
        "x": "dir 755 0:0",
        "x/run": "file 755 0:0 x",
        "x/sub": "dir 755 0:0",
        "x/sub/text": "file 644 0:0 x",
    }


def test_times_are_kept_to_the_nanosecond(world: World) -> None:
    """Of files, links and directories, the destination included; single files leave a directory's alone."""
    world.file("d/sub/f")
    (world.source / "d" / "link").symlink_to("f")
    os.mkfifo(world.source / "d" / "fifo")
    for name in ("d/link", "d/fifo", "d/sub", "d"):
        os.utime(world.source / name, ns=(OLD, OLD), follow_symlinks=False)
    (world.lower / "there").mkdir()
    world.copy("d", "/there")
    world.copy("d", "/new")
    world.copy("d/sub/f", "/new/again")

    for top in ("there", "new"):
        assert world.merged(f"{top}/sub/f").mtime_ns == FILE_TIME
        for name in ("link", "fifo", "sub"):
            assert world.merged(f"{top}/{name}").mtime_ns == OLD
    assert world.merged("there").mtime_ns == OLD
    assert world.merged("new").mtime_ns != OLD


def test_parents_that_are_only_passed_through_keep_everything(world: World) -> None:
    """Copying up /usr for /usr/share/x keeps its mode, owner and time; /usr/share gets a new time."""
    world.file("f")
    put(world.lower, "usr/share/doc/a")
    (world.lower / "usr" / "lib").mkdir()
    for name in ("usr/share/doc", "usr/share", "usr/lib", "usr"):
        (world.lower / name).chmod(0o711)
        os.chown(world.lower / name, 3, 4)
        os.utime(world.lower / name, ns=(OLD, OLD))
    world.copy("f", "/usr/share/doc/")
    world.copy("f", "/usr/lib/")
    world.copy("f", "/usr/share/doc/more")

    whats = {path: world.entries()[path] for path in ("usr", "usr/share", "usr/share/doc", "usr/lib")}
    assert set(whats.values()) == {"dir 711 3:4"}
    times = {path: world.merged(path).mtime_ns == OLD for path in whats}
    assert times == {"usr": True, "usr/share": True, "usr/share/doc": False, "usr/lib": False}


# --- kinds ---


def test_links_in_a_directory_stay_links(world: World) -> None:
    """Absolute, dangling and hostile ones are copied by their text."""
    targets = {"abs": "/etc/passwd", "up": "../../../../x", "dangling": "nowhere", "odd": "caf\udce9"}
    (world.source / "d").mkdir()
    for name, target in targets.items():
        (world.source / "d" / name).symlink_to(target)
    world.copy("d", "/x")

    assert {f"x/{name}": f"link 777 0:0 {target}" for name, target in targets.items()} == {
        path: what for path, what in world.entries().items() if path != "x"
    }


def test_special_files(world: World) -> None:
    """Devices and fifos are made anew, a socket becomes an empty file."""
    directory = world.source / "d"
    directory.mkdir()
    os.mknod(directory / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(directory / "loop", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    os.mkfifo(directory / "fifo", 0o600)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(directory / "sock"))
    listener.close()
    for name in ("null", "loop", "fifo", "sock"):
        (directory / name).chmod(0o640)
    world.copy("d", "/x")

    kinds = {name: world.merged(f"x/{name}") for name in ("null", "loop", "fifo", "sock")}
    assert {name: (e.kind, e.mode, e.rdev, e.size) for name, e in kinds.items()} == {
        "null": ("char", 0o640, os.makedev(1, 3), 0),
        "loop": ("block", 0o640, os.makedev(7, 0), 0),
        "fifo": ("fifo", 0o640, 0, 0),
        "sock": ("file", 0o640, 0, 0),
    }


def test_a_device_that_would_be_a_whiteout_is_refused(world: World) -> None:
    """A 0:0 device in the source must not delete a file of the image."""
    put(world.lower, "x/secret")
    (world.source / "d").mkdir()
    os.mknod(world.source / "d" / "secret", stat.S_IFCHR, 0)

    with pytest.raises(DeviceDenied):
        world.copy("d", "/x")
    assert world.merged("x/secret").kind == "file"


def test_hard_links_within_a_directory(world: World) -> None:
    """Names of one file stay names of one file; across sources they become files of their own."""
    world.file("d/a", "linked", 0o600)
    (world.source / "d" / "sub").mkdir()
    os.link(world.source / "d" / "a", world.source / "d" / "sub" / "b")
    os.link(world.source / "d" / "a", world.source / "elsewhere")
    report = world.copy("d", "/x", owner=(5, 6))
    world.copy("d/a", "/y/")
    world.copy("elsewhere", "/y/")

    assert world.merged("x/a").ino == world.merged("x/sub/b").ino
    assert world.merged("x/a").nlink == 2
    assert world.entries()["x/sub/b"] == "file 600 5:6 linked"
    assert world.merged("y/a").nlink == world.merged("y/elsewhere").nlink == 1
    assert report == CopyReport(2, 6, ())


def test_a_hard_link_to_a_name_that_was_replaced(world: World) -> None:
    """A later directory of one wildcard may take the first name away; the other name keeps its content."""
    world.file("d1/f", "linked")
    world.file("d2/f", "other")
    os.link(world.source / "d1" / "f", world.source / "d2" / "g")
    world.copy("d*", "/x")

    assert world.entries() == {
        "x": "dir 755 0:0",
        "x/f": "file 644 0:0 other",
        "x/g": "file 644 0:0 linked",
    }


def test_capabilities_are_kept(world: World) -> None:
    """security.capability survives a copy with a new owner; other attributes do not matter."""
    path = world.file("d/f", mode=0o755)
    os.setxattr(path, "security.capability", CAPABILITY)
    world.copy("d", "/x", owner=(5, 6))

    assert os.getxattr(world.upper / "x" / "f", "security.capability") == CAPABILITY


def test_names_that_are_not_utf8(world: World) -> None:
    """Bytes go through unchanged."""
    put(world.source, "d/caf\udce9/\udcff", "odd")
    world.copy("d", "/x\udcfe")

    assert world.entries()["x\udcfe/caf\udce9/\udcff"] == "file 644 0:0 odd"


# --- hostile trees ---


@pytest.mark.parametrize("link", ["/OUT", "../../../../../../../../../../OUT", "../OUT"])
def test_a_destination_link_stays_inside(world: World, tmp_path: Path, link: str) -> None:
    """A link of the image that points out of it leads to the same name inside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    target = link.replace("OUT", str(outside).lstrip("/"))
    world.file("d/f", "x")
    (world.lower / "evil").symlink_to(target)
    world.copy("d/f", "/evil/")
    world.copy("d", "/evil/deeper")

    assert list(outside.iterdir()) == []
    assert world.merged(f"{str(outside).lstrip('/')}/f").kind == "file"


def test_a_link_that_was_copied_is_not_written_through(world: World, tmp_path: Path) -> None:
    """A first directory plants a link, a second one has a directory of that name."""
    outside = tmp_path / "outside"
    outside.mkdir()
    world.file("d2/evil/f")
    (world.source / "d1").mkdir()
    (world.source / "d1" / "evil").symlink_to(outside)

    with pytest.raises(CopyConflict):
        world.copy("d*", "/x")
    assert list(outside.iterdir()) == []


# --- changes during the build ---


def hashed(world: World, *sources: str) -> ContentRecord:
    record: ContentRecord = {}
    content_digest(DirectoryTree(str(world.source)), sources, record=record)
    return record


def test_an_unchanged_tree_is_copied_as_hashed(world: World) -> None:
    """Files, links, directories and the root itself."""
    world.file("d/sub/f")
    (world.source / "d" / "link").symlink_to("sub")

    assert world.copy("d", "/x", record=hashed(world, "d")).changed == ()
    assert world.copy(".", "/y", record=hashed(world, ".")).changed == ()
    assert world.copy("d/*", "/z", record=hashed(world, "d/*")).changed == ()


def test_changes_after_hashing_are_reported(world: World) -> None:
    """Edited, replaced, added and removed paths, each by name."""
    for name in ("same", "edited", "removed", "mode", "replaced"):
        world.file(f"d/{name}")
    (world.source / "d" / "sub").mkdir()
    record = hashed(world, "d")
    world.file("d/edited", "y")
    (world.source / "d" / "removed").unlink()
    (world.source / "d" / "mode").chmod(0o755)
    (world.source / "d" / "sub").chmod(0o700)
    (world.source / "d" / "replaced").unlink()
    (world.source / "d" / "replaced").symlink_to("same")
    world.file("d/added")
    report = world.copy("d", "/x", record=record)

    assert sorted(report.changed) == [
        "d/added", "d/edited", "d/mode", "d/removed", "d/replaced", "d/sub",
    ]  # fmt: skip


def test_a_change_while_copying_is_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written to while it is read."""
    world.file("d/f", "x")
    real = clone.copy_bytes

    def slow(source: int, target: int, st: os.stat_result) -> None:
        real(source, target, st)
        world.file("d/f", "changed")

    monkeypatch.setattr(copy_module, "copy_bytes", slow)

    assert world.copy("d", "/x", record=hashed(world, "d")).changed == ("d/f",)
    assert world.copy("d", "/y").changed == ("d/f",)


def test_files_that_vanish_or_turn_are_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between listing a directory and opening its files anything may happen to them."""
    for name in ("a-gone", "b-link", "c-fifo", "d-dir"):
        world.file(f"d/{name}")
    (world.source / "d" / "e-link").symlink_to("x")
    real = os.open
    is_done: list[bool] = []

    def late(path: str, flags: int, mode: int = 0o777) -> int:
        if path.startswith(str(world.source)) and not is_done:
            is_done.append(True)
            for entry in list((world.source / "d").iterdir()):
                entry.unlink()
            (world.source / "d" / "b-link").symlink_to("/etc/hostname")
            os.mkfifo(world.source / "d" / "c-fifo")
            (world.source / "d" / "d-dir").mkdir()
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", late)
    report = world.copy("d", "/x")

    assert report == CopyReport(0, 0, ("d/a-gone", "d/b-link", "d/c-fifo", "d/d-dir", "d/e-link"))


def test_a_file_that_may_not_be_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is named."""
    world.file("d/f")
    real = os.open

    def denied(path: str, flags: int, mode: int = 0o777) -> int:
        if path.startswith(str(world.source)):
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(UnreadableSource) as caught:
        world.copy("d", "/x")

    assert caught.value.message == 'cannot read "d/f": Permission denied'


# --- bytes ---


@pytest.mark.parametrize("way", ["as it is", "without sharing", "without copy_file_range"])
@pytest.mark.parametrize("size", [0, 1, 64 << 10, (64 << 10) + 1, (2 << 20) + 3])
def test_bytes_arrive_in_every_way(
    world: World, monkeypatch: pytest.MonkeyPatch, way: str, size: int
) -> None:
    """Small and large, with whatever the file system can do."""
    data = os.urandom(size)
    (world.source / "f").write_bytes(data)
    if way != "as it is":
        monkeypatch.setattr(clone, "_share", lambda source, target, device: False)
    if way == "without copy_file_range":

        def unable(*args: object) -> int:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "copy_file_range", unable)
    report = world.copy("f", "/f")

    assert report == CopyReport(1, size, ())
    assert (world.upper / "f").read_bytes() == data


def test_holes_stay_holes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file of 64 MiB with 1 MiB of data takes about that much."""
    monkeypatch.setattr(clone, "_share", lambda source, target, device: False)
    with open(world.source / "sparse", "wb") as file:
        file.seek(8 << 20)
        file.write(b"a" * (1 << 20))
        file.truncate(64 << 20)
    world.copy("sparse", "/sparse")
    st = (world.upper / "sparse").stat()

    assert (world.upper / "sparse").read_bytes() == (world.source / "sparse").read_bytes()
    assert st.st_size == 64 << 20
    assert st.st_blocks * 512 < 2 << 20


def test_a_stack_of_lowers_is_a_source(world: World, tmp_path: Path) -> None:
    """COPY --from sees a stage merged: whiteouts hide, upper files win."""
    for layer, name, data in [("l1", "s/a", "old"), ("l1", "s/gone", "x"), ("l2", "s/a", "new")]:
        put(tmp_path / layer, name, data)
    os.mknod(tmp_path / "l2" / "s" / "gone", stat.S_IFCHR, 0)
    tree = StackedTree([str(tmp_path / "l2"), str(tmp_path / "l1")])
    copy(world.editor, tree, select(tree, "/s"), "/x", keeps_owner=True)

    assert world.entries() == {"x": "dir 755 0:0", "x/a": "file 644 0:0 new"}
