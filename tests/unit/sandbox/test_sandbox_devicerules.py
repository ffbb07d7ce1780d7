"""Which devices a step may use, in both forms."""

from __future__ import annotations

import pytest

from builder.sandbox import devicerules

_BLOCK, _CHARACTER = 1, 2
_MAKE, _READ, _WRITE = 1, 2, 4


def _decide(program: bytes, kind: int, access: int, major: int, minor: int) -> int:
    """What the kernel's machine would answer: the instructions that the program has, by linux/bpf.h."""
    context = b"".join(word.to_bytes(4, "little") for word in (access << 16 | kind, major, minor))
    registers = [0] * 11
    at = 0
    while True:
        code, target, source = program[at], program[at + 1] & 15, program[at + 1] >> 4
        jump = int.from_bytes(program[at + 2 : at + 4], "little", signed=True)
        value = int.from_bytes(program[at + 4 : at + 8], "little", signed=True)
        at += 8
        match code:
            case 0x61:
                assert source == 1
                registers[target] = int.from_bytes(context[jump : jump + 4], "little")
            case 0xB7:
                registers[target] = value
            case 0x54:
                registers[target] &= value
            case 0x74:
                registers[target] >>= value
            case 0x15:
                at += 8 * jump * (registers[target] == value)
            case 0x55:
                at += 8 * jump * (registers[target] != value)
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.mark.parametrize(
    ("kind", "access", "major", "minor", "expected"),
    [
        (_CHARACTER, _READ | _WRITE, 1, 3, 1),
        (_CHARACTER, _READ, 1, 9, 1),
        (_CHARACTER, _WRITE, 5, 2, 1),
        (_CHARACTER, _READ, 136, 0, 1),
        (_CHARACTER, _READ | _WRITE, 136, 4000, 1),
        (_CHARACTER, _READ, 1, 1, 0),  # mem
        (_CHARACTER, _READ, 5, 3, 0),
        (_CHARACTER, _READ, 137, 0, 0),
        (_CHARACTER, _READ, 10, 200, 0),
        (_BLOCK, _READ, 1, 3, 0),  # a RAM disk, with the numbers of null
        (_BLOCK, _READ, 8, 0, 0),
        (_BLOCK, _WRITE, 254, 0, 0),
        (_BLOCK, _MAKE, 8, 0, 1),
        (_CHARACTER, _MAKE, 300, 70000, 1),
    ],
)
def test_program(kind: int, access: int, major: int, minor: int, expected: int) -> None:
    """The program of v2 lets pass what Docker's rules do."""
    assert expected == _decide(devicerules.program(), kind, access, major, minor)


def test_lines() -> None:
    """The lines of v1 say the same."""
    assert devicerules.lines() == [
        "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",
        "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm",
    ]  # fmt: skip
