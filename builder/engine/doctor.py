"""`doctor`: what this machine lets pybuild do for this user, found by doing it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builder.core.errors import PybuildError
from builder.core.limits import Limits
from builder.core.mount import Mount
from builder.core.platform import Platform
from builder.engine.assemble import Engine
from builder.sandbox.cgroup import Cgroups
from builder.sandbox.emulation import can_execute
from builder.sandbox.launch import Launcher, SandboxFailed
from builder.sandbox.spec import SandboxSpec
from builder.sandbox.usernamespace import NotMapped, maps_of

State = Literal["works", "limited", "missing"]

# In a sandbox over an overlay at /tmp: reads what is below, writes, deletes and replaces.
_PROGRAM = """
import os
assert open("/tmp/kept").read() == "kept"
os.unlink("/tmp/gone")
os.mkdir("/tmp/gone")
open("/tmp/gone/new", "w").close()
status = open("/proc/self/status").read()
assert "Seccomp:\\t2" in status and "CapEff:\\t00000000a80425fb" in status, status
"""
_PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/riscv64", "linux/s390x")
_LITTLE_SPACE = 2 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One part: what was found, and what exactly would make it better."""

    name: str
    state: State
    found: str
    unlock: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``rung`` is how steps run: ``root``, ``subordinate-ids``, or ``none``."""

    rung: str
    why: str
    checks: tuple[Check, ...]

    @property
    def is_well(self) -> bool:
        """Whether steps can run at all."""
        return all(check.state != "missing" for check in self.checks)


def diagnose(engine: Engine, uid: int) -> Diagnosis:
    """``uid`` is the caller's, whatever it is in a namespace. Makes sandboxes and groups, and leaves none."""
    rung, why, user = _user(uid)
    sandbox, network, devices = _sandboxes(engine)
    checks = (
        user,
        Check("kernel", "works", f"Linux {os.uname().release}"),
        sandbox,
        network,
        devices,
        _limits(engine),
        _emulation(),
        _store(engine),
    )
    return Diagnosis(rung if sandbox.state != "missing" else "none", why, checks)


def _user(uid: int) -> tuple[str, str, Check]:
    if uid == 0:
        return "root", "pybuild is run by root", Check("user", "works", "root")
    if os.geteuid() == 0:
        with open("/proc/self/uid_map") as file:
            count = sum(int(line.split()[2]) for line in file)
        why = f"user {uid} is root of a user namespace with {count:,} ids"
        return "subordinate-ids", why, Check("user", "works", why)
    try:
        maps_of(uid, os.getegid())
    except NotMapped as error:
        why = str(error)
        return "none", why, Check("user", "missing", f"user {uid}: {why}", error.hint)
    why = "user namespaces are not allowed here"
    unlock = (
        "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0 where there is that, or sysctl"
        " user.max_user_namespaces=15000; in a container: --privileged"
    )
    return "none", why, Check("user", "missing", why, unlock)


def _sandboxes(engine: Engine) -> tuple[Check, Check, Check]:
    place = engine.state.scratch / "doctor"
    for name in ("lower", "upper", "work"):
        (place / name).mkdir(parents=True)
    for name in ("kept", "gone"):
        (place / "lower" / name).write_text(name)
    overlay = Mount(
        "overlay",
        "",
        "/tmp",  # noqa: S108 (a mount point)
        (f"lowerdir+={place}/lower", f"upperdir={place}/upper", f"workdir={place}/work"),
    )
    spec = SandboxSpec(
        args=(os.path.realpath(sys.executable), "-I", "-S", "-c", _PROGRAM),
        mounts=(Mount("bind", "/", "/", ("ro", "rec")), overlay),
        env=("LC_ALL=C.UTF-8",),
    )
    try:
        with Launcher() as launcher:
            failure, unlock = _try(launcher, spec)
            lonely, _ = _try(launcher, spec._replace(args=(*spec.args[:-1], ""), network="none"))
            has_devices = launcher.has_device_group
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if failure:
        missing = Check("network", "missing", "no sandbox, no network")
        devices = Check("devices", "missing", "no sandbox, no devices")
        return Check("sandbox", "missing", failure, unlock), missing, devices
    sandbox = Check("sandbox", "works", "namespaces, overlay in the store, capabilities, seccomp filter")
    network = (
        Check("network", "limited", f"the host's only: {lonely}", "a kernel with network namespaces")
        if lonely
        else Check("network", "works", "the host's, or none")
    )
    devices = (
        Check("devices", "works", "nodes that steps make open by Docker's rules")
        if has_devices
        else Check(
            "devices",
            "limited",
            "only those of /dev open, nodes that steps make do not",
            "a control group of devices (v1) or BPF programs (v2), which root may make",
        )
    )
    return sandbox, network, devices


def _try(launcher: Launcher, spec: SandboxSpec) -> tuple[str, str]:
    """What went wrong and what would help; "" and ""."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with open(reader, "rb") as said:
        try:
            process = launcher.spawn(spec, stdout=writer, stderr=writer)
        except PybuildError as error:
            os.close(writer)
            return error.message, error.hint or ""
        os.close(writer)
        try:
            process.wait_started()
        except SandboxFailed as error:
            return error.message, error.hint or "the store may need another file system: --root"
        text = said.read().decode("utf-8", "replace").strip()
        if process.wait():
            return f"a step does not find what it needs: {text.splitlines()[-1] if text else 'no output'}", ""
    return "", ""


def _limits(engine: Engine) -> Check:
    wanted = Limits(memory=64 << 20, nano_cpus=500_000_000, pids=100)
    cgroups = Cgroups(str(engine.state.cgroups))
    try:
        group = cgroups.make(wanted)
        unenforced = group.unenforced
        group.remove()
    except PybuildError as error:
        return Check("limits", "limited", error.message, error.hint or "")
    finally:
        cgroups.close()
    if not unenforced:
        return Check("limits", "works", "memory, processors and processes, by control groups")
    options = ", ".join(each.option for each in unenforced)
    return Check(
        "limits",
        "limited",
        f"not enforced: {options} ({unenforced[0].reason})",
        "groups that this user may make: root, or v2 delegated (systemd-run --user --scope -p Delegate=yes)",
    )


def _emulation() -> Check:
    runs = [text for text in _PLATFORMS if can_execute(Platform.parse(text))]
    rest = [text for text in _PLATFORMS if text not in runs]
    if not rest:
        return Check("platforms", "works", f"RUN for {', '.join(runs)}")
    unlock = "the package qemu-user-static, for RUN; other instructions need nothing"
    return Check("platforms", "limited", f"RUN for {', '.join(runs)}", unlock)


def _store(engine: Engine) -> Check:
    free = shutil.disk_usage(engine.state.root).free
    kind = _file_system(engine.state.root)
    found = f"{engine.state.root} on {kind}, {free / 1e9:.1f} GB free"
    if free < _LITTLE_SPACE:
        return Check("store", "limited", found, "free some space, `pybuild prune`, or another --root")
    return Check("store", "works", found)


def _file_system(path: Path) -> str:
    """The type of the mount that a path lies on, as /proc/self/mountinfo has it (proc(5))."""
    best, kind = "", "an unknown file system"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind
