"""`run`, `ps`, `rm`: containers from images."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import BUG, Pybuild, finish
from tests.support.processes import descendants, wait_until
from tests.support.stores import Write

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("instructions", "options", "command", "expected"),
    [
        ('CMD ["echo", "cmd"]', [], [], "cmd"),
        ('CMD ["echo", "cmd"]', [], ["echo", "given"], "given"),
        ('ENTRYPOINT ["echo", "entry"]\nCMD ["cmd"]', [], [], "entry cmd"),
        ('ENTRYPOINT ["echo", "entry"]\nCMD ["cmd"]', [], ["given", "more"], "entry given more"),
        ('ENTRYPOINT ["echo", "entry"]\nCMD ["cmd"]', ["--entrypoint", "echo"], ["x"], "x"),
        ('ENTRYPOINT ["echo", "entry"]\nCMD ["cmd"]', ["--entrypoint", "echo"], [], ""),
        ('ENTRYPOINT ["echo", "entry"]\nCMD ["cmd"]', ["--entrypoint="], ["echo", "bare"], "bare"),
        ("ENTRYPOINT echo shell $0\nCMD ignored", [], ["ignored"], "shell ignored"),
        ('CMD echo "$HOME"', [], [], "/root"),
    ],
)
def test_command_is_merged(
    instructions: str, options: list[str], command: list[str], expected: str, pybuild: Pybuild, write: Write
) -> None:
    """ENTRYPOINT, CMD, --entrypoint and the words after the image, as Docker puts them together."""
    pybuild.build(write(f"FROM busybox\n{instructions}\n"), "-t", "made")

    assert f"{expected}\n" == pybuild("run", "--rm", *options, "made", *command).out


def test_environment(pybuild: Pybuild, write: Write) -> None:
    """ENV, then -e; -e NAME takes the caller's value, or unsets; nothing else of the caller is there."""
    pybuild.build(write("FROM busybox\nENV A=image B=image C=image\n"), "-t", "made")
    options = ["-e", "B=flag", "-e", "C", "--env", "D", "-e", "E=x=y", "--hostname", "box"]
    out = pybuild("run", "--rm", *options, "made", "env", env={"D": "caller", "X": "leak"}).out

    names = dict(line.split("=", 1) for line in out.splitlines())
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert {
        "A": "image", "B": "flag", "D": "caller", "E": "x=y", "HOSTNAME": "box", "HOME": "/root",
        "PATH": path,
    } == names  # fmt: skip


def test_volumes(pybuild: Pybuild, tmp_path: Path) -> None:
    """-v shows a folder or a file, writable unless :ro; a missing source is made."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/in").write_text("in\n")
    (tmp_path / "file").write_text("file\n")
    volumes = [
        "-v",
        f"{tmp_path}/folder:/a/b",
        "-v",
        f"{tmp_path}/file:/etc/file:ro",
        "-v",
        f"{tmp_path}/new:/new:rw",
    ]
    script = "cat /a/b/in /etc/file; echo out > /a/b/out; echo x > /new/made; echo no > /etc/file"
    done = pybuild("run", "--rm", *volumes, "busybox", "sh", "-c", script, code=1)

    assert done.out == "in\nfile\n"
    assert "Read-only" in done.err
    assert tuple((tmp_path / name).read_text() for name in ("folder/out", "new/made", "file")) == (
        "out\n",
        "x\n",
        "file\n",
    )


def test_read_only_volume_holds_for_what_is_mounted_below(pybuild: Pybuild, tmp_path: Path) -> None:
    """:ro is no suggestion: neither chmod nor removal nor a new file."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x").write_text("x")
    script = "rm /d/x; chmod 777 /d/x; touch /d/y; mv /d/x /d/z; true"
    pybuild("run", "--rm", "-v", f"{tmp_path}/data:/d:ro", "busybox", "sh", "-c", script)

    assert [(p.name, p.read_text(), p.stat().st_mode & 0o777) for p in (tmp_path / "data").iterdir()] == [
        ("x", "x", 0o644)
    ]


def test_directory_user_and_hostname(pybuild: Pybuild, write: Write) -> None:
    """-w, -u and --hostname win over WORKDIR and USER."""
    pybuild.build(write("FROM busybox\nWORKDIR /made\nUSER nobody\n"), "-t", "made")
    script = "pwd; id -u; id -g; hostname"
    plain = pybuild("run", "--rm", "made", "sh", "-c", script).out.split()
    given = pybuild(
        "run", "--rm", "-w", "/tmp", "-u", "33:50", "--hostname", "h0st", "made", "sh", "-c", script
    ).out.split()

    assert plain[:3] == ["/made", "65534", "65534"]
    assert given == ["/tmp", "33", "50", "h0st"]


