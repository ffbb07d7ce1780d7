"""ADD of a local archive, as Docker was seen to unpack it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from builder.fs.copy import CopyReport, copy
from builder.fs.editor import CopyConflict, TreeEditor
from builder.fs.limits import BadArchive
from builder.fs.mode import ModeChange
from builder.fs.select import select
from builder.fs.tree import DirectoryTree, StackedTree, TooManySymlinks
from builder.fs.upper import DeviceDenied

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def member(
    name: str,
    data: bytes | None = None,
    *,
    link: str = "",
    mode: int = 0o640,
    kind: bytes = b"",
    capability: bytes = b"",
) -> tuple[tarfile.TarInfo, bytes]:
    """A file with data, a directory if the name ends in a slash, a symbolic link with a target."""
    info = tarfile.TarInfo(name.rstrip("/") or name)
    info.uid, info.gid, info.mode, info.mtime = 11, 12, mode, 700_000_000
    info.type = kind or (
        tarfile.DIRTYPE if name.endswith("/") else tarfile.SYMTYPE if link else tarfile.REGTYPE
    )
    info.linkname = link
    content = b"hi" if data is None else data
    info.size = len(content) if info.type == tarfile.REGTYPE else 0
    if capability:
        text = capability.decode("utf-8", "surrogateescape")
        info.pax_headers = {"SCHILY.xattr.security.capability": text}
    return info, content


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class World:
    def __init__(self, root: Path) -> None:
        self.context, self.lower, self.upper = root / "context", root / "lower", root / "upper"
        for directory in (self.context, self.lower, self.upper):
            directory.mkdir()
        self.editor = TreeEditor(str(self.upper), StackedTree([str(self.lower)]))

    def add(
        self, data: bytes, destination: str = "/dest", *, owner: tuple[int, int] | None = None, mode: str = ""
    ) -> CopyReport:
        (self.context / "a.tar").write_bytes(data)
        os.chmod(self.context / "a.tar", 0o600)
        tree = DirectoryTree(str(self.context))
        change = ModeChange.parse(mode) if mode else None
        matches = select(tree, "a.tar")
        return copy(self.editor, tree, matches, destination, owner=owner, mode=change, unpacks=True)

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.upper)) for path in self.upper.rglob("*"))

    def facts(self) -> dict[str, str]:
        found = {}
        for name in self.names():
            st = (self.upper / name).lstat()
            text = f"{stat.filemode(st.st_mode)[0]} {stat.S_IMODE(st.st_mode):o} {st.st_uid}:{st.st_gid}"
            if stat.S_ISLNK(st.st_mode):
                text += f" {os.readlink(self.upper / name)}"
            found[name] = text
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("name", PACKERS)
def test_an_archive_is_known_by_its_content(world: World, name: str) -> None:
    """Whatever the file is called and however it is compressed."""
    world.add(PACKERS[name](archive(member("d/"), member("d/f", b"data"))))

    assert world.names() == ["dest", "dest/d", "dest/d/f"]
    assert (world.upper / "dest/d/f").read_bytes() == b"data"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage" * 300,
        archive(),
        gzip.compress(b"no archive", mtime=0),
        gzip.compress(archive(member("f")), mtime=0)[:20],
        b"\x1f\x8b\x08 broken",
        archive(member("f"))[:300],
    ],
)
def test_what_is_no_archive_is_copied_as_it_is(world: World, data: bytes) -> None:
    """Empty files, empty archives and files that break off before the first member."""
    report = world.add(data, "/dest/", owner=(3, 4), mode="755")

    assert world.facts() == {"dest": "d 755 3:4", "dest/a.tar": "- 755 3:4"}
    assert (world.upper / "dest/a.tar").read_bytes() == data
    assert report == CopyReport(1, len(data), ())


def test_an_archive_that_breaks_off_later_is_an_error(world: World) -> None:
    """Half an application is worse than none."""
    data = archive(member("first"), member("second", b"x" * 100_000))

    with pytest.raises(BadArchive):
        world.add(data[:50_000])


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_a_compressed_archive_that_breaks_off_is_an_error(
    world: World, compress: Callable[[bytes], bytes]
) -> None:
    """As with Docker, whose ADD fails with "unexpected EOF"; it is not taken for a file of another kind."""
    data = compress(archive(member("a", os.urandom(2 << 20)), member("b")))

    with pytest.raises(BadArchive, match="cut off"):
        world.add(data[: len(data) * 3 // 4])


def test_metadata_come_from_the_archive(world: World) -> None:
    """Owner, mode and time of members; parents that names imply are root's; --chmod is not used."""
    report = world.add(
        archive(
            member("imp/lied/x"),
            member("dd/", mode=0o2711),
            member("dd/y", mode=0o4755),
            member("hl", kind=tarfile.LNKTYPE, link="dd/y", mode=0o4755),
            member("s", link="/etc"),
            member("pipe", kind=tarfile.FIFOTYPE),
            member("cap", mode=0o755, capability=CAPABILITY),
        ),
        "/dest/",
        mode="700",
    )

    assert world.facts() == {
        "dest": "d 700 0:0",
        "dest/cap": "- 755 11:12",
        "dest/dd": "d 2711 11:12",
        "dest/dd/y": "- 4755 11:12",
        "dest/hl": "- 4755 11:12",
        "dest/imp": "d 755 0:0",
        "dest/imp/lied": "d 755 0:0",
        "dest/imp/lied/x": "- 640 11:12",
        "dest/pipe": "p 640 11:12",
        "dest/s": "l 777 11:12 /etc",
    }
    for name in ("dd", "dd/y", "s", "pipe", "cap", "imp/lied/x"):
        assert (world.upper / "dest" / name).lstat().st_mtime == 700_000_000
    assert (world.upper / "dest/hl").samefile(world.upper / "dest/dd/y")
    assert os.getxattr(world.upper / "dest/cap", "security.capability") == CAPABILITY
    assert report == CopyReport(7, 6, ())


