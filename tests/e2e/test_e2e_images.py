"""Images at hand: lists, names, trees."""

from __future__ import annotations

import http.server
import io
import tarfile
import threading
from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_DOCKERFILE = (
    "FROM busybox\nLABEL kind=test\nRUN mkdir /d && echo 1 > /d/one && echo x > /gone\n"
    'RUN rm -r /gone /d && mkdir /d && echo 2 > /d/two && rm /etc/group\nCMD ["cat", "/d/two"]\n'
)


def _members(data: bytes) -> dict[str, tuple[bytes, int]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: (member.type, member.size) for member in tar}


def _export(pybuild: Pybuild, name: str, path: Path) -> bytes:
    pybuild("export", "-o", path, name)
    return path.read_bytes()


def test_filters_and_formats(pybuild: Pybuild, write: Write) -> None:
    """`images` and `image ls` list what a pattern, a label, an age or a missing name picks, as told."""
    pybuild.build(write(_DOCKERFILE), "-t", "team/app:1", "-t", "team/app:2")
    names = ("images", "--format", "{{.Repository}}:{{.Tag}}")

    assert "team/app:1\nteam/app:2\n" == pybuild(*names, "team/*").out
    assert "team/app:2\n" == pybuild(*names, "-f", "reference=*/app:2").out
    assert "" == pybuild(*names, "app").out
    assert "team/app:1\nteam/app:2\n" == pybuild(*names, "--filter", "label=kind=test").out
    assert "busybox:latest\n" == pybuild(*names, "--filter", "before=team/app:1").out
    assert "" == pybuild("images", "-q", "--filter", "dangling=true").out
    assert "" == pybuild(*names, "--filter", "until=1h", "team/*").out
    assert "team/app:1\nteam/app:2\n" == pybuild(*names, "--filter", "until=9999-01-01", "team/*").out
    assert "error[invalid-filter]" in pybuild("images", "-f", "until=soon", code=1).err
    table = "table {{.Repository}} {{.Tag}} {{.ID}} {{.Size}}"
    listed = pybuild("image", "ls", "--no-trunc=false", "--format", table).out
    assert pybuild("images", "--format", table).out == listed
    assert "test 4\n" == (
        pybuild("image", "inspect", "-f", '{{.Config.Labels.kind}} {{len "four"}}', "team/app:1").out
    )
    assert "error[invalid-filter]" in pybuild("images", "-f", "colour=red", code=1).err
    assert "error[invalid-format]" in pybuild("images", "--format", "{{.Colour}}", code=1).err


