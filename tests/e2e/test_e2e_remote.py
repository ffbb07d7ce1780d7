"""Builds that read more than a folder: addresses, repositories, archives, standard input, other contexts."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Pybuild, write_project
from tests.support.processes import assert_intact
from tests.support.repositories import Repository
from tests.support.web import Reply, WebServer

pytestmark = pytest.mark.e2e

_OLD = "Sun, 02 Feb 2020 00:00:00 GMT"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer.open() as server:
        yield server


def archive(files: dict[str, str], *, mode: str = "w:gz", uid: int = 0, mtime: int = 0) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.mtime = len(content), uid, mtime
            tar.addfile(member, io.BytesIO(content.encode()))
    return stream.getvalue()


def stat_of(pybuild: Pybuild, image: str, *paths: str) -> str:
    return pybuild.run(image, "stat", "-c", "%a %u:%g %Y %n", *paths)


def test_add_url(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """A file of the web is root's, 0600 and as old as the server says; the next build only asks."""
    server.answers["/f.txt"] = lambda asked: (
        Reply(304)
        if asked.headers["If-None-Match"]
        else Reply(200, b"web", {"ETag": '"1"', "Last-Modified": _OLD})
    )
    url = server.url("/f.txt")
    project = write_project(
        tmp_path / "p", f"FROM busybox\nADD {url} /d/\nADD --chmod=644 --chown=1:2 {url} /e\n"
    )
    first = pybuild.build(project, "-t", "x")
    second = pybuild.build(project)

    assert stat_of(pybuild, "x", "/d/f.txt", "/e") == "600 0:0 1580601600 /d/f.txt\n644 1:2 1580601600 /e\n"
    assert server.requests == ["GET /f.txt", "HEAD /f.txt"]
    assert second.image == first.image
    assert set(second.steps.values()) == {"CACHED"}
    assert_intact(pybuild.root)


