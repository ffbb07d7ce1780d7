"""Which system calls a program may make: a profile in Docker's JSON, made into a filter for this machine.

Our own profile is ``seccomp.json`` beside this file; it answers as Docker's. What a name is called by in each
architecture is in ``calls/``.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.core.suggest import did_you_mean
from builder.sandbox.capabilities import NAMES
from builder.sandbox.filterprogram import Calls, Choice, Condition, Decision, assemble

# A filter of the kernel is at most 4,096 instructions (BPF_MAXINSNS) of 8 bytes.
_PROGRAM_LIMIT = 4096 * 8
_HERE = Path(__file__).parent

# linux/seccomp.h
_ACTIONS = {
    "SCMP_ACT_KILL": 0x0000_0000,
    "SCMP_ACT_KILL_THREAD": 0x0000_0000,
    "SCMP_ACT_KILL_PROCESS": 0x8000_0000,
    "SCMP_ACT_TRAP": 0x0003_0000,
    "SCMP_ACT_ERRNO": 0x0005_0000,
    "SCMP_ACT_TRACE": 0x7FF0_0000,
    "SCMP_ACT_LOG": 0x7FFC_0000,
    "SCMP_ACT_ALLOW": 0x7FFF_0000,
}
_WITH_NUMBER = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_LENIENT = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
_COMPARISONS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_MAX_ERRNO = 4095


class _Machine(NamedTuple):
    """The name of an architecture in profiles, in their conditions (Go's), and in filters (linux/audit.h)."""

    profile: str
    go: str
    audit: int


# By the names of the files in calls/; those that are no name of uname -m serve others as a second one.
_MACHINES = {
    "x86_64": _Machine("SCMP_ARCH_X86_64", "amd64", 0xC000_003E),
    "x86": _Machine("SCMP_ARCH_X86", "386", 0x4000_0003),
    "x32": _Machine("SCMP_ARCH_X32", "x32", 0xC000_003E),
    "aarch64": _Machine("SCMP_ARCH_AARCH64", "arm64", 0xC000_00B7),
    "arm": _Machine("SCMP_ARCH_ARM", "arm", 0x4000_0028),
    "riscv64": _Machine("SCMP_ARCH_RISCV64", "riscv64", 0xC000_00F3),
    "ppc64le": _Machine("SCMP_ARCH_PPC64LE", "ppc64le", 0xC000_0015),
    "s390x": _Machine("SCMP_ARCH_S390X", "s390x", 0x8000_0016),
    "s390": _Machine("SCMP_ARCH_S390", "s390", 0x0000_0016),
}


class InvalidProfile(PybuildError):
    """A seccomp profile cannot be read, or asks for what there is not."""

    kind = Kind.INVALID
    code = "invalid-seccomp-profile"

    def __init__(self, why: str, *, hint: str | None = None) -> None:
        super().__init__(f"the seccomp profile {why}", hint=hint or "it is JSON, as docker run takes it")


class _Rule(NamedTuple):
    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...]


def filter_program(profile: str, owned: int) -> bytes:
    """struct sock_filter[] of a profile (its text; "" is our own), for a program with these capabilities.

    Raises InvalidProfile, also where nothing is known of this machine's system calls.
    """
    return _program(profile, owned, os.uname().machine, _kernel())


@lru_cache(maxsize=16)
def _program(profile: str, owned: int, machine: str, kernel: tuple[int, int]) -> bytes:
    known = _MACHINES.get(machine)
    if known is None:
        raise InvalidProfile(
            f"cannot be used: nothing is known of the system calls of {machine}",
            hint="if you trust what runs, give --security-opt seccomp=unconfined",
        )
    document = _parse(profile or (_HERE / "seccomp.json").read_text())
    default_name = _word(document, "defaultAction")
    default = _action(default_name, document.get("defaultErrnoRet"))
    rules = [
        rule
        for entry in _list(document, "syscalls")
        for rule in _rules(entry, known.go, owned, kernel, document)
        if rule.action != default
    ]
    # A call that is younger than the profile is answered as by an older kernel: programs are ready for that.
    unknown = None if default_name in _LENIENT else _action("SCMP_ACT_ERRNO", errno.ENOSYS)
    program = assemble(
        [_calls(name, rules, default, unknown) for name in _architectures(document, machine, known)]
    )
    if len(program) > _PROGRAM_LIMIT:
        raise InvalidProfile("is too large for a filter of the kernel", hint="it takes 4,096 instructions")
    return program


def _calls(name: str, rules: Sequence[_Rule], default: int, unknown: int | None) -> Calls:
    numbers: dict[str, int] = json.loads((_HERE / "calls" / f"{name}.json").read_bytes())
    last = 0
    certain: dict[int, int] = {}
    conditional: dict[int, list[tuple[tuple[Condition, ...], int]]] = {}
    for rule in rules:
        for call in rule.names:
            number = numbers.get(call)
            if number is None:
                continue
            last = max(last, number)
            if rule.conditions:
                conditional.setdefault(number, []).append((rule.conditions, rule.action))
            else:
                certain.setdefault(number, rule.action)
    decisions: dict[int, Decision] = dict(certain)
    for number, choices in conditional.items():
        if number not in certain:
            decisions[number] = Choice(tuple(choices), default)
    is_x32 = name == "x32"
    audit = _MACHINES[name].audit
    if unknown is None:
        return Calls(audit, is_x32, decisions, default, None, default)
    return Calls(audit, is_x32, decisions, default, last, unknown)