def test_network_none(pybuild: Pybuild) -> None:
    """Only the loopback device is there, and it is its own."""
    out = pybuild("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net").out

    assert out == "lo\n"


@pytest.mark.parametrize("code", [0, 1, 3, 42, 255])
def test_exit_code_is_the_commands(code: int, pybuild: Pybuild) -> None:
    pybuild.run("busybox", "sh", "-c", f"exit {code}", code=code)


def test_exit_codes_of_what_cannot_run(pybuild: Pybuild, write: Write) -> None:
    """127: no such program; 126: not executable; 125: pybuild itself refused; 128+N: killed by a signal."""
    pybuild.run("busybox", "/no/such/program", code=127)
    pybuild.run("busybox", "no-such-program", code=127)
    pybuild.run("busybox", "/etc/passwd", code=126)
    pybuild.run("busybox", "/etc", code=126)
    pybuild("run", "--rm", "--pull=never", "no-such-image", code=125)
    pybuild("run", "--rm", "-u", "nobody-here", "busybox", "true", code=125)
    pybuild("run", "--rm", "-v", "nonsense", "busybox", "true", code=125)
    pybuild.build(write("FROM scratch\nLABEL a=b\n"), "-t", "void")
    pybuild("run", "--rm", "void", code=125)
    pybuild.run("busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?", code=137)
    assert pybuild("ps", "-aq").out == ""


def test_wrong_usage_of_run(pybuild: Pybuild) -> None:
    """An unknown flag, or no image, is wrong usage; flags after the image are the command's."""
    pybuild("run", "--no-such-flag", "busybox", code=2)
    pybuild("run", code=2)

    assert pybuild.run("busybox", "echo", "--rm", "-x") == "--rm -x\n"


def test_standard_input(pybuild: Pybuild) -> None:
    """-i gives the caller's input to the container; without it the input is empty."""
    data = os.urandom(300_000).hex().encode()
    given = pybuild("run", "--rm", "-i", "busybox", "md5sum", input=data)
    withheld = pybuild("run", "--rm", "busybox", "wc", "-c", input=data)
    import hashlib

    assert hashlib.md5(data, usedforsecurity=False).hexdigest() in given.out  # noqa: TID251 (the tool at hand)
    assert withheld.out == "0\n"


def test_output_is_the_commands(pybuild: Pybuild) -> None:
    """Both streams arrive apart, as bytes, and nothing is added to them."""
    done = pybuild("run", "--rm", "busybox", "sh", "-c", r"printf 'a\377b'; printf 'err' >&2")

    assert (done.out, done.err) == ("a\udcffb", "err")


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT]
)
def test_signals_are_forwarded(number: signal.Signals, pybuild: Pybuild) -> None:
    """The command's handler runs, and its exit code is ours."""
    trap = f"trap 'echo caught; exit 33' {number.name.removeprefix('SIG')}"
    script = f"{trap}; echo ready; while :; do sleep 0.05; done"
    process = pybuild.start("run", "--rm", "busybox", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    outcome = finish(process)

    assert (outcome.code, outcome.out) == (33, "caught\n")


def test_killed_run_takes_the_container_along(pybuild: Pybuild) -> None:
    """SIGKILL of `run` ends the container; `ps` knows; it can be removed."""
    process = pybuild.start(
        "run", "--name", "victim", "busybox", "sh", "-c", "sleep 900 & echo up; sleep 901"
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    finish(process)

    assert pybuild("ps", "-q").out == ""
    assert "Exited (137)" in pybuild("ps", "-a").out
    pybuild("rm", "victim")
    assert os.listdir(pybuild.root / "containers-v1") == []


def test_ps_and_rm(pybuild: Pybuild) -> None:
    """A running container is in `ps` and cannot be removed, nor its image; afterwards it is in `ps -a`."""
    process = pybuild.start("run", "-i", "--name", "here", "busybox", "cat", stdin=subprocess.PIPE)
    wait_until(lambda: b"cat" in _commands(process.pid), watched=process.pid)
    running = pybuild("ps").out
    refused = pybuild("rm", "here", code=1)
    taken = pybuild("run", "--name", "here", "busybox", "true", code=125)
    pybuild("rmi", "busybox", code=1)
    outcome = finish(process)

    assert outcome.code == 0
    assert "here" in running
    assert "Up " in running
    assert "running" in refused.err
    assert '"here"' in taken.err
    assert "here" not in pybuild("ps").out
    assert "Exited (0)" in pybuild("ps", "-a").out
    document = pybuild.inspect("here")
    assert (document["State"]["Status"], document["State"]["ExitCode"]) == ("exited", 0)
    identifier = pybuild("ps", "-aq").out.strip()
    pybuild("rm", identifier[:6])
    assert pybuild("ps", "-aq").out == ""
    assert os.listdir(pybuild.root / "containers-v1") == []


def _commands(pid: int) -> list[bytes]:
    found = []
    for child in descendants(pid):
        try:
            found.append(Path(f"/proc/{child}/cmdline").read_bytes().partition(b"\0")[0])
        except OSError:
            continue
    return found


def test_containers_share_the_image(pybuild: Pybuild, write: Write) -> None:
    """Two containers of one image take no more space than each writes; neither sees the other's files."""
    big = 8 << 20
    pybuild.build(write("FROM busybox\nCOPY big /big\n", {"big": os.urandom(big)}), "-t", "big")
    before = _usage(pybuild.root)
    for name in ("one", "two"):
        pybuild(
            "run",
            "--name",
            name,
            "big",
            "sh",
            "-c",
            f"ls /mark-*; echo {name} > /mark-{name}; cat /big > /dev/null",
        )
    grown = _usage(pybuild.root) - before

    assert grown < big / 8
    pybuild("rm", "one", "two")


def test_container_does_not_change_its_image(pybuild: Pybuild) -> None:
    """What a container writes and removes is gone with it."""
    pybuild.run("busybox", "sh", "-c", "echo x > /new; rm -rf /etc/passwd /home; chmod 700 /tmp")

    assert (
        pybuild.run("busybox", "sh", "-c", "[ ! -e /new ] && [ -e /home ] && ls -ld /tmp | cut -c1-10")
        == "drwxrwxrwt\n"
    )


def _usage(root: Path) -> int:
    return int(
        subprocess.run(["du", "-sB1", root], capture_output=True, text=True, check=True).stdout.split()[0]
    )


def test_run_by_id_and_by_name(pybuild: Pybuild) -> None:
    """An image is found by its id, by the beginning of it, and by every spelling of its name."""
    identifier = pybuild.inspect("busybox")["Id"]
    for name in (identifier, identifier[7:19], "busybox:latest", "docker.io/library/busybox"):
        assert pybuild.run(name, "echo", "here") == "here\n"


def test_hostname_and_hosts_agree(pybuild: Pybuild) -> None:
    """The name resolves inside; the files may be written by the container, and are its own."""
    script = (
        "hostname; cat /etc/hostname; grep -c 'own-name' /etc/hosts;"
        " echo 10.0.0.1 added >> /etc/hosts; tail -n1 /etc/hosts"
    )
    out = pybuild("run", "--rm", "--hostname", "own-name", "busybox", "sh", "-c", script).out

    assert out.split() == ["own-name", "own-name", "1", "10.0.0.1", "added"]
    assert "added" not in pybuild.run("busybox", "cat", "/etc/hosts")


def test_commands_about_images(pybuild: Pybuild, write: Write) -> None:
    """`images`, `history`, `inspect`, `tag`, `rmi` agree about one image."""
    built = pybuild.build(write('FROM busybox\nRUN echo x > /x\nCMD ["cat", "/x"]\n'), "-t", "one:v1")
    pybuild("tag", "one:v1", "two")
    listed = pybuild("images", "--no-trunc").out
    history = [
        json.loads(line)
        for line in pybuild("history", "--no-trunc", "--format", "json", "one:v1").out.splitlines()
    ]

    assert listed.count(built.image) == 2
    assert {built.image, pybuild.inspect("busybox")["Id"]} == set(
        pybuild("images", "-q", "--no-trunc").out.split()
    )
    assert sorted(pybuild.inspect("two")["RepoTags"]) == ["one:v1", "two:latest"]
    assert history[0]["CreatedBy"] == 'CMD ["cat" "/x"]'
    assert built.image == history[0]["ID"]
    assert pybuild("rmi", "one:v1").out == "Untagged: one:v1\n"
    assert f"Untagged: two:latest\nDeleted: {built.image}\n" == pybuild("rmi", "two").out
    pybuild("inspect", "two", code=1)
    assert BUG not in pybuild("run", "--rm", "--pull=never", "two", code=125).err
