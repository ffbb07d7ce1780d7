"""Limits of a process: setrlimit, /dev/shm, control groups; and a privileged process."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from builder.core.events import Warned
from builder.core.job import Job
from builder.core.limits import Limits, Ulimit
from builder.executor.interface import ProcessIO, ProcessNotStarted, ProcessSpec
from builder.executor.local import LocalExecutor
from builder.sandbox.capabilities import NAMES
from builder.sandbox.cgroup import Cgroups
from builder.sandbox.launch import SandboxFailed
from builder.sandbox.syscalls import capget

pytestmark = pytest.mark.sandbox


class Seen:
    """The warnings of a job."""

    def __init__(self):
        self.warnings = []

    def emit(self, event):
        if isinstance(event, Warned):
            self.warnings.append(event.message)


@pytest.fixture
def executor(launcher, tmp_path):
    cgroups = Cgroups(str(tmp_path / "records"))
    yield LocalExecutor(launcher, str(tmp_path / "files"), cgroups=lambda: cgroups)
    cgroups.close()
    assert not list((tmp_path / "records").glob("*"))


def _start(executor, box, seen, *args, **values):
    out = os.memfd_create("out")
    spec = ProcessSpec(args=args, **values)
    running = executor.start(
        spec, (box.overlay(),), ProcessIO(stdout=out, stderr=out), Job("test", progress=seen)
    )
    return running, out


def _run(executor, box, *args, **values):
    seen = Seen()
    running, out = _start(executor, box, seen, *args, **values)
    code = running.wait()
    text = os.pread(out, 1 << 20, 0).decode()
    os.close(out)
    return code, text, running.memory_shortage, seen.warnings


def test_ulimits(box):
    """Soft and hard limits of the program; a limit of descriptors that leaves no room for our own work."""
    script = "ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hc"
    limits = (Ulimit("nofile", 4, 99), Ulimit("core", 0, 0))

    assert box.shell(script, ulimits=limits).lines == ["4", "99", "0", "0"]
    assert box.shell(script).lines[1] == str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def test_ulimit_that_cannot_be(box):
    """The error names it, and what it would take."""
    above = Path("/proc/sys/fs/nr_open").read_text()
    with pytest.raises(SandboxFailed, match=r"ulimit nofile=.*CAP_SYS_RESOURCE"):
        box.run("true", ulimits=(Ulimit("nofile", int(above) + 1, int(above) + 1),))


def test_shm_size(box):
    """The size of /dev/shm, 64 MiB if nobody says."""

    def size(**values):
        return next(line for line in box.run("mount", **values).lines if " /dev/shm " in line)

    assert "size=65536k" in size()
    assert "size=1024k" in size(shm_size=1 << 20)


def _is_limited(warnings, option):
    """Whether this machine let us; if not, that it was said."""
    return f"{option} is not enforced" not in warnings


def test_memory(executor, box):
    """A process over its limit is killed, and the answer says why; another one of the same program is not."""
    script = 'x=0123456789abcdef; while [ ${#x} -lt 40000000 ]; do x="$x$x"; done; echo ${#x}'
    limited = _run(executor, box, "sh", "-c", script, limits=Limits(memory=8 << 20))
    free = _run(executor, box, "sh", "-c", script)

    assert free == (0, "67108864\n", None, [])
    if _is_limited(limited[3], "--memory"):
        assert limited[0] == 137
        assert limited[2].startswith("it may have 8 MiB of memory")


def test_pids(executor, box):
    """A program cannot have more processes than its limit."""
    script = "sleep 0 & sleep 0 & sleep 0 & wait"
    code, text, _, warnings = _run(executor, box, "sh", "-c", script, limits=Limits(pids=2))

    if _is_limited(warnings, "--pids-limit"):
        assert code != 0
        assert "can't fork" in text
    assert _run(executor, box, "sh", "-c", script)[0] == 0


def test_cpuset(executor, box):
    """The processors that a program may use."""
    script = "grep Cpus_allowed_list /proc/self/status"
    code, text, _, warnings = _run(executor, box, "sh", "-c", script, limits=Limits(cpuset_cpus="0"))

    assert code == 0
    if _is_limited(warnings, "--cpuset-cpus"):
        assert text.split() == ["Cpus_allowed_list:", "0"]


def test_cpus(executor, box):
    """Processor time and weight are in the group that the process is in; it goes with the process."""
    seen = Seen()
    running, out = _start(
        executor, box, seen, "sleep", "1000", limits=Limits(nano_cpus=500_000_000, cpu_shares=300)
    )
    membership = Path(f"/proc/{running.pid}/cgroup").read_text()
    groups = [line.rpartition(":")[2] for line in membership.splitlines()]
    paths = [path for path in groups if "pybuild-" in path and "pybuild-devices-" not in path]
    running.signal(9)
    running.wait()
    os.close(out)

    if _is_limited(seen.warnings, "--cpus"):
        assert len(set(paths)) == 1


def test_groups_of_the_program(executor, box):
    """It sees its own groups as the roots, whatever the caller's are called."""
    code, text, _, warnings = _run(executor, box, "cat", "/proc/self/cgroup", limits=Limits(pids=5))

    assert code == 0
    assert "pybuild-" not in text
    if _is_limited(warnings, "--pids-limit"):
        assert {line.rpartition(":")[2] for line in text.splitlines() if ":pids:" in line} <= {"/"}


def test_warnings_come_once(launcher, box, tmp_path):
    """What this machine cannot enforce is said once, and the process runs."""
    cgroups = Cgroups(str(tmp_path / "records"), hierarchies=[])
    executor = LocalExecutor(launcher, str(tmp_path / "files"), cgroups=lambda: cgroups)
    first = _run(executor, box, "true", limits=Limits(pids=5))
    second = _run(executor, box, "true", limits=Limits(pids=5, nano_cpus=10**9))

    assert first == (0, "", None, ["--pids-limit is not enforced"])
    assert second == (0, "", None, ["--cpus is not enforced"])


def test_a_refused_limit_leaves_nothing(executor, box):
    """A process that does not start has no group."""
    with pytest.raises(ProcessNotStarted):
        _run(executor, box, "nope", limits=Limits(pids=5))


def _capabilities(text):
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: int(value, 16) for key, _, value in pairs if key.startswith("Cap")}


def test_privileged_user(box):
    """5.2: with is_privileged a user has all capabilities, also over an execve, ambient ones included."""
    status = box.run("sh", "-c", "cat /proc/self/status", is_privileged=True, user="1234").out

    assert set(_capabilities(status).values()) == {capget()}
    assert capget() >> NAMES.index("SYS_ADMIN") & 1


def test_privileged_sees_the_host(box):
    """5.2: /sys and the control groups to be written, no masks, the devices that the host has."""
    script = "mount; ls /dev; ls /sys/fs/cgroup | wc -l"
    privileged, plain = box.shell(script, is_privileged=True), box.shell(script)
    special = [name for name in ("kmsg", "fuse", "kvm", "loop-control") if os.path.exists(f"/dev/{name}")]

    assert set(special) <= set(privileged.lines)
    assert not set(special) & set(plain.lines)
    assert "sysfs on /sys type sysfs (rw" in privileged.out
    assert "sysfs on /sys type sysfs (ro" in plain.out
    assert privileged.lines[-1] == str(len(os.listdir("/sys/fs/cgroup")))
    assert plain.lines[-1] == "0"
