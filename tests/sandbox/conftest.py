"""A root file system of one static program, and sandboxes over it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.core.mount import Mount
from builder.sandbox.launch import Launcher, SandboxProcess
from builder.sandbox.spec import SandboxSpec

_BUSYBOX = Path("/bin/busybox")
_APPLETS = (
    "cat", "env", "grep", "head", "hostname", "id", "ip", "ls", "mkdir", "mount", "pwd", "readlink", "rm",
    "sh", "sleep", "stat", "stty", "touch", "true", "tty", "wc", "yes",
)  # fmt: skip


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Box:
    """Runs programs over one root with an upper directory of its own."""

    def __init__(self, launcher: Launcher, directory: Path) -> None:
        self.launcher = launcher
        self.directory = directory
        self.root = directory / "root"
        self.upper = directory / "upper"
        self.mount_points = directory / "points"
        for path in (self.root, self.upper, directory / "work", self.mount_points):
            path.mkdir()
        for name in ("bin", "etc", "tmp"):
            (self.root / name).mkdir()
        for name in ("proc", "sys", "dev"):
            (self.mount_points / name).mkdir()
        shutil.copy(_BUSYBOX, self.root / "bin/busybox")
        for name in _APPLETS:
            (self.root / "bin" / name).symlink_to("busybox")

    def overlay(self, *lowers: Path) -> Mount:
        directories = lowers or (self.root, self.mount_points)
        options = (
            *(f"lowerdir+={lower}" for lower in directories),
            f"upperdir={self.upper}",
            f"workdir={self.directory}/work",
        )
        return Mount("overlay", "", "/", options)

    def spec(self, *args: str, mounts: tuple[Mount, ...] = (), **values: object) -> SandboxSpec:
        spec = SandboxSpec(args=args, mounts=(self.overlay(), *mounts))
        return spec._replace(**values)  # type: ignore[arg-type] # the names are SandboxSpec's

    def run(self, *args: str, mounts: tuple[Mount, ...] = (), **values: object) -> Outcome:
        return self.run_spec(self.spec(*args, mounts=mounts, **values))

    def run_spec(self, spec: SandboxSpec) -> Outcome:
        with (
            os.fdopen(os.memfd_create("out"), "r+b") as out,
            os.fdopen(os.memfd_create("err"), "r+b") as err,
        ):
            process = self.launcher.spawn(spec, stdout=out.fileno(), stderr=err.fileno())
            process.wait_started()
            code = process.wait()
            texts = [os.pread(file.fileno(), 1 << 24, 0).decode("utf-8", "replace") for file in (out, err)]
        return Outcome(code, *texts)

    def shell(self, script: str, **values: object) -> Outcome:
        return self.run("sh", "-c", script, **values)

    def start(self, *args: str, **values: object) -> tuple[SandboxProcess, int]:
        """A process and the read end of its stdout."""
        read_end, write_end = os.pipe()
        process = self.launcher.spawn(self.spec(*args, **values), stdout=write_end, stderr=2)
        os.close(write_end)
        process.wait_started()
        return process, read_end


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    with Launcher() as launcher:
        yield launcher


@pytest.fixture
def box(launcher: Launcher, tmp_path: Path) -> Box:
    if not _BUSYBOX.exists():
        pytest.fail("these tests need /bin/busybox, statically linked: install the package busybox-static")
    return Box(launcher, tmp_path)