def test_an_owner_is_given_to_all_that_the_archive_names(world: World) -> None:
    """Not to parents that it implies; new destination directories have it."""
    world.add(archive(member("imp/x"), member("d/"), member("s", link="x")), "/n1/n2", owner=(3, 4))

    assert {name: fact.split()[2] for name, fact in world.facts().items()} == {
        "n1": "3:4",
        "n1/n2": "3:4",
        "n1/n2/imp": "0:0",
        "n1/n2/imp/x": "3:4",
        "n1/n2/d": "3:4",
        "n1/n2/s": "3:4",
    }


def test_the_destination_keeps_what_it_has(world: World) -> None:
    """A member "." changes nothing; other existing directories take the archive's metadata."""
    (world.lower / "dest" / "old").mkdir(parents=True)
    os.chmod(world.lower / "dest", 0o700)
    (world.lower / "dest" / "old" / "inner").write_text("x")
    world.add(archive(member("./", mode=0o777), member("./f"), member("old/", mode=0o711)))

    assert world.facts() == {"dest": "d 700 0:0", "dest/f": "- 640 11:12", "dest/old": "d 711 11:12"}


def test_members_replace_what_is_there(world: World) -> None:
    """Files replace directories, directories replace files and links, and both may take turns."""
    (world.lower / "etc").mkdir()
    (world.lower / "dirf").mkdir()
    (world.lower / "dirf" / "inner").write_text("old")
    (world.lower / "filed").write_text("old")
    (world.lower / "le").symlink_to("/etc")
    world.add(
        archive(
            member("dirf"), member("filed/"), member("filed/x"), member("le/"), member("le/y"),
            member("turn"), member("turn/"), member("turn/z"), member("back/b"), member("back"),
        ),
        "/",
    )  # fmt: skip
    merged = StackedTree([str(world.upper), str(world.lower)])

    assert world.names() == ["back", "dirf", "filed", "filed/x", "le", "le/y", "turn", "turn/z"]
    assert merged.lookup("dirf/inner") is None
    assert [entry.path for entry in merged.children("etc")] == []


def test_a_file_cannot_have_children(world: World) -> None:
    """As in Docker, "not a directory"."""
    with pytest.raises(CopyConflict):
        world.add(archive(member("f"), member("f/sub")))


def test_a_destination_that_is_a_file(world: World) -> None:
    """Cannot be unpacked into."""
    (world.lower / "dest").write_text("x")

    with pytest.raises(CopyConflict):
        world.add(archive(member("f")))


def test_whiteouts_mean_nothing(world: World) -> None:
    """This is an archive, not a layer."""
    (world.lower / "dest").mkdir()
    (world.lower / "dest" / "foo").write_text("x")
    world.add(archive(member(".wh.foo"), member("d/.wh..wh..opq")))

    assert world.names() == ["dest", "dest/.wh.foo", "dest/d", "dest/d/.wh..wh..opq"]


# --- hostile archives; the destination is the root of every name ---


def test_names_stay_below_the_destination(world: World) -> None:
    """Absolute ones and dots in every position."""
    world.add(archive(member("../../up"), member("/abs/file"), member("a/../../../b"), member("./c/.//d")))

    assert world.names() == [
        "dest", "dest/abs", "dest/abs/file", "dest/b", "dest/c", "dest/c/d", "dest/up",
    ]  # fmt: skip