def test_sizes_are_those_of_the_files(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """As Docker counts: hard links once, deletions nothing, symbolic links in the lowest layer only.

    A layer that is loaded and not unpacked has the same size.
    """
    context = write(
        "FROM scratch AS low\nCOPY d /d\n"
        "FROM busybox\nRUN echo hello > /f; ln /f /g; ln -s abcdefghij /l; rm /bin/sh\nCOPY d /d\n",
        {"d/file": "12345"},
    )
    (context / "d/link").symlink_to("ten-bytes.")
    pybuild.build(context, "-t", "top")
    pybuild.build(context, "-t", "low", "--target", "low")
    archive, other = tmp_path / "both.tar", Pybuild(tmp_path / "other", tmp_path / "other-home")
    pybuild("save", "-o", archive, "top", "low")
    other("load", "-i", archive)
    for command in (pybuild, other):
        sizes = command("history", "--human=false", "--format", "{{.Size}}", "top").out.split()

        assert sizes[:2] == ["5", "6"]
        assert command.inspect("top")["Size"] == sum(map(int, sizes))
        assert command.inspect("low")["Size"] == 15
        assert command("images", "--format", "{{.Size}}", "low").out == "15B\n"


def test_history_says_what_was_written(pybuild: Pybuild, write: Write) -> None:
    """Blanks stay, and what is long is cut, as Docker does it; tabs are one blank."""
    pybuild.build(write('FROM scratch\nENV A="x   y"\nLABEL b="1\t2" c="%s"\n' % ("z" * 60)), "-t", "told")
    whole = pybuild("history", "--no-trunc", "--format", "{{.CreatedBy}}", "told").out.splitlines()
    short = pybuild("history", "--format", "{{.CreatedBy}}", "told").out.splitlines()

    assert whole == [f"LABEL b=1 2 c={'z' * 60}", "ENV A=x   y"]
    assert short == [f"{whole[0][:44]}…", whole[1]]


def test_names_go_one_by_one(pybuild: Pybuild, write: Write) -> None:
    """An id with several names, an image in use and a missing one are refused; the others go all the same."""
    id = pybuild.build(write(_DOCKERFILE), "-t", "one", "-t", "two").image
    pybuild("run", "--name", "user", "one")

    assert (
        "(must be forced) - image is referenced in multiple repositories"
        in pybuild("rmi", id[7:19], code=1).err
    )
    said = pybuild("rmi", "nothing", "two", code=1)
    assert ("Untagged: two:latest\n", True) == (said.out, '"nothing"' in said.err)
    assert "(must be forced) - image is being used by stopped container" in pybuild("rmi", "one", code=1).err
    assert f"Untagged: one:latest\nDeleted: {id}\n" == pybuild("rmi", "-f", id[7:19]).out
    assert 'no such image: "one"\n' == pybuild("rmi", "-f", "one").err


def test_prune_takes_what_has_no_name(pybuild: Pybuild, write: Write) -> None:
    """`image prune` asks first, and leaves names."""
    id = pybuild.build(write(_DOCKERFILE)).image

    assert "[y/N]" in pybuild("image", "prune", input=b"n\n").out
    assert f"Deleted Images:\ndeleted: {id}\n" == pybuild("image", "prune", "-f").out
    assert "" == pybuild("image", "prune", "-f").out
    assert "busybox" in pybuild("images").out


def test_squash(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """One layer, or one above the base; the same files, description and told history."""
    pybuild.build(write(_DOCKERFILE), "-t", "app")
    pybuild("squash", "-t", "flat", "app")
    pybuild("squash", "--from", "busybox", "-t", "thin", "app")
    tree = _export(pybuild, "app", tmp_path / "app.tar")
    base, thin = pybuild.inspect("busybox"), pybuild.inspect("thin")

    assert tree == _export(pybuild, "flat", tmp_path / "flat.tar")
    assert tree == _export(pybuild, "thin", tmp_path / "thin.tar")
    assert 1 == len(pybuild.inspect("flat")["RootFS"]["Layers"])
    assert (base["RootFS"]["Layers"], 2) == (thin["RootFS"]["Layers"][:1], len(thin["RootFS"]["Layers"]))
    assert pybuild.inspect("app")["Config"] == thin["Config"]
    assert "2\n" == pybuild.run("thin")
    told = pybuild("history", "--format", "{{.CreatedBy}}", "thin").out
    assert told.startswith("pybuild squash\nCMD")
    assert "error[no-such-layer]" in pybuild("squash", "--from", "app", "busybox", code=1).err


def test_export_and_import(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """The tree of a container goes out and comes in, from a file, a stream and an address."""
    pybuild.build(write(_DOCKERFILE), "-t", "app")
    pybuild("run", "--name", "c", "app", "sh", "-c", "echo mine > /mine; rm /d/two")
    data = _export(pybuild, "c", tmp_path / "c.tar")
    change = ("-c", 'CMD ["cat", "/mine"]', "-c", "ENV A=b", "-m", "hello")
    pybuild("import", *change, tmp_path / "c.tar", "made:1")
    pybuild("import", *change, "-", "made:2", input=data)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pybuild("import", f"http://127.0.0.1:{server.server_port}/c.tar", "made:3")
        server.shutdown()
    members = _members(data)

    assert {"mine", "d"} <= set(members)
    assert not {"d/two", "gone", "etc/group"} & set(members)
    assert "mine\n" == pybuild.run("made:1") == pybuild.run("made:2")
    assert (["A=b"], "hello") == (
        pybuild.inspect("made:1")["Config"]["Env"],
        pybuild.inspect("made:1")["Comment"],
    )
    assert 1 == len({pybuild.inspect(f"made:{i}")["RootFS"]["Layers"][0] for i in (1, 2, 3)})
    assert data == _export(pybuild, "made:1", tmp_path / "again.tar")
    assert "error[invalid-change]" in pybuild("import", "-c", "RUN id", tmp_path / "c.tar", code=1).err


def test_import_of_a_hostile_tar(pybuild: Pybuild, tmp_path: Path) -> None:
    """What leads out of the tree makes no image and touches nothing; what is no tar is said to be none."""
    target = tmp_path / "victim"
    target.mkdir()
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, str(target)
        tar.addfile(link)
        for name in ("out/file", "../../escape"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    (tmp_path / "noise").write_bytes(b"no tar" * 1000)
    pybuild("import", tmp_path / "evil.tar", "evil", code=None)
    failed = pybuild("import", tmp_path / "noise", "noise", code=1)

    assert [] == list(target.iterdir())
    assert [] == list(tmp_path.rglob("escape"))
    assert "error[bad-archive]" in failed.err
    assert "noise" not in pybuild("images").out
