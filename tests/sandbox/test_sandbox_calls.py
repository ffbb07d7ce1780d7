"""System calls made in a sandbox are answered as Docker answers them."""

from __future__ import annotations

import json
import os
import sys

import pytest

from builder.core.mount import Mount
from builder.core.security import UNCONFINED, Security
from builder.sandbox.spec import SandboxSpec
from tests.sandbox.conftest import Box

pytestmark = pytest.mark.sandbox

_REFUSED = """
acct add_key afs_syscall bpf clock_settime create_module delete_module fanotify_init finit_module fsconfig
fsmount fsopen fspick get_kernel_syms get_mempolicy getpmsg init_module io_uring_enter io_uring_register
io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages mount
mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd
pivot_root process_madvise putpmsg query_module quotactl quotactl_fd reboot request_key security
set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon _sysctl
sysfs syslog tuxcall umount2 unshare userfaultfd uselib ustat vhangup vserver
""".split()
_YOUNGER = range(457, 487)
_FAMILIES = {1: True, 2: True, 10: True, 16: True, 17: True, 38: False, 40: False}
_PERSONALITIES = {0: True, 8: True, 0x2_0000: True, 0x4_0000: False, 0x1_0000: False}
_USUAL = Security()
_NAMESPACES = (0x2_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000)

# Arguments of -1 are nothing that a call could do harm with, were it let through.
_PROGRAM = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
found = []
for number, first in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    arguments = [ctypes.c_long(first)] + [ctypes.c_long(-1)] * 5
    result = libc.syscall(ctypes.c_long(number), *arguments)
    found.append(ctypes.get_errno() if result < 0 else 0)
print(json.dumps(found))
"""


def _answers(box: Box, calls: list[tuple[int, int]], security: Security = _USUAL) -> list[int]:
    spec = box.spec("/bin/true", env=("LC_ALL=C.UTF-8",))
    python = os.path.realpath(sys.executable)
    spec = spec._replace(
        args=(python, "-I", "-S", "-c", _PROGRAM, json.dumps(calls)),
        mounts=(Mount("bind", "/", "/", ("ro",)),),
        security=security,
    )
    outcome = box.run_spec(spec)
    assert outcome.code == 0, outcome.err
    answers: list[int] = json.loads(outcome.out)
    return answers


def _status(box: Box, spec: SandboxSpec) -> dict[str, str]:
    pairs = (line.partition(":") for line in box.run_spec(spec).out.splitlines())
    return {key: value.strip() for key, _, value in pairs}


@pytest.fixture(scope="module")
def numbers() -> dict[str, int]:
    """Of the calls of this machine."""
    from importlib.resources import files

    table = files("builder.sandbox").joinpath("calls", f"{os.uname().machine}.json")
    known: dict[str, int] = json.loads(table.read_text())
    return known


def test_dangerous_calls(box: Box, numbers: dict[str, int]) -> None:
    """A hundred and more: refused with EPERM, and with ENOSYS what a library tries and falls back from."""
    refused = [numbers[name] for name in _REFUSED]
    clones = [(numbers["clone"], flag) for flag in _NAMESPACES]
    missing = [numbers["clone3"], *_YOUNGER]
    calls = [*((number, -1) for number in refused), *clones, *((number, -1) for number in missing)]

    answers = _answers(box, calls)

    assert len(calls) > 100
    expected = [1] * (len(refused) + len(clones)) + [38] * len(missing)
    wrong = [(call, got) for call, got, want in zip(calls, answers, expected, strict=True) if got != want]
    assert wrong == []


def test_arguments_decide(box: Box, numbers: dict[str, int]) -> None:
    """Sockets to the hypervisor and the kernel's cryptography, and personalities that undo protections."""
    calls = [(numbers["socket"], family) for family in _FAMILIES]
    calls += [(numbers["personality"], value) for value in _PERSONALITIES]

    answers = _answers(box, calls)

    allowed = [*_FAMILIES.values(), *_PERSONALITIES.values()]
    assert [answer != 1 for answer in answers] == allowed


def test_unconfined(box: Box, numbers: dict[str, int]) -> None:
    """Without a filter the kernel itself answers: flags that there are not, a size that is none."""
    # The size of clone3's argument is none.
    calls = [(numbers["unshare"], 1 << 60), (numbers["clone3"], 0)]

    assert _answers(box, calls, Security(seccomp=UNCONFINED)) == [22, 7]


def test_a_profile(box: Box, numbers: dict[str, int]) -> None:
    """The text of another one."""
    rule = {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30}
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})

    assert _answers(box, [(numbers["getpid"], 0)], Security(seccomp=profile)) == [30]


def test_status(box: Box) -> None:
    """One filter, as Docker has; none for a privileged program; no new privileges only when asked for."""

    shown = box.spec("cat", "/proc/self/status")
    usual, privileged = _status(box, shown), _status(box, shown._replace(is_privileged=True))
    security = Security(has_no_new_privileges=True)
    fixed = _status(box, shown._replace(user="7", security=security))

    assert (usual["Seccomp"], usual["NoNewPrivs"]) == ("2", "0")
    assert (privileged["Seccomp"], privileged["NoNewPrivs"]) == ("0", "0")
    assert (fixed["Seccomp"], fixed["NoNewPrivs"], fixed["CapEff"]) == ("2", "1", "0" * 16)


def test_paths_unmasked(box: Box) -> None:
    """Asked for: what Docker masks is the kernel's own file."""
    masked = box.shell("wc -c < /proc/keys; ls /sys/firmware").lines
    shown = box.shell("ls /sys/firmware", security=Security(are_paths_masked=False)).lines

    assert masked == ["0"]
    assert shown != []
