"""The smallest program of each processor, to see whether this machine runs it: it exits with 0."""

from __future__ import annotations

import contextlib
import os
import struct

# What programs are loaded at: a multiple of every processor's page size.
_BASE = 0x10000

# GOARCH → the flags of its ELF header (elf.h), and code for exit(0): the number of the call (unistd.h) and 0
# into their registers, then the call. As 32-bit words, or as bytes where instructions have other sizes.
_PROGRAMS: dict[str, tuple[int, tuple[int, ...] | bytes]] = {
    "386": (0, bytes.fromhex("b801000000 31db cd80")),
    "amd64": (0, bytes.fromhex("b83c000000 31ff 0f05")),
    "arm": (0x05000000, (0xE3A07001, 0xE3A00000, 0xEF000000)),
    "arm64": (0, (0xD2800BA8, 0xD2800000, 0xD4000001)),
    "loong64": (0x43, (0x0281740B, 0x02800004, 0x002B0000)),
    "mips64le": (0x80000000, (0x240213C2, 0x24040000, 0x0000000C)),
    "ppc64le": (2, (0x38000001, 0x38600000, 0x44000002)),
    "riscv64": (0, (0x05D00893, 0x00000513, 0x00000073)),
    "s390x": (0, bytes.fromhex("a7190001 a7290000 0a01")),
}


def program(architecture: str, machine: int, *, is_64_bit: bool, is_big_endian: bool) -> bytes:
    """An executable of one segment; ``machine`` is e_machine. Raises KeyError for one that is not known."""
    flags, code = _PROGRAMS[architecture]
    order = ">" if is_big_endian else "<"
    if isinstance(code, tuple):
        code = struct.pack(f"{order}{len(code)}I", *code)
    identity = bytes((0x7F, *b"ELF", 1 + is_64_bit, 1 + is_big_endian, 1)).ljust(16, b"\0")
    header_size, entry_size = (64, 56) if is_64_bit else (52, 32)
    start = header_size + entry_size
    size = start + len(code)
    word = "Q" if is_64_bit else "I"
    header = struct.pack(
        f"{order}HHI{word}{word}{word}IHHHHHH",
        2, machine, 1, _BASE + start, header_size, 0, flags, header_size, entry_size, 1, 0, 0, 0,
    )  # fmt: skip
    loads, reads_and_runs = 1, 5
    if is_64_bit:
        fields = (loads, reads_and_runs, 0, _BASE, _BASE, size, size, _BASE)
        segment = struct.pack(f"{order}IIQQQQQQ", *fields)
    else:
        segment = struct.pack(f"{order}IIIIIIII", loads, 0, _BASE, _BASE, size, size, reads_and_runs, _BASE)
    return identity + header + segment + code


def runs(executable: bytes) -> bool:
    """Whether the kernel starts it, by whatever means, and it exits as it should."""
    # Not closed on exec: an interpreter opens it by its name.
    descriptor = os.memfd_create("probe", 0)
    try:
        os.write(descriptor, executable)
        with contextlib.suppress(OSError):
            pid = os.posix_spawn(f"/proc/self/fd/{descriptor}", ["probe"], {})
            _, status = os.waitpid(pid, 0)
            return os.waitstatus_to_exitcode(status) == 0
        return False
    finally:
        os.close(descriptor)
