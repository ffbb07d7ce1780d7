"""Filters of system calls: every call is decided as by libseccomp, and profiles are read as by Docker."""

from __future__ import annotations

import errno
import json
import os
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.sandbox.capabilities import ALL, DEFAULT, mask
from builder.sandbox.seccomp import InvalidProfile, filter_program
from tests.support.bpf import ARM, X32, X32_BIT, X86, X86_64, Libseccomp, answer, program_of

_ALLOW, _ERRNO, _KILL = 0x7FFF_0000, 0x0005_0000, 0
_EPERM, _ENOSYS = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
_PROFILE = json.loads(files("builder.sandbox").joinpath("seccomp.json").read_text())
_LIBRARY = Libseccomp()
# Every value that a condition of the profile names, its neighbours, and the same with a bit above 32.
_VALUES = sorted(
    {
        (base + offset) & 0xFFFF_FFFF_FFFF_FFFF | high
        for base in (0, 8, 38, 39, 40, 0x1_0000_0000, 0x2_0000, 0x2_0008, 0xFFFF_FFFF, 0x7E02_0000, 0x2_0000)
        for offset in (-1, 0, 1)
        for high in (0, 1 << 40)
    }
)


def _rules(owned: int) -> list[dict[str, object]]:
    """What of our profile counts for these capabilities on this machine, by another reading of it."""
    found = []
    for rule in _PROFILE["syscalls"]:
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        has = {
            f"CAP_{name}"
            for name in ("SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "SYS_TIME", "SYSLOG", "BPF", "PERFMON")
            if owned & mask((name,))
        }
        if owned == ALL:
            has |= set(includes.get("caps", ())) | set(excludes.get("caps", ()))
        if "arches" in includes and "amd64" not in includes["arches"]:
            continue
        if not set(includes.get("caps", ())) <= has or set(excludes.get("caps", ())) & has:
            continue
        action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
        found.append({**rule, "action": action})
    return found


@pytest.mark.parametrize("owned", [mask(DEFAULT), 0, ALL], ids=["default", "none", "all"])
def test_every_call_as_libseccomp_decides(owned: int) -> None:
    """All numbers of three architectures, with all arguments that a rule looks at; younger calls: ENOSYS."""
    ours = program_of(filter_program("", owned))
    theirs = _LIBRARY.program(_EPERM, _rules(owned), (X86_64, X86, X32))
    # The last call that the profile names on each of them; libseccomp 2.5.4 knows none after 449.
    last = 456

    for library_name, architecture, bit in ((X86_64, X86_64, 0), (X86, X86, 0), (X32, X86_64, X32_BIT)):
        for number in range(600):
            known = _LIBRARY.name(library_name, number | bit)
            # 32-bit calls have no more than 32 bits in an argument.
            values = [v for v in _VALUES if library_name == X86_64 or v < 1 << 32]
            for value in values if known in ("socket", "personality", "clone") else (0,):
                got = answer(ours, number | bit, architecture, (value, value))
                if known is not None and number <= 449:
                    assert got == answer(theirs, number | bit, architecture, (value, value)), (known, value)
                elif number > last and not bit:
                    assert got == _ENOSYS, number


def test_docker_answers() -> None:
    """Some that Docker's documentation names, and what younger programs try first."""
    program = program_of(filter_program("", mask(DEFAULT)))

    def call(name: str, *arguments: int) -> int:
        return answer(program, _LIBRARY.number(name), X86_64, arguments)

    for name in ("mount", "umount2", "bpf", "keyctl", "unshare", "setns", "io_uring_setup", "reboot"):
        assert call(name) == _EPERM, name
    assert call("ptrace") == _ALLOW
    assert call("clone3") == _ENOSYS
    assert call("clone", 0x0120_0011) == _ALLOW  # fork
    assert call("clone", 0x1000_0000) == _EPERM  # a user namespace
    assert call("socket", 2) == _ALLOW
    assert [call("socket", family) for family in (38, 39, 40)] == [_EPERM, _ALLOW, _EPERM]
    assert [call("personality", value) for value in (0, 0x2_0008, 0x4_0000)] == [_ALLOW, _ALLOW, _EPERM]
    assert answer(program, 462, X86_64) == answer(program, 100_000, X86_64) == _ENOSYS


def test_the_filter_that_is_shipped_is_that_of_the_profile() -> None:
    """For the usual capabilities; ``python -m tests.support.bpf`` makes it again."""
    made = files("builder.sandbox").joinpath("calls", "x86_64.filter").read_bytes()

    assert made == filter_program("", mask(DEFAULT))


def test_other_architectures_are_killed() -> None:
    """A call of an architecture that the machine does not run is none that a program of it makes."""
    program = program_of(filter_program("", mask(DEFAULT)))

    assert answer(program, 0, ARM) == _KILL


_NAMES = ("read", "getpid", "kill", "socket", "clone", "personality", "statx", "openat2")
_CONDITIONS = st.fixed_dictionaries(
    {
        "index": st.integers(0, 5),
        "value": st.one_of(st.integers(0, 3), st.integers(0, (1 << 64) - 1)),
        "valueTwo": st.one_of(st.integers(0, 3), st.integers(0, (1 << 64) - 1)),
        "op": st.sampled_from(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")).map("SCMP_CMP_{}".format),
    }
)


def _holds(condition: dict[str, Any], arguments: list[int]) -> bool:
    given: int = arguments[condition["index"]]
    value: int = condition["value"]
    second: int = condition["valueTwo"]
    return {
        "NE": given != value,
        "LT": given < value,
        "LE": given <= value,
        "EQ": given == value,
        "GE": given >= value,
        "GT": given > value,
        "MASKED_EQ": given & value == second,
    }[condition["op"].removeprefix("SCMP_CMP_")]


@given(
    conditions=st.lists(_CONDITIONS, max_size=4, unique_by=lambda condition: condition["index"]),
    arguments=st.lists(st.one_of(st.integers(0, 3), st.integers(0, (1 << 64) - 1)), min_size=6, max_size=6),
    is_near=st.booleans(),
)
def test_conditions_as_they_say(
    conditions: list[dict[str, Any]], arguments: list[int], is_near: bool
) -> None:
    """Comparisons of 64 bits in a machine of 32, all conditions of a rule together."""
    if is_near:
        for condition in conditions:
            arguments[condition["index"]] = condition["value"]
    rule = {"names": ["getpid"], "action": "SCMP_ACT_ALLOW", "args": conditions}
    profile = json.dumps({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [rule]})
    program = program_of(filter_program(profile, 0))

    expected = all(_holds(condition, arguments) for condition in conditions)
    assert (answer(program, _LIBRARY.number("getpid"), X86_64, arguments) == _ALLOW) is expected


def test_conditions_on_one_argument_are_alternatives() -> None:
    """As runc reads them."""
    args = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (1, 5)]
    rule = {"names": ["kill"], "action": "SCMP_ACT_ALLOW", "args": args}
    program = program_of(
        filter_program(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}), 0)
    )

    number = _LIBRARY.number("kill")
    assert [answer(program, number, X86_64, (value,)) for value in (1, 5, 2)] == [_ALLOW, _ALLOW, _EPERM]