@pytest.mark.parametrize("target", ["/OUT", "../../../../../../../../OUT"])
@pytest.mark.parametrize("is_there_before", [False, True])
def test_links_lead_no_further_than_the_destination(
    world: World, tmp_path: Path, target: str, is_there_before: bool
) -> None:
    """A planted link to the host or to the image's /etc is followed within the destination."""
    outside = tmp_path / "outside"
    outside.mkdir()
    name = str(outside).lstrip("/")
    (world.lower / "dest" / name).mkdir(parents=True)
    members = [member("l/evil"), member("l/d/evil"), member("hard", kind=tarfile.LNKTYPE, link="l/evil")]
    if is_there_before:
        (world.lower / "dest" / "l").symlink_to(target.replace("OUT", name))
    else:
        members.insert(0, member("l", link=target.replace("OUT", name)))
    world.add(archive(*members))

    assert list(outside.iterdir()) == []
    assert (world.upper / "dest" / name / "evil").read_bytes() == b"hi"
    assert (world.upper / "dest" / name / "d" / "evil").read_bytes() == b"hi"


def test_a_link_up_stops_at_the_destination(world: World) -> None:
    """Not at the root of the image."""
    (world.lower / "etc").mkdir()
    members = [member("etc/"), member("up", link="../../.."), member("up/q"), member("e", link="/etc")]
    world.add(archive(*members, member("e/x")))

    assert world.names() == ["dest", "dest/e", "dest/etc", "dest/etc/x", "dest/q", "dest/up"]


@pytest.mark.parametrize("name", ["l/x", "l/d/x", "d/m/x/y"])
def test_nothing_is_made_behind_a_dangling_link(world: World, name: str) -> None:
    """The image's /etc is not below the destination, so a link to it leads nowhere."""
    (world.lower / "etc").mkdir()
    with pytest.raises(BadArchive) as caught:
        world.add(archive(member("l", link="/etc"), member("d/m", link="../none"), member(name)))

    assert caught.value.message == (
        f'"{name}" in the archive lies behind "{"l" if name[0] == "l" else "d/m"}", a link that leads nowhere'
    )


@pytest.mark.parametrize("link", ["/etc/passwd", "../../../etc/passwd", "etc/passwd", "none", ".", ""])
def test_hard_links_find_only_names_below_the_destination(world: World, link: str) -> None:
    """The host's and the image's files outside of it are not there."""
    (world.lower / "etc").mkdir()
    (world.lower / "etc" / "passwd").write_text("image")

    with pytest.raises(CopyConflict):
        world.add(archive(member("hl", kind=tarfile.LNKTYPE, link=link)))


def test_a_hard_link_to_a_file_of_the_image(world: World) -> None:
    """Takes a copy of it; the archive's metadata are then both names'."""
    (world.lower / "etc").mkdir()
    (world.lower / "etc" / "passwd").write_text("image")
    world.add(archive(member("hl", kind=tarfile.LNKTYPE, link="/etc/passwd")), "/")

    assert world.facts() == {"etc": "d 755 0:0", "etc/passwd": "- 640 11:12", "hl": "- 640 11:12"}
    assert (world.upper / "hl").samefile(world.upper / "etc/passwd")
    assert (world.lower / "etc/passwd").stat().st_uid == 0


def test_a_hard_link_to_a_link_is_a_link(world: World) -> None:
    """And what it leads to keeps its owner."""
    world.add(
        archive(member("f", mode=0o600), member("s", link="f"), member("h", kind=tarfile.LNKTYPE, link="s"))
    )

    assert world.facts()["dest/h"] == "l 777 11:12 f"
    assert world.facts()["dest/f"] == "- 600 11:12"


def test_capabilities_survive_a_hard_link(world: World) -> None:
    """A second name in the usual form changes nothing of the file."""
    world.add(
        archive(
            member("cap", mode=0o755, capability=CAPABILITY),
            member("again", kind=tarfile.LNKTYPE, link="cap", mode=0o755),
        )
    )

    assert os.getxattr(world.upper / "dest/again", "security.capability") == CAPABILITY


def test_a_whiteout_device_is_refused(world: World) -> None:
    """A 0:0 device in an archive must not delete a file of the image."""
    (world.lower / "dest").mkdir()
    (world.lower / "dest" / "f").write_text("x")

    with pytest.raises(DeviceDenied):
        world.add(archive(member("f", kind=tarfile.CHRTYPE)))


@pytest.mark.parametrize(
    "bad",
    [
        member("n" * 300),
        member("../..", kind=tarfile.REGTYPE),
        member("/", kind=tarfile.REGTYPE),
        member("s", link="x" * 5000),
        member("e", kind=tarfile.SYMTYPE),
    ],
)
def test_names_that_cannot_be_are_errors(world: World, bad: tuple[tarfile.TarInfo, bytes]) -> None:
    """What the kernel would refuse is the archive's fault, and the user is told so."""
    with pytest.raises(BadArchive):
        world.add(archive(member("good"), bad))


def test_links_in_a_circle_are_an_error(world: World) -> None:
    """Following them ends."""
    with pytest.raises(TooManySymlinks):
        world.add(archive(member("a", link="b"), member("b", link="a"), member("a/x")))
