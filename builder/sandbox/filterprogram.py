"""From decisions about system calls to a program of the kernel's filter machine (seccomp(2), BPF classic).

A decision is an action, or conditions on the arguments that choose one. The numbers of one architecture are
searched by halves, so that a call costs a handful of comparisons.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# linux/bpf_common.h
_LOAD, _AND, _JUMP, _IF_EQUAL, _IF_GREATER, _IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x06
# struct seccomp_data: nr, arch, instruction pointer, six arguments of 64 bits
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_HIGH = 4 if sys.byteorder == "little" else 0
_X32 = 0x4000_0000  # in the numbers of that architecture, which has the name of x86-64
_MAX_OFFSET = 255  # of a conditional jump

KILL = 0  # SECCOMP_RET_KILL_THREAD: what a call of an architecture that nobody allowed gets


class Condition(NamedTuple):
    """``argument OP value``; ``mask`` counts for "MASKED_EQ", where ``argument & mask`` is compared."""

    argument: int
    op: str  # NE, LT, LE, EQ, GE, GT, MASKED_EQ
    value: int
    mask: int = 0


class Choice(NamedTuple):
    """The action of the first rule whose conditions all hold, else ``otherwise``."""

    rules: tuple[tuple[tuple[Condition, ...], int], ...]
    otherwise: int


Decision = int | Choice


class Calls(NamedTuple):
    """What is decided about the calls of one architecture."""

    architecture: int  # AUDIT_ARCH_…
    is_x32: bool
    decisions: Mapping[int, Decision]
    default: int
    last: int | None  # above this number the answer is ``unknown``
    unknown: int


class _Instruction(NamedTuple):
    code: int
    value: int
    if_true: int = 0
    if_false: int = 0


_Code = list[_Instruction]


def assemble(architectures: Sequence[Calls]) -> bytes:
    """struct sock_filter[]; architectures of one name (x86-64 and x32) are told apart by number."""
    code: _Code = [_Instruction(_RETURN, KILL)]
    groups: dict[int, list[Calls]] = {}
    for calls in architectures:
        groups.setdefault(calls.architecture, []).append(calls)
    for architecture, group in reversed(groups.items()):
        code = _if(_IF_EQUAL, architecture, _group(group), code)
    code = [_Instruction(_LOAD, _ARCHITECTURE), *code]
    return b"".join(struct.pack("=HBBI", i.code, i.if_true, i.if_false, i.value) for i in code)


def _group(group: Sequence[Calls]) -> _Code:
    """One architecture, or x86-64 and x32; the number is loaded once."""
    plain: _Code = [_Instruction(_RETURN, KILL)]
    x32: _Code = [_Instruction(_RETURN, KILL)]
    for calls in group:
        if calls.is_x32:
            x32 = _numbers(calls, _X32)
        else:
            plain = _numbers(calls, 0)
    load = [_Instruction(_LOAD, _NUMBER)]
    if any(calls.is_x32 for calls in group) or group[0].architecture == X86_64:
        return load + _if(_IF_AT_LEAST, _X32, x32, plain)
    return load + plain


X86_64 = 0xC000_003E  # AUDIT_ARCH_X86_64


def _numbers(calls: Calls, base: int) -> _Code:
    """Runs of numbers with one decision, as (first number, decision)."""
    runs: list[tuple[int, Decision]] = []
    last = max(calls.decisions, default=0) if calls.last is None else calls.last
    for number in range(last + 1):
        decision = calls.decisions.get(number, calls.default)
        if not runs or runs[-1][1] != decision:
            runs.append((number + base, decision))
    runs.append((last + 1 + base, calls.default if calls.last is None else calls.unknown))
    return _search(runs)


def _search(runs: Sequence[tuple[int, Decision]]) -> _Code:
    if len(runs) == 1:
        return _decide(runs[0][1])
    middle = len(runs) // 2
    return _if(_IF_AT_LEAST, runs[middle][0], _search(runs[middle:]), _search(runs[:middle]))


def _decide(decision: Decision) -> _Code:
    if isinstance(decision, int):
        return [_Instruction(_RETURN, decision)]
    code: _Code = [_Instruction(_RETURN, decision.otherwise)]
    for conditions, action in reversed(decision.rules):
        # The rest is written once; every condition that fails jumps to it.
        then: _Code = [_Instruction(_RETURN, action)]
        for condition in reversed(conditions):
            then = _test(condition, then)
        code = then + code
    return code


def _test(condition: Condition, then: _Code) -> _Code:
    """``then`` if it holds; else on past the end of ``then``, whose own exits go there too."""
    high, low = condition.value >> 32, condition.value & 0xFFFF_FFFF
    place = _ARGUMENTS + 8 * condition.argument
    load_high = _Instruction(_LOAD, place + _HIGH)
    load_low = _Instruction(_LOAD, place + 4 - _HIGH)
    size = len(then)
    match condition.op:
        case "EQ":
            # high ≠: skip load, test and then; low ≠: skip then
            return [
                load_high, _Instruction(_IF_EQUAL, high, 0, 2 + size),
                load_low, _Instruction(_IF_EQUAL, low, 0, size), *then,
            ]  # fmt: skip
        case "MASKED_EQ":
            mask_high, mask_low = condition.mask >> 32, condition.mask & 0xFFFF_FFFF
            return [
                load_high, _Instruction(_AND, mask_high), _Instruction(_IF_EQUAL, high, 0, 3 + size),
                load_low, _Instruction(_AND, mask_low), _Instruction(_IF_EQUAL, low, 0, size), *then,
            ]  # fmt: skip
        case "NE":
            return [
                load_high, _Instruction(_IF_EQUAL, high, 0, 2),
                load_low, _Instruction(_IF_EQUAL, low, size, 0), *then,
            ]  # fmt: skip
        case "GT" | "GE":
            compare = _IF_GREATER if condition.op == "GT" else _IF_AT_LEAST
            return [
                load_high, _Instruction(_IF_GREATER, high, 3, 0), _Instruction(_IF_EQUAL, high, 0, 2 + size),
                load_low, _Instruction(compare, low, 0, size), *then,
            ]  # fmt: skip
        case _:
            assert condition.op in ("LT", "LE")
            compare = _IF_AT_LEAST if condition.op == "LT" else _IF_GREATER
            # A greater high word fails, a smaller one holds, an equal one leaves it to the low word.
            return [
                load_high, _Instruction(_IF_GREATER, high, 3 + size, 0), _Instruction(_IF_EQUAL, high, 0, 2),
                load_low, _Instruction(compare, low, size, 0), *then,
            ]  # fmt: skip


def _if(code: int, value: int, then: _Code, otherwise: _Code) -> _Code:
    """Jumps over the nearer branch; one that is too long for a conditional jump is reached by a plain one."""
    if len(otherwise) <= _MAX_OFFSET:
        return [_Instruction(code, value, len(otherwise), 0), *otherwise, *then]
    if len(then) <= _MAX_OFFSET:
        return [_Instruction(code, value, 0, len(then)), *then, *otherwise]
    return [_Instruction(code, value, 0, 1), _Instruction(_JUMP, len(otherwise)), *otherwise, *then]