def test_a_lenient_profile_lets_younger_calls_through() -> None:
    """ENOSYS is for profiles that refuse what they do not name."""
    rule = {"name": "mkdir", "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EROFS}
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    program = program_of(filter_program(profile, 0))

    assert answer(program, _LIBRARY.number("mkdir"), X86_64) == _ERRNO | errno.EROFS
    assert answer(program, 999, X86_64) == _ALLOW
    assert answer(program, 5, X86) == _KILL  # no archMap names it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no JSON object"),
        ("{}", 'lacks "defaultAction"'),
        ('{"defaultAction": "SCMP_ACT_ALOW"}', 'has the action "SCMP_ACT_ALOW"'),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 9999}', "has the error number 9999"),
        ('{"defaultAction": "SCMP_ACT_NOTIFY"}', 'has the action "SCMP_ACT_NOTIFY"'),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}', 'has "flags"'),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}', 'has "syscalls" that is no list'),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]}', "that is no object"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]}', "without names"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read"}]}', 'lacks "action"'),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
            ' [{"name": "read", "action": "SCMP_ACT_LOG", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]}',
            "has an argument 6",
        ),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
            ' [{"name": "read", "action": "SCMP_ACT_LOG", "args": [{"index": 0, "op": "SCMP_CMP_ABOUT"}]}]}',
            'compares with "ABOUT"',
        ),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
            ' [{"name": "read", "action": "SCMP_ACT_LOG", "includes": {"minKernel": "new"}}]}',
            'has the kernel version "new"',
        ),
    ],
)
def test_nonsense(text: str, message: str) -> None:
    """A profile that asks for what there is not is refused, and never ignored."""
    with pytest.raises(InvalidProfile) as caught:
        filter_program(text, 0)

    assert message in str(caught.value)


def test_an_unknown_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No filter at all would be worse than an error."""
    there = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((there[0], there[1], there[2], there[3], "vax")))

    with pytest.raises(InvalidProfile) as caught:
        filter_program("", 0)

    assert "vax" in str(caught.value)
    assert caught.value.hint is not None
    assert "seccomp=unconfined" in caught.value.hint
