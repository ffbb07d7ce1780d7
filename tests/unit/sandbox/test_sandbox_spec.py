"""What is sent to the launcher."""

from __future__ import annotations

import marshal

import pytest

from builder.core.mount import Mount
from builder.sandbox.capabilities import DEFAULT, mask
from builder.sandbox.seccomp import filter_program
from builder.sandbox.spec import InvalidSandbox, SandboxSpec
from builder.sandbox.steps import plan

_ROOT = Mount("bind", "/root/fs", "/")


def test_encode():
    """Text becomes UTF-8 with escaped bytes as they were; defaults are BuildKit's."""
    data = SandboxSpec(args=("ä", "\udcff"), mounts=(_ROOT,), env=("A=1",)).encode(has_stdin=True)

    assert marshal.loads(data) == {
        "args": (b"\xc3\xa4", b"\xff"),
        "env": (b"A=1",),
        "cwd": b"/",
        "user": "",
        "hostname": "buildkitsandbox",
        "network": "host",
        "mounts": (("bind", b"/root/fs", b"/", ()),),
        "is_privileged": False,
        "is_read_only": False,
        "is_terminal": False,
        "has_stdin": True,
        "rlimits": (),
        "shm_size": 64 << 20,
        "cgroups": (),
        "secrets": (),
        "filter_program": filter_program("", mask(DEFAULT)),
        "has_no_new_privileges": False,
        "are_paths_masked": True,
        "is_confined": False,
        "device_program": -1,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"args": ()},
        {"args": ("a\0b",)},
        {"args": ("\ud800",)},
        {"cwd": ""},
        {"cwd": "a"},
        {"env": ("=x",)},
        {"env": ("x",)},
        {"network": "bridge"},
        {"mounts": ()},
        {"mounts": (Mount("bind", "/a", "/b"),)},
        {"mounts": (_ROOT, Mount("bind", "/a", "b"))},
        {"mounts": (_ROOT, Mount("bind", "/a", "/b\0"))},
        {"mounts": (_ROOT, Mount("nfs", "/a", "/b"))},
    ],
)
def test_nonsense(changes):
    """What cannot be carried out is refused here."""
    with pytest.raises(InvalidSandbox):
        SandboxSpec(args=("true",), mounts=(_ROOT,))._replace(**changes).encode()


def _plan(**changes):
    data = SandboxSpec(args=("true",), mounts=(_ROOT,))._replace(**changes).encode()
    return [operation.describe() for operation in plan(marshal.loads(data))]


def test_plan():
    """The plan of a plain step, in order."""
    assert _plan(mounts=(_ROOT, Mount("tmpfs", "", "/tmp/x", ("size=1m",)))) == [
        "make the root file system: bind of /root/fs",
        "mount proc on /proc",
        "mount sysfs on /sys (ro)",
        "mount /dev, /dev/pts, /dev/shm, /dev/mqueue",
        "let no device node of the root file system open, unless a control group decides",
        "mask /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list "
        "/proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap; "
        "make read-only /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger",
        "mount tmpfs (size=1m) on /tmp/x",
        'change to the working directory "/"',
        'set the hostname "buildkitsandbox"',
        'look up user "0"',
        'become user "0" with the default capabilities, a seccomp filter of 704 instructions',
    ]


def test_plan_of_the_options():
    """Each option adds or takes away its operations."""
    assert "bring up the loopback interface" in _plan(network="none")
    assert "make the root file system read-only" in _plan(is_read_only=True)
    privileged = _plan(is_privileged=True)
    assert "mount sysfs on /sys" in privileged
    assert not [line for line in privileged if line.startswith("mask")]