def test_changed_url(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """A changed file is copied anew, one with other times only is not."""
    project = write_project(tmp_path / "p", f"FROM busybox\nADD {server.url('/f')} /f\n")
    server.answers["/f"] = Reply(200, b"one", {"Last-Modified": _OLD})
    first = pybuild.build(project)
    server.answers["/f"] = Reply(200, b"one")
    same = pybuild.build(project)
    server.answers["/f"] = Reply(200, b"two")
    changed = pybuild.build(project, "-t", "x")

    assert same.image == first.image != changed.image
    assert pybuild.run("x", "cat", "/f") == "two"


def test_checksum(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """With a checksum the second build asks nobody, and wrong bytes fail at their line."""
    digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # of "one"
    server.answers["/f"] = Reply(200, b"one")
    project = write_project(
        tmp_path / "p", f"FROM busybox\nADD --checksum=sha256:{digest} {server.url('/f')} /f\n"
    )
    pybuild.build(project)
    server.answers["/f"] = Reply(200, b"evil")
    pybuild.build(project)
    assert server.requests == ["GET /f"]

    (project / "Dockerfile").write_text(
        f"FROM busybox\nADD --checksum=sha256:{'0' * 64} {server.url('/f')} /f\n"
    )
    failed = pybuild.build(project, code=1)
    assert "error[digest-mismatch]" in failed.err
    assert "Dockerfile:2" in failed.err


def test_unpack(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """Archives of URLs are unpacked where it is asked for, those of the context unless it is forbidden."""
    server.answers["/a.tgz"] = Reply(200, archive({"in": "x"}))
    url = server.url("/a.tgz")
    project = write_project(
        tmp_path / "p",
        f"FROM busybox\nADD {url} /a/\nADD --unpack=true {url} /b/\nADD l.tgz /c/\n"
        "ADD --unpack=false l.tgz /d/\n",
        {"l.tgz": archive({"in": "x"})},
    )
    pybuild.build(project, "-t", "x")

    assert pybuild.run("x", "ls", "/a", "/b", "/c", "/d").split() == [
        "/a:", "a.tgz", "/b:", "in", "/c:", "in", "/d:", "l.tgz",
    ]  # fmt: skip


def test_secret_parts_of_addresses_are_nowhere(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """Logins and keys in addresses are sent, and neither shown nor kept; the error of one neither."""
    server.answers["/f"] = Reply(200, b"one")
    url = server.url("/f?token=canary").replace("://", "://u:canary@")
    project = write_project(tmp_path / "p", "ARG URL\nFROM busybox\nARG URL\nADD $URL /f\n")
    built = pybuild.build(project, "--build-arg", f"URL={url}", "-t", "x")
    failed = pybuild.build(project, "--build-arg", f"URL={url.replace('/f', '/nowhere')}", code=1)

    assert server.asked[0].headers["Authorization"] is not None
    assert "canary" not in built.err + failed.err
    assert "canary" not in str(pybuild.inspect("x")) + pybuild("history", "--no-trunc", "x").out
    held = [p for p in pybuild.root.rglob("*") if p.is_file() and b"canary" in p.read_bytes()]
    assert held == []


def test_add_git(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """A repository's files are added; the next build asks for its refs only, and sees a new commit."""
    server.backend = tmp_path / "repositories"
    repository = Repository(server.backend, "r")
    repository.commit({"d/f": "one", "d/run": "#!x", "d/link": "-> f"})
    project = write_project(tmp_path / "p", f"FROM busybox\nADD {server.url('/r.git#main:d')} /d\n")
    first = pybuild.build(project, "-t", "x")
    asked = len(server.asked)
    second = pybuild.build(project)

    assert pybuild.run("x", "stat", "-c", "%a %u:%g %n", "/d/f", "/d/run") == "644 0:0 /d/f\n755 0:0 /d/run\n"
    assert pybuild.run("x", "cat", "/d/link") == "one"
    assert second.image == first.image
    assert not any("POST" in each and "fetch" in each for each in server.requests[asked:])
    repository.commit({"d/f": "two"})
    pybuild.build(project, "-t", "x")
    assert pybuild.run("x", "cat", "/d/f") == "two"


def test_git_context(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """The context may be a directory of a repository; its .dockerignore has no effect, as in BuildKit."""
    server.backend = tmp_path / "repositories"
    Repository(server.backend, "r").commit(
        {
            "app/Dockerfile": "FROM busybox\nCOPY . /c\n",
            "app/other": "FROM busybox\nCOPY . /o\n",
            "app/.dockerignore": "f",
            "app/f": "x",
        }
    )
    url = server.url("/r.git#main:app")
    first = pybuild("build", "-t", "x", url)
    second = pybuild("build", "--progress", "plain", url)
    pybuild("build", "-t", "y", "-f", "other", url)

    assert pybuild.run("x", "cat", "/c/f") == "x"
    assert second.image == first.image
    assert set(second.steps.values()) == {"CACHED"}
    assert pybuild.run("y", "ls", "/o").split() == ["Dockerfile", "f", "other"]
    assert "dockerfile-not-found" in pybuild("build", "-f", "nowhere", url, code=1).err


def test_web_context(pybuild: Pybuild, server: WebServer) -> None:
    """An address gives an archive to build, owners included, or a Dockerfile alone."""
    server.answers["/c"] = Reply(200, archive({"Dockerfile": "FROM busybox\nCOPY . /c\n", "f": "x"}, uid=7))
    server.answers["/d"] = Reply(200, b"FROM busybox\nCOPY . /c\n")
    pybuild("build", "-t", "x", server.url("/c"))
    pybuild("build", "-t", "y", server.url("/d"))

    assert pybuild.run("x", "stat", "-c", "%u", "/c/f") == "7\n"
    assert pybuild.run("y", "ls", "/c") == "context\n"
    assert "url-not-found" in pybuild("build", server.url("/nowhere"), code=1).err


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
def test_archive_on_standard_input(pybuild: Pybuild, mode: str) -> None:
    """`build -` takes an archive, compressed or not; the same one again is cached."""
    data = archive({"sub/Dockerfile": "FROM busybox\nCOPY f /f\n", "f": "x"}, mode=mode)
    first = pybuild("build", "-f", "sub/Dockerfile", "-t", "x", "-", input=data)
    second = pybuild("build", "--progress", "plain", "-f", "sub/Dockerfile", "-", input=data)

    assert pybuild.run("x", "cat", "/f") == "x"
    assert second.image == first.image
    assert set(second.steps.values()) == {"CACHED"}


def test_time_of_the_context(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """SOURCE_DATE_EPOCH=context: of the commit, the answer or the newest file; a folder has none."""
    text = "FROM busybox\nARG SOURCE_DATE_EPOCH\nCOPY Dockerfile /d\nRUN echo $SOURCE_DATE_EPOCH > /e\n"
    server.backend = tmp_path / "repositories"
    Repository(server.backend, "r").commit({"Dockerfile": text})
    stored = archive({"Dockerfile": text, "f": "x"}, mtime=1_500_000_000)
    server.answers["/dated"] = Reply(200, stored, {"Last-Modified": _OLD})
    server.answers["/undated"] = Reply(200, stored)

    def built(context: str, **more: Any) -> tuple[str, str]:
        pybuild("build", "-t", "x", context, env={"SOURCE_DATE_EPOCH": "context"}, **more)
        return pybuild.inspect("x")["Created"], pybuild.run("x", "cat", "/e")

    assert built(server.url("/r.git")) == ("2020-09-13T12:26:40Z", "1600000000\n")
    assert stat_of(pybuild, "x", "/d").split()[2] == "1600000000"
    assert built(server.url("/dated")) == ("2020-02-02T00:00:00Z", "1580601600\n")
    assert built(server.url("/undated")) == ("2017-07-14T02:40:00Z", "1500000000\n")
    assert built("-", input=stored) == ("2017-07-14T02:40:00Z", "1500000000\n")
    project = write_project(tmp_path / "p", text)
    assert built(str(project))[1] == "\n"
    checkout = server.url("/r.git?mtime=checkout")
    refused = pybuild("build", checkout, env={"SOURCE_DATE_EPOCH": "context"}, code=1)
    assert "error[unsupported]" in refused.err


def test_dockerfile_on_standard_input(pybuild: Pybuild, tmp_path: Path) -> None:
    """`build -` takes a Dockerfile alone, `build -f - DIR` one with a context."""
    pybuild("build", "-t", "x", "-", input=b"FROM busybox\nRUN echo x > /f\n")
    project = write_project(tmp_path / "p", "FROM nosuch\n", {"f": "x", "g": "x", ".dockerignore": "g"})
    pybuild("build", "-t", "y", "-f", "-", project, input=b"FROM busybox\nCOPY . /c/\n")

    assert pybuild.run("x", "cat", "/f") == "x\n"
    assert pybuild.run("y", "ls", "/c").split() == ["Dockerfile", "f"]
    failed = pybuild("build", "-", input=b"FROM busybox\nCOPY f /f\n", code=1)
    assert "error[no-context]" in failed.err
    assert "COPY f /f" in failed.err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["-f", "-", "-"], "at once"),
        (["-f", "x", "-"], "two Dockerfiles"),
        (["/nowhere"], "not a directory"),
        (["https:///x"], "names no host"),
        (["https://h/r.git#-x"], "no branch or tag"),
        (["--build-context", "a", "."], "incomplete"),
        (["--build-context", "A=.", "."], "invalid"),
        (["--build-context", "a=/nowhere", "."], "not a directory"),
        (["--build-context", "a=target:x", "."], "no such kind"),
        (["--build-context", "a=ftp://h/x", "."], "no such kind"),
    ],
)
def test_mistakes(pybuild: Pybuild, tmp_path: Path, words: list[str], part: str) -> None:
    """What cannot be a context is refused with the reason."""
    project = write_project(tmp_path / "p", "FROM busybox\n")
    failed = pybuild("build", *words, cwd=project, input=b"FROM busybox\n", code=1)

    assert part in failed.err
    assert failed.err.count("error[") == 1


def test_named_contexts(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """A name stands for a folder, an image, a layout, a repository or a file of the web, before all else."""
    server.backend = tmp_path / "repositories"
    Repository(server.backend, "r").commit({"g": "git"})
    server.answers["/w"] = Reply(200, b"web")
    folder = write_project(
        tmp_path / "folder", "", {"l": "local", "no": "x", ".dockerignore": "no\nDockerfile"}
    )
    pybuild("save", "--format", "oci-dir", "-o", tmp_path / "layout", "busybox")
    project = write_project(
        tmp_path / "p",
        "FROM nosuch AS stage\nRUN false\nFROM base\nCOPY --from=stage / /s\nCOPY --from=repo / /s\n"
        "COPY --from=web / /s\nCOPY --from=image /bin/busybox /s/\nRUN ls /s > /list\n",
    )
    pybuild.build(
        project,
        *("-t", "x"),
        *("--build-context", f"stage={folder}"),
        *("--build-context", f"base=oci-layout://{tmp_path / 'layout'}"),
        *("--build-context", f"repo={server.url('/r.git')}"),
        *("--build-context", f"web={server.url('/w')}"),
        *("--build-context", "image=docker-image://busybox"),
    )

    assert pybuild.run("x", "cat", "/list").split() == ["busybox", "g", "l", "w"]


def test_folder_as_a_base(pybuild: Pybuild, tmp_path: Path) -> None:
    """A folder can be what FROM begins with, and a change in it is seen."""
    folder = write_project(tmp_path / "folder", "", {"f": "one"})
    project = write_project(tmp_path / "p", "FROM base\nCOPY --from=busybox / /\n")
    options = ("-t", "x", "--build-context", f"base={folder}")
    pybuild.build(project, *options)
    (folder / "f").write_text("two")
    pybuild.build(project, *options)

    assert pybuild.run("x", "cat", "/f") == "two"


def test_mounts(pybuild: Pybuild, tmp_path: Path) -> None:
    """A mount may be from a named context; without any context it shows an empty folder."""
    folder = write_project(tmp_path / "folder", "", {"f": "one"})
    text = (
        b"FROM busybox\n"
        b"RUN --mount=from=other,target=/m cat /m/f > /got\n"
        b"RUN --mount=target=/m ls -A /m > /none\n"
    )
    pybuild("build", "-t", "x", "--build-context", f"other={folder}", "-", input=text)

    assert pybuild.run("x", "cat", "/got", "/none") == "one"


def test_secret_for_an_address(pybuild: Pybuild, server: WebServer, tmp_path: Path) -> None:
    """A token for the host is sent, and is no part of what is kept."""
    server.answers["/f"] = Reply(200, b"one")
    project = write_project(tmp_path / "p", f"FROM busybox\nADD {server.url('/f')} /f\n")
    secret = f"id=HTTP_AUTH_TOKEN_127.0.0.1:{server.port},env=TOKEN"
    pybuild.build(project, "--secret", secret, env={"TOKEN": "canary"})
    held = [p for p in pybuild.root.rglob("*") if p.is_file() and b"canary" in p.read_bytes()]

    assert server.asked[0].headers["Authorization"] == "Bearer canary"
    assert held == []


def test_dockerfile_that_is_an_address_is_refused(pybuild: Pybuild, tmp_path: Path) -> None:
    """By its name, not as a file that is missing."""
    outcome = pybuild("build", "-f", "https://host.example/Dockerfile", tmp_path, code=1)

    assert "a Dockerfile that is an address" in outcome.err
