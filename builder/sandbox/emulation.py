"""Whether this machine executes programs of a platform: itself, or by an interpreter (binfmt_misc)."""

from __future__ import annotations

import os

from builder.core.errors import Kind, PybuildError
from builder.core.platform import Platform

_BINFMT = "/proc/sys/fs/binfmt_misc"
# GOARCH → e_machine of elf.h, whether it is a 64-bit and a big-endian one, and QEMU's name.
_ELF = {
    "386": (3, False, False, "i386"), "amd64": (62, True, False, "x86_64"),
    "arm": (40, False, False, "arm"), "arm64": (183, True, False, "aarch64"),
    "loong64": (258, True, False, "loongarch64"), "mips64le": (8, True, False, "mips64el"),
    "ppc64le": (21, True, False, "ppc64le"), "riscv64": (243, True, False, "riscv64"),
    "s390x": (22, True, True, "s390x"),
}  # fmt: skip
# What a processor does for another architecture's programs.
_COMPATIBLE = {("amd64", "386"), ("arm64", "arm")}


class CannotEmulate(PybuildError):
    """A step is for a platform whose programs this machine does not execute."""

    kind = Kind.UNAVAILABLE
    code = "cannot-emulate"

    def __init__(self, platform: Platform, what: str = "RUN") -> None:
        qemu = _ELF[platform.architecture][3] if platform.architecture in _ELF else platform.architecture
        super().__init__(
            f"this machine executes no programs for {platform}, and {what} needs that",
            hint=f"install qemu-user-static, a package that registers qemu-{qemu} with flag F in {_BINFMT}",
        )
        self.platform = platform


def can_execute(platform: Platform, *, host: Platform | None = None, binfmt: str = _BINFMT) -> bool:
    """By the processor of ``host``, or by any interpreter that is registered and enabled.

    One without the flag F does not count: it would be looked for inside the step's own tree. Where the
    kernel's list is not to be seen, as in most containers, a small program is tried.
    """
    host = host or Platform.host()
    if platform.os != host.os:
        return False
    mine, wanted = host.architecture, platform.architecture
    return mine == wanted or (mine, wanted) in _COMPATIBLE or _has_interpreter(wanted, binfmt)


def _has_interpreter(architecture: str, binfmt: str) -> bool:
    if architecture not in _ELF:
        return False
    status = _read(f"{binfmt}/status")
    if not status:
        return _is_executed(architecture)
    if not status.startswith("enabled"):
        return False
    header = _header(architecture)
    try:
        names = os.listdir(binfmt)
    except OSError:
        return False
    return any(
        _takes(_read(f"{binfmt}/{name}"), header) for name in names if name not in ("register", "status")
    )


def _is_executed(architecture: str) -> bool:
    from builder.sandbox.probe import program, runs

    machine, is_64_bit, is_big_endian, _ = _ELF[architecture]
    return runs(program(architecture, machine, is_64_bit=is_64_bit, is_big_endian=is_big_endian))


def _header(architecture: str) -> bytes:
    """The beginning of an executable for it, Elf64_Ehdr up to e_machine."""
    machine, is_64_bit, is_big_endian, _ = _ELF[architecture]
    order = "big" if is_big_endian else "little"
    identity = bytes((0x7F, *b"ELF", 2 if is_64_bit else 1, 2 if is_big_endian else 1, 1, 0)).ljust(16, b"\0")
    executable = 2
    return identity + executable.to_bytes(2, order) + machine.to_bytes(2, order)  # type: ignore[arg-type]  # a literal


def _takes(entry: str, header: bytes) -> bool:
    """Whether an entry as the kernel shows it is for files that begin so."""
    lines = entry.splitlines()
    values = dict(line.partition(" ")[::2] for line in lines)
    try:
        offset = int(values["offset"])
        magic = bytes.fromhex(values["magic"])
        mask = bytes.fromhex(values["mask"]) if "mask" in values else b"\xff" * len(magic)
    except (KeyError, ValueError):
        return False
    part = header[offset : offset + len(magic)]
    return (
        lines[0] == "enabled"
        and "F" in values.get("flags:", "")
        and len(part) == len(magic)
        and all(a & m == b & m for a, b, m in zip(part, magic, mask, strict=False))
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
