"""What a RUN finds in its sandbox, and what of it must not stay in the layer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.images import layer_names, read_archive
from tests.support.stores import Write

pytestmark = pytest.mark.e2e


def _say(pybuild: Pybuild, write: Write, script: str, dockerfile: str = "FROM busybox\n") -> str:
    """What a script of a RUN step prints, through a file of the image."""
    context = write(f"{dockerfile}RUN <<'EOF'\n{{\n{script}\n}} > /said\nEOF\n")
    pybuild.build(context, "-t", "said")
    return pybuild.run("said", "cat", "/said")


def test_environment_is_the_images(pybuild: Pybuild, write: Write) -> None:
    """PATH, HOME, ENV and ARG; nothing of the caller."""
    said = _say(pybuild, write, "env | grep -v '^_=' | sort", "FROM busybox\nENV A=b\nARG C=d\n")

    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    # The shell itself adds PWD, SHLVL and OLDPWD.
    lines = [line for line in said.splitlines() if line.partition("=")[0] not in ("PWD", "SHLVL", "OLDPWD")]
    assert ["A=b", "C=d", "HOME=/root", f"PATH={path}"] == lines


def test_processes_are_its_own(pybuild: Pybuild, write: Write) -> None:
    """The command is process 1 and sees its own children only."""
    said = _say(pybuild, write, "echo $$; ls /proc | grep -c '^[0-9]'")

    first, count = said.split()
    assert first == "1"
    assert int(count) <= 4


def test_descriptors_are_the_three(pybuild: Pybuild, write: Write) -> None:
    """Nothing is open but the standard streams; standard input is empty."""
    # 3 is the one that ls reads the directory with.
    said = _say(pybuild, write, "ls /proc/self/fd; wc -c < /dev/stdin")

    assert said.split() == ["0", "1", "2", "3", "0"]


def test_mounts_name_no_path_of_the_host(pybuild: Pybuild, write: Write) -> None:
    """The mount table shows the root, the kernel's file systems and the resolver's files."""
    said = _say(pybuild, write, "cut -d' ' -f2 /proc/mounts")

    allowed = ("/", "/proc", "/sys", "/dev", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname")
    for point in said.split():
        assert point in allowed or point.startswith(("/proc/", "/sys/", "/dev/"))


def test_hosts_and_resolv_conf_stay_out_of_the_layer(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """They are readable in the step, cannot be removed by it, and the image has none of its own."""
    script = "cat /etc/hosts /etc/resolv.conf; echo x >> /etc/hosts; rm -f /etc/resolv.conf; true"
    pybuild.build(write(f"FROM busybox\nRUN {{ {script}; }} > /said 2>&1\n"), "-t", "files")
    image = read_archive(pybuild.save("files", tmp_path / "files.tar"))

    assert "localhost" in image.text("said")
    assert [name.strip("/") for name in layer_names(image.layers[-1])] == ["said"]


def test_step_that_changes_nothing_leaves_nothing(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Mount points, stubs, work directories: an empty layer has no entry, on an empty base too."""
    pybuild.build(write("FROM busybox\nRUN true\n"), "-t", "nothing")
    image = read_archive(pybuild.save("nothing", tmp_path / "nothing.tar"))

    assert layer_names(image.layers[-1]) == []


def test_sandbox_is_the_same_each_time(pybuild: Pybuild, write: Write) -> None:
    """Host name, user, directory, limits: what a step can see of its surroundings."""
    script = "hostname; id; pwd; umask; tty || true; cut -d' ' -f19 /proc/self/stat"
    said = _say(pybuild, write, script)

    lines = ["buildkitsandbox", "uid=0(root) gid=0(root) groups=0(root)", "/", "0022", "not a tty", "0"]
    assert lines == said.splitlines()


def test_background_process_ends_with_the_step(pybuild: Pybuild, write: Write) -> None:
    """A daemon that a step leaves behind is gone when the step is over, and does not hold it up."""
    done = pybuild.build(
        write("FROM busybox\nRUN sleep 800 & echo started\nRUN ps | grep -c '[s]leep' || true\n")
    )

    assert {"DONE"} == {state for name, state in done.steps.items() if "RUN" in name}


def test_host_is_out_of_reach(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Neither the host's files by way of /proc, nor its devices, nor its host name can be changed."""
    script = (
        f"cat /proc/1/root{tmp_path}/home/secret && echo read\n"
        "mknod /d b 254 0 && dd if=/d of=/dev/null count=1 2>/dev/null && echo device\n"
        "echo 1 2>/dev/null > /proc/sys/kernel/sysrq && echo sysctl\n"
        "mount -t tmpfs x /mnt 2>/dev/null && echo mounted\n"
        "echo x 2>/dev/null > /sys/kernel/uevent_helper && echo sys\n"
        "true"
    )
    (pybuild.home / "secret").write_text("secret")

    assert _say(pybuild, write, script) == ""


@pytest.mark.parametrize("code", [1, 2, 125, 126, 127, 255])
def test_exit_code_of_the_step_is_named(code: int, pybuild: Pybuild, write: Write) -> None:
    """pybuild's own code is 1, whatever the command's was."""
    failed = pybuild.build(write(f"FROM busybox\nRUN exit {code}\n"), code=1)

    assert f"exit code: {code}" in failed.err


def test_output_of_any_bytes(pybuild: Pybuild, write: Write) -> None:
    """Bytes that are no text, terminal control and lines without end do not stop a build or its output."""
    script = r"printf '\377\376\000\033[2J\r\n'; head -c 300000 /dev/zero | tr '\0' x; printf 'no end'"
    done = pybuild.build(write(f"FROM busybox\nRUN {script}\n"))

    assert "no end" in done.err
    assert "\x1b[2J" not in done.err


def test_store_is_private(pybuild: Pybuild) -> None:
    """Nobody else can read what the store holds, whatever the caller's umask."""
    pybuild("images", before=lambda: os.umask(0))
    names = (
        "content-v1/blobs/sha256",
        "snapshots-v1",
        "flat-v1",
        "containers-v1",
        "failed-v1",
        "logs-v1",
        "tmp",
    )

    assert [(name, (pybuild.root / name).stat().st_mode & 0o077) for name in names] == [
        (name, 0) for name in names
    ]
