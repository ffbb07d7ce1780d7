"""The same project at the same SOURCE_DATE_EPOCH is the same image, wherever and by whomever it is built."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.cli import Pybuild, write_project
from tests.support.images import layer_members, read_archive
from tests.support.stores import Write, copy_store

pytestmark = pytest.mark.e2e

EPOCH = 1_600_000_000
ENV = {"SOURCE_DATE_EPOCH": str(EPOCH)}
_PROJECT = """\
FROM busybox AS made
WORKDIR /made/here
RUN for n in c a b; do echo $n > $n; done && ln a z && ln -s a link && mkfifo pipe && touch -d @5 old
RUN hostname > host && echo $$ > pid && umask > umask && date -r a > /dev/null

FROM busybox
ARG SOURCE_DATE_EPOCH
WORKDIR /srv/app
COPY . .
COPY --from=made /made /copied
COPY --link program /linked/program
COPY <<text <<-more /texts/
one
text
	two
more
ADD files.tar /unpacked
RUN <<script
echo $SOURCE_DATE_EPOCH > /epoch
rm -rf /etc/group && mkdir -p /var/x && mv /srv/app/program /var/x
script
USER 5:6
WORKDIR /home/u
CMD ["sh"]
"""


def _project(directory: Path) -> Path:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("b", "a"):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid = 1, 2_000_000_000, 7
            tar.addfile(member, io.BytesIO(b"x"))
    files = {"program": b"#!/bin/sh\n", "deep/er/file": b"1", "files.tar": archive.getvalue()}
    return write_project(directory, _PROJECT, files)


class _Who(NamedTuple):
    """Who builds, and on how many processors."""

    umask: int
    jobs: int
    processors: int
    env: dict[str, str]

    def become(self) -> None:
        os.umask(self.umask)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: self.processors])


_WHO = (
    _Who(0o022, 1, 1, {"TZ": "UTC", "LANG": "C.UTF-8", "USER": "ann"}),
    _Who(0o077, 9, 99, {"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "USER": "bob", "COLUMNS": "40"}),
)


def test_same_image_for_everybody(base_store: Path, tmp_path: Path) -> None:
    """In two folders and two stores, by two people in two places of the world: the same manifest."""
    digests, images = [], []
    for number, who in enumerate(_WHO):
        project = _project(tmp_path / f"a folder {number}" / "project")
        for path in [project, *project.rglob("*")]:
            os.chown(path, number * 1000, number * 1000)
            os.utime(path, (EPOCH + 1000 * (number + 1),) * 2)
            # As a checkout under that umask leaves it.
            is_program = path.is_dir() or path.name == "program"
            path.chmod((0o777 if is_program else 0o666) & ~who.umask)
        pybuild = Pybuild(copy_store(base_store, tmp_path / f"store{number}"), tmp_path / f"home{number}")
        options = ["-t", "app", "--rewrite-timestamp", "--context-modes", "git", "--jobs", str(who.jobs)]
        pybuild.build(project, *options, env={**ENV, **who.env}, before=who.become)
        archive = pybuild.save("app", tmp_path / f"{number}.tar")
        with tarfile.open(archive) as tar:
            index = tar.extractfile("index.json")
            assert index is not None
            digests.append(json.loads(index.read())["manifests"][0]["digest"])
        images.append(read_archive(archive))
        shutil.rmtree(pybuild.root)

    assert digests[0] == digests[1]
    image = images[0]
    new = [member for layer in image.layers[1:] for member in layer_members(layer).values()]
    assert {0, 5, EPOCH} == {member.mtime for member in new}
    assert {0} == {member.mtime for member in new if ".wh." in member.name}
    assert f"{EPOCH}\n" == image.text("epoch")


def test_modes_of_a_checkout_count(base_store: Path, tmp_path: Path) -> None:
    """They are the umask's that git had: another one is another image, unless a build is told otherwise."""
    images = []
    for mode in (0o644, 0o600):
        project = write_project(tmp_path / oct(mode), "FROM busybox\nCOPY file /file\n", {"file": "1"})
        (project / "file").chmod(mode)
        pybuild = Pybuild(copy_store(base_store, tmp_path / f"store-{mode}"), tmp_path / "home")
        kept = pybuild.build(project, "--rewrite-timestamp", env=ENV)
        evened = pybuild.build(project, "--rewrite-timestamp", "--context-modes", "git", env=ENV)
        images += [kept.image, evened.image]

    assert images[0] != images[2]
    assert images[0] == images[1] == images[3]


def test_epoch_alone_leaves_file_times(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """As in BuildKit: dates of the config and directories of WORKDIR are set; files are rewritten if asked.

    Both images have layers of their own, and both are there again in a build that runs nothing.
    """
    context = write("FROM busybox\nWORKDIR /w\nRUN echo x > /new\n")
    plain = pybuild.build(context, "-t", "plain", env=ENV)
    rewritten = pybuild.build(context, "-t", "rewritten", "--rewrite-timestamp", env=ENV)
    image, other = (read_archive(pybuild.save(n, tmp_path / n)) for n in ("plain", "rewritten"))

    assert set(rewritten.steps.values()) <= {"CACHED"}
    assert "2020-09-13T12:26:40Z" == image.config["created"] == image.config["history"][-1]["created"]
    assert EPOCH == layer_members(image.layers[-2])["w"].mtime
    assert EPOCH < layer_members(image.layers[-1])["new"].mtime
    assert EPOCH == layer_members(other.layers[-1])["new"].mtime
    assert image.layers[0] == other.layers[0], "the base is untouched"
    assert plain.image == pybuild.build(context, env=ENV).image
    assert rewritten.image == pybuild.build(context, "--rewrite-timestamp", env=ENV).image


def test_rewritten_image_is_a_base_and_runs(pybuild: Pybuild, write: Write) -> None:
    """What sees its files sees the times that they have for everybody else."""
    context = write("FROM busybox\nRUN echo x > /new\nCOPY --link f /linked/f\n", {"f": "1"})
    pybuild.build(context, "-t", "base", "--rewrite-timestamp", env=ENV)
    above = write("FROM base\nRUN stat -c %Y /new /linked/f > /times\n", name="above")
    pybuild.build(above, "-t", "above", "--rewrite-timestamp", env=ENV)

    assert f"{EPOCH}\n{EPOCH}\n" == pybuild.run("above", "cat", "/times")
    assert f"{EPOCH}\n" == pybuild.run("base", "stat", "-c", "%Y", "/linked/f")
    layers = [pybuild.inspect(name)["RootFS"]["Layers"] for name in ("base", "above")]
    assert layers[0] == layers[1][:3]


def test_where_the_epoch_comes_from(pybuild: Pybuild, write: Write) -> None:
    """--build-arg before the environment, both before the default of an ARG above FROM."""
    context = write("ARG SOURCE_DATE_EPOCH=5\nFROM busybox\nENV a=1\n")
    found = []
    for options, env in (((), {}), ((), ENV), (("--build-arg", "SOURCE_DATE_EPOCH=0"), ENV)):
        pybuild.build(context, "-t", "app", *options, env=env)
        found.append(pybuild.inspect("app")["Created"])

    assert ["1970-01-01T00:00:05Z", "2020-09-13T12:26:40Z", "1970-01-01T00:00:00Z"] == found


def test_no_epoch_to_rewrite_to(pybuild: Pybuild, write: Write) -> None:
    """Asked for without a time, it is an error before anything runs."""
    failed = pybuild.build(write("FROM busybox\nRUN false\n"), "--rewrite-timestamp", code=1)

    assert "error[no-epoch]" in failed.err
    assert "RUN false" not in failed.err
