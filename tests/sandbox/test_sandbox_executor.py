"""LocalExecutor: the files that it adds, cancel, and its errors."""

from __future__ import annotations

import os

import pytest

from builder.core.errors import Cancelled
from builder.core.job import Job
from builder.core.mount import Mount
from builder.executor.interface import ProcessIO, ProcessNotStarted, ProcessSpec, UnknownUser
from builder.executor.local import LocalExecutor

pytestmark = pytest.mark.sandbox


@pytest.fixture
def executor(launcher, tmp_path):
    return LocalExecutor(launcher, str(tmp_path / "files"), record_directory=str(tmp_path / "records"))


def _run(executor, box, *args, mounts=(), **values):
    out = os.memfd_create("out")
    spec = ProcessSpec(args=args, **values)
    code = executor.run(spec, (box.overlay(), *mounts), ProcessIO(stdout=out, stderr=out), Job("test"))
    text = os.pread(out, 1 << 20, 0).decode()
    os.close(out)
    return code, text


def test_hosts(executor, box):
    """/etc/hosts is BuildKit's, with the extra lines, and cannot be written."""
    code, text = _run(
        executor, box, "sh", "-c", "cat /etc/hosts; echo > /etc/hosts", extra_hosts=("192.0.2.7\tdb",)
    )

    assert code == 1
    assert text.startswith(
        "127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n192.0.2.7\tdb\n"
    )
    assert "Read-only file system" in text


def test_resolv_conf_of_the_host(executor, box):
    """In the host's network resolv.conf is the host's."""
    with open("/etc/resolv.conf") as file:
        expected = file.read()

    assert _run(executor, box, "cat", "/etc/resolv.conf") == (0, expected)


def test_own_files(executor, box, tmp_path):
    """Writable files are one process's own, with a hostname, and go with it."""
    script = "echo changed >> /etc/hosts && echo x > /etc/resolv.conf && cat /etc/hostname"
    values = {"are_files_writable": True, "hostname": "box"}

    assert _run(executor, box, "sh", "-c", script, **values) == (0, "box\n")
    assert "changed" not in _run(executor, box, "cat", "/etc/hosts", **values)[1]
    assert os.listdir(tmp_path / "files") == []


def test_files_of_the_caller_win(executor, box, tmp_path):
    """A mount on /etc/hosts replaces the generated one, and a parent comes before what lies in it."""
    (tmp_path / "hosts").write_text("mine\n")
    mounts = (
        Mount("tmpfs", "", "/data/deep"),
        Mount("bind", str(tmp_path / "hosts"), "/etc/hosts", ("ro",)),
        Mount("tmpfs", "", "/data"),
    )

    assert _run(executor, box, "sh", "-c", "cat /etc/hosts; ls /data", mounts=mounts) == (0, "mine\ndeep\n")


def test_nothing_of_the_files_is_in_the_layer(executor, box):
    """Where the mount points exist below, the upper directory stays empty."""
    (box.mount_points / "etc").mkdir()
    for name in ("hosts", "resolv.conf"):
        (box.mount_points / "etc" / name).write_text("")
    _run(executor, box, "true")

    assert os.listdir(box.upper) == []


def test_errors(executor, box, tmp_path):
    """Errors are the interface's, and leave no file behind."""
    with pytest.raises(UnknownUser):
        _run(executor, box, "true", user="nobody", are_files_writable=True)
    with pytest.raises(ProcessNotStarted) as caught:
        _run(executor, box, "nope", are_files_writable=True)

    assert caught.value.exit_code == 127
    assert os.listdir(tmp_path / "files") == []


def test_cancel_kills(executor, box):
    """Cancelling the job kills a running process, and nothing starts after it."""
    job = Job("test")
    read_end, write_end = os.pipe()
    io = ProcessIO(stdout=write_end, stderr=2)
    process = executor.start(
        ProcessSpec(args=("sh", "-c", "sleep 1000 & echo; sleep 1000")), [box.overlay()], io, job
    )
    os.read(read_end, 1)
    job.cancel.cancel()

    assert process.wait() == 137
    with pytest.raises(Cancelled):
        executor.start(ProcessSpec(args=("true",)), [box.overlay()], io, job)
    os.close(read_end)
    os.close(write_end)


def test_records(executor, box, tmp_path):
    """What was asked for is written down, for use by hand."""
    _run(executor, box, "true")
    (record,) = (tmp_path / "records").iterdir()

    assert record.name.startswith("test-")
    assert b"lowerdir+=" in record.read_bytes()