def _architectures(document: Mapping[str, Any], machine: str, known: _Machine) -> list[str]:
    """The machine's own, and the others that the profile allows beside it."""
    by_profile = {each.profile: name for name, each in _MACHINES.items()}
    asked = list(_list(document, "architectures"))
    for entry in _list(document, "archMap"):
        if isinstance(entry, dict) and entry.get("architecture") == known.profile:
            asked += _list(entry, "subArchitectures")
    others = [by_profile[name] for name in asked if name in by_profile]
    family = ("x86_64", "x86", "x32"), ("aarch64", "arm"), ("s390x", "s390")
    near = next((names for names in family if machine in names), (machine,))
    return list(dict.fromkeys((machine, *(name for name in others if name in near))))


def _rules(
    entry: object, go: str, owned: int, kernel: tuple[int, int], document: Mapping[str, Any]
) -> list[_Rule]:
    """Those of one entry that count here; conditions on one argument are alternatives, as with runc."""
    if not isinstance(entry, dict):
        raise InvalidProfile("has an entry of syscalls that is no object")
    if not _counts(entry, go, owned, kernel):
        return []
    names = tuple(map(str, _list(entry, "names"))) or ((str(entry["name"]),) if entry.get("name") else ())
    if not names:
        raise InvalidProfile("has an entry of syscalls without names")
    number = entry.get("errnoRet", document.get("defaultErrnoRet"))
    action = _action(_word(entry, "action"), number)
    conditions = [_condition(argument) for argument in _list(entry, "args")]
    if len({condition.argument for condition in conditions}) < len(conditions):
        return [_Rule(names, action, (condition,)) for condition in conditions]
    return [_Rule(names, action, tuple(conditions))]


def _counts(entry: Mapping[str, Any], go: str, owned: int, kernel: tuple[int, int]) -> bool:
    for word, is_wanted in (("includes", True), ("excludes", False)):
        conditions = entry.get(word) or {}
        if not isinstance(conditions, dict):
            raise InvalidProfile(f'has "{word}" that is no object')
        checks = []
        if arches := _list(conditions, "arches"):
            checks.append(go in arches)
        if capabilities := _list(conditions, "caps"):
            has = [bool(owned >> _capability(str(name)) & 1) for name in capabilities]
            checks.append(all(has) if is_wanted else any(has))
        if version := conditions.get("minKernel"):
            checks.append(kernel >= _version(str(version)))
        if (not all(checks)) if is_wanted else any(checks):
            return False
    return True


def _condition(argument: object) -> Condition:
    if not isinstance(argument, dict):
        raise InvalidProfile("has an argument that is no object")
    index, value, second = (argument.get(key, 0) for key in ("index", "value", "valueTwo"))
    op = _word(argument, "op").removeprefix("SCMP_CMP_")
    if op not in _COMPARISONS:
        raise InvalidProfile(f'compares with "{op}"', hint=f"known: {', '.join(_COMPARISONS)}")
    if not all(isinstance(number, int) and 0 <= number < 1 << 64 for number in (index, value, second)):
        raise InvalidProfile("has an argument that is not a number of 64 bits")
    if index > 5:
        raise InvalidProfile(f"has an argument {index}", hint="they are numbered 0 to 5")
    # With a mask, the first value is that, and the second one is compared.
    return Condition(index, op, second, value) if op == "MASKED_EQ" else Condition(index, op, value)


def _action(name: str, number: object) -> int:
    action = _ACTIONS.get(name)
    if action is None:
        hint = did_you_mean(name, _ACTIONS, otherwise=f"known: {', '.join(_ACTIONS)}")
        raise InvalidProfile(f'has the action "{name}"', hint=hint)
    if name not in _WITH_NUMBER:
        return action
    if number is None:
        number = errno.EPERM
    if not isinstance(number, int) or not 0 <= number <= _MAX_ERRNO:
        raise InvalidProfile(f"has the error number {number!r}", hint=f"it is 0 to {_MAX_ERRNO}")
    return action | number


def _capability(name: str) -> int:
    try:
        return NAMES.index(name.removeprefix("CAP_"))
    except ValueError:
        return 63  # of a younger kernel: only the privileged have it


def _version(text: str) -> tuple[int, int]:
    try:
        major, minor = text.split(".")[:2]
        return int(major), int(minor)
    except ValueError:
        raise InvalidProfile(f'has the kernel version "{text}"', hint="write MAJOR.MINOR") from None


def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(character for character in minor if character.isdigit()) or 0)


def _parse(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidProfile(f"is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidProfile("is no JSON object")
    for key in ("flags", "listenerPath", "listenerMetadata"):
        if document.get(key):
            raise InvalidProfile(f'has "{key}", which pybuild does not know', hint="leave it out")
    return document


def _list(document: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = document.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidProfile(f'has "{key}" that is no list')
    return value


def _word(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise InvalidProfile(f'lacks "{key}"')
    return value
