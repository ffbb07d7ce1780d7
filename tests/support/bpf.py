"""The kernel's filter machine, for programs of seccomp(2); and libseccomp, as the second opinion on them."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any

Program = list[tuple[int, int, int, int]]

X86_64, X86, AARCH64, ARM = 0xC000_003E, 0x4000_0003, 0xC000_00B7, 0x4000_0028
X32 = 0x4000_003E  # libseccomp's name for it: in a call it has that of x86-64
X32_BIT = 0x4000_0000


def program_of(data: bytes) -> Program:
    """struct sock_filter[] as tuples of code, two offsets and a value."""
    return list(struct.iter_unpack("=HBBI", data))


def answer(program: Program, number: int, architecture: int, arguments: Sequence[int] = ()) -> int:
    """What the kernel would do with a call."""
    values = [*arguments, *(0 for _ in range(6 - len(arguments)))]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *values)
    accumulator = position = 0
    while True:
        code, if_true, if_false, value = program[position]
        position += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, value)[0]
            case 0x54:
                accumulator &= value
            case 0x05:
                position += value
            case 0x06:
                return value
            case 0x15:
                position += if_true if accumulator == value else if_false
            case 0x25:
                position += if_true if accumulator > value else if_false
            case 0x35:
                position += if_true if accumulator >= value else if_false
            case _:
                raise AssertionError(f"instruction {code:#x} is not the kernel's")


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


_OPS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}


class Libseccomp:
    """The library makes filters from rules of a profile that count already."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._library.seccomp_init.argtypes = [ctypes.c_uint32]
        self._library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self._library.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self._library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._library.seccomp_release.argtypes = [ctypes.c_void_p]
        self._library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
        self._library.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
        self._library.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Compare),
        ]  # fmt: skip

    def name(self, architecture: int, number: int) -> str | None:
        """Of a call; None: the library knows none of that number."""
        found = self._library.seccomp_syscall_resolve_num_arch(architecture, number)
        return ctypes.string_at(found).decode() if found else None

    def number(self, name: str) -> int:
        """On this machine; negative where it has no such call."""
        return int(self._library.seccomp_syscall_resolve_name(name.encode()))

    def program(
        self, default: int, rules: Sequence[Mapping[str, Any]], architectures: Sequence[int]
    ) -> Program:
        """``rules`` have names, action (a number) and args, as in a profile."""
        context = self._library.seccomp_init(default)
        for architecture in architectures:
            done = self._library.seccomp_arch_add(context, architecture)
            assert done in (0, -errno.EEXIST), os.strerror(-done)
        for rule in rules:
            args = rule.get("args", ())
            compares = (_Compare * len(args))(
                *(
                    _Compare(
                        arg["index"],
                        _OPS[arg["op"].removeprefix("SCMP_CMP_")],
                        arg["value"],
                        arg.get("valueTwo", 0),
                    )
                    for arg in args
                )
            )
            for name in rule["names"]:
                number = self._library.seccomp_syscall_resolve_name(name.encode())
                if number == -1:
                    continue  # the library is older than the name
                done = self._library.seccomp_rule_add_array(
                    context, rule["action"], number, len(args), compares
                )
                assert done == 0, f"{name}: {os.strerror(-done)}"
        with os.fdopen(os.memfd_create("bpf"), "r+b") as file:
            assert self._library.seccomp_export_bpf(context, file.fileno()) == 0
            data = os.pread(file.fileno(), 1 << 20, 0)
        self._library.seccomp_release(context)
        return program_of(data)


if __name__ == "__main__":
    from pathlib import Path

    import builder.sandbox
    from builder.sandbox.capabilities import DEFAULT, mask
    from builder.sandbox.seccomp import filter_program

    calls = Path(builder.sandbox.__file__).parent / "calls"
    (calls / f"{os.uname().machine}.filter").write_bytes(filter_program("", mask(DEFAULT)))
