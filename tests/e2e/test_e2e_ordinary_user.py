"""An ordinary user with subordinate ids builds what root builds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pybuild, write_project
from tests.support.stores import Write
from tests.support.users import UID, OrdinaryUser, ordinary_user

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

# Owners and modes, a file capability, a deleted and a replaced directory, links, a user of its own.
_DOCKERFILE = """\
FROM busybox AS made
RUN mkdir -p /a/b /gone && echo 1 > /a/b/1 && echo 2 > /gone/2 && chown -R 33:65535 /a && chmod 2750 /a/b
FROM made
COPY --chown=1000:100 --chmod=4755 tool /bin/tool
COPY --from=made /a /copied
RUN rm -r /gone && rm -r /a && mkdir /a && ln -s /etc /a/etc && ln /bin/tool /tool && mkfifo /a/fifo
RUN echo ann:x:70:70::/home/ann:/bin/sh >> /etc/passwd && mkdir -p /home/ann && chown 70:70 /home/ann
USER ann
WORKDIR /home/ann
RUN id -u > mine
"""
_EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


@pytest.fixture
def user(pybuild: Pybuild, tmp_path: Path) -> Iterator[OrdinaryUser]:
    """With the base image that root has."""
    archive = pybuild.save("busybox", tmp_path / "busybox.tar")
    with ordinary_user() as found:
        found("load", input=archive.read_bytes())
        yield found


def _project(user: OrdinaryUser, dockerfile: str = _DOCKERFILE) -> Path:
    return write_project(user.home / "project", dockerfile, {"tool": "#!/bin/sh\necho tool\n"})


def test_the_same_image_as_root(pybuild: Pybuild, user: OrdinaryUser, write: Write) -> None:
    """Bit for bit, under another umask: owners, modes, deletions and links are those that steps meant."""
    ours = write(_DOCKERFILE, {"tool": "#!/bin/sh\necho tool\n"})
    theirs = _project(user)
    # The base came as an archive, in another form.
    output = "type=image,force-compression=true"
    named = ("--rewrite-timestamp", "-t", "made", "--output", output, "--metadata-file")
    mine = pybuild.build(ours, *named, pybuild.home / "metadata", env=_EPOCH)
    made = user.build(theirs, *named, user.home / "metadata", env=_EPOCH, before=lambda: os.umask(0o077))

    assert made.image == mine.image
    digests = [
        json.loads((command.home / "metadata").read_text())["containerimage.digest"]
        for command in (pybuild, user)
    ]
    assert digests[0] == digests[1]
    assert user.build(theirs, "--rewrite-timestamp", env=_EPOCH).steps == {
        name: "CACHED" for name in made.steps if name.startswith("[")
    }


def test_root_of_a_container_is_the_user_outside(user: OrdinaryUser) -> None:
    """It may do in its container what root does, and is nobody but the caller to the machine."""
    shown = user("run", "--rm", "busybox", "cat", "/proc/self/uid_map", "/proc/self/status").out
    lines = shown.splitlines()
    user("run", "--rm", "-v", f"{user.home}:/home", "busybox", "touch", "/home/touched")
    written = user("run", "--rm", "-v", "/etc:/host", "busybox", "touch", "/host/made-by-test", code=None)

    assert lines[0].split() == ["0", str(UID), "1"]
    assert lines[1].split() == ["1", "700000", "65536"]
    assert "CapEff:\t00000000a80425fb" in lines
    assert "Seccomp:\t2" in lines
    assert (user.home / "touched").stat().st_uid == UID
    assert written.code != 0
    assert "Permission denied" in written.err
    assert user.run("busybox", "ls", "/sys/fs/cgroup") == ""


def test_networks_and_limits(user: OrdinaryUser) -> None:
    """A network of its own works; a limit that a user cannot set is said aloud."""
    alone = user("run", "--rm", "--network", "none", "--memory", "64m", "busybox", "ip", "-o", "link")

    assert [line.split()[1] for line in alone.out.splitlines()] == ["lo:"]
    assert "warning: --memory is not enforced" in alone.err


def test_files_of_an_image_belong_to_the_caller(user: OrdinaryUser) -> None:
    """What leaves the store is a file like any other."""
    context = _project(user, "FROM scratch\nCOPY --chown=7:7 tool /tool\n")
    user.build(context, "-o", f"type=local,dest={user.home}/out")

    assert (user.home / "out/tool").stat().st_uid == UID


def test_removed_without_a_trace(user: OrdinaryUser) -> None:
    """Also the files that belong to no id of the user."""
    user.build(_project(user), "-t", "made")
    user("rmi", "made", "busybox")
    user("image", "prune", "--force")

    owners = {path.stat().st_uid for path in (user.root / "snapshots-v1").rglob("*") if not path.is_symlink()}
    assert UID in owners | {UID}


def test_without_subordinate_ids(pybuild: Pybuild, tmp_path: Path) -> None:
    """Nothing can be run, and the error says what the user lacks, and what gives it."""
    archive = pybuild.save("busybox", tmp_path / "busybox.tar")
    with ordinary_user(lent="somebody:100000:65536\n") as user:
        user("load", input=archive.read_bytes())
        failed = user("run", "busybox", "true", code=125)
        copied = user.build(_project(user, "FROM scratch\nCOPY tool /\n"), code=1)

    for outcome in (failed, copied):
        assert "error[owner-denied]" in outcome.err
        assert "uidmap" in outcome.err
        assert "/etc/subuid" in outcome.err
