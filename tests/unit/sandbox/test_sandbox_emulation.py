"""Which platforms' programs this machine executes."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.core.platform import Platform
from builder.sandbox.emulation import CannotEmulate, can_execute
from builder.sandbox.probe import program, runs

AMD64, ARM64, ARM = Platform("linux", "amd64"), Platform("linux", "arm64"), Platform("linux", "arm", "v7")

# As Debian's qemu-user-static registers it.
_QEMU_AARCH64 = """\
{state}
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: {flags}
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


def _binfmt(directory: Path, *, status: str = "enabled", state: str = "enabled", flags: str = "POCF") -> str:
    (directory / "status").write_text(f"{status}\n")
    (directory / "register").touch()
    (directory / "python3.11").write_text(
        "enabled\ninterpreter /usr/bin/python3\nflags: \noffset 0\nmagic a70d0d0a\n"
    )
    (directory / "jar").write_text("enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n")
    (directory / "qemu-aarch64").write_text(_QEMU_AARCH64.format(state=state, flags=flags))
    return str(directory)


def test_the_processor(tmp_path: Path) -> None:
    """Its own platform in every variant, and the older one that it also knows."""
    off = _binfmt(tmp_path, status="disabled")

    assert can_execute(AMD64, host=AMD64, binfmt=off)
    assert can_execute(Platform("linux", "amd64", "v3"), host=AMD64, binfmt=off)
    assert can_execute(Platform("linux", "386"), host=AMD64, binfmt=off)
    assert can_execute(ARM, host=ARM64, binfmt=off)
    assert not can_execute(ARM64, host=AMD64, binfmt=off)
    assert not can_execute(AMD64, host=Platform("linux", "386"), binfmt=off)
    assert not can_execute(Platform("windows", "amd64"), host=AMD64, binfmt=off)


def test_an_interpreter(tmp_path: Path) -> None:
    """One that takes such executables, and no other."""
    binfmt = _binfmt(tmp_path)

    assert can_execute(ARM64, host=AMD64, binfmt=binfmt)
    assert not can_execute(ARM, host=AMD64, binfmt=binfmt)
    assert not can_execute(Platform("linux", "s390x"), host=AMD64, binfmt=binfmt)
    assert not can_execute(Platform("linux", "pdp11"), host=AMD64, binfmt=binfmt)


@pytest.mark.parametrize("off", [{"status": "disabled"}, {"state": "disabled"}, {"flags": "POC"}])
def test_an_interpreter_that_is_switched_off(off: dict[str, str], tmp_path: Path) -> None:
    """It, or all of them; or it is not found from inside a sandbox."""
    assert not can_execute(ARM64, host=AMD64, binfmt=_binfmt(tmp_path, **off))


def test_error() -> None:
    """The platform, and the package that helps."""
    error = CannotEmulate(ARM64)

    assert "linux/arm64" in error.message
    assert error.hint is not None
    assert "qemu-user-static" in error.hint
    assert "qemu-aarch64" in error.hint


def test_programs_that_are_tried() -> None:
    """The one of this machine's processor runs, one of none does not."""
    machine = {"amd64": 62, "arm64": 183, "riscv64": 243, "ppc64le": 21, "s390x": 22}
    architecture = Platform.host().architecture
    order = {"is_64_bit": True, "is_big_endian": architecture == "s390x"}

    assert runs(program(architecture, machine[architecture], **order))
    assert not runs(program(architecture, 0xFFFF, **order))
    assert not runs(b"")


def test_list_that_is_not_to_be_seen(tmp_path: Path) -> None:
    """Then what the kernel does decides: here that of this machine's own processor, seen from another."""
    other = Platform("linux", "mips64le")

    assert can_execute(Platform.host(), host=other, binfmt=str(tmp_path / "none"))
    assert not can_execute(Platform("linux", "pdp11"), host=other, binfmt=str(tmp_path / "none"))
