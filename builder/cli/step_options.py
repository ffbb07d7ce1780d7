"""The options of `build` and of `run` about the processes that they start, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.hosts import parse_host
from builder.core.limits import (
    InvalidLimit,
    Limits,
    StepSettings,
    parse_cpus,
    parse_cpuset,
    parse_size,
    ulimits_of,
)

AddHost = Annotated[
    list[str] | None, typer.Option("--add-host", metavar="NAME:IP", help="Add a line to /etc/hosts.")
]
Ulimits = Annotated[
    list[str] | None,
    typer.Option("--ulimit", metavar="NAME=SOFT[:HARD]", help="Set a limit of setrlimit: nofile=1024."),
]
ShmSize = Annotated[
    str | None, typer.Option("--shm-size", metavar="SIZE", help="The size of /dev/shm (default: 64m).")
]
Memory = Annotated[
    str | None,
    typer.Option("-m", "--memory", metavar="SIZE", help="How much memory a process tree may have."),
]
MemorySwap = Annotated[
    str | None,
    typer.Option("--memory-swap", metavar="SIZE", help="Memory and swap together; -1: as much swap as any."),
]
Cpus = Annotated[
    str | None, typer.Option("--cpus", metavar="N", help="How much processor time, in processors: 1.5.")
]
CpuShares = Annotated[
    int | None, typer.Option("--cpu-shares", metavar="N", min=0, help="The weight against others (1024).")
]
CpusetCpus = Annotated[
    str | None, typer.Option("--cpuset-cpus", metavar="LIST", help="On which processors: 0-2,7.")
]
PidsLimit = Annotated[
    int | None, typer.Option("--pids-limit", metavar="N", min=-1, help="How many processes; -1: any number.")
]
CgroupParent = Annotated[
    str | None, typer.Option("--cgroup-parent", metavar="PATH", help="Where control groups are made.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="WHAT", help="Grant security.insecure or network.host to RUN."),
]
NoCacheFilter = Annotated[
    list[str] | None,
    typer.Option("--no-cache-filter", metavar="STAGE", help="Run every step of these stages."),
]
BuildArgFile = Annotated[
    list[Path] | None,
    typer.Option("--build-arg-file", metavar="FILE", help="Read build arguments, K[=V] on each line."),
]

_ENTITLEMENTS = ("network.host", "security.insecure")


class InvalidEntitlement(PybuildError):
    """--allow with a word that grants nothing."""

    kind = Kind.INVALID
    code = "invalid-entitlement"


class ArgumentFileNotFound(PybuildError):
    """--build-arg-file names no file that can be read."""

    kind = Kind.NOT_FOUND
    code = "argument-file-not-found"


def settings_of(
    *,
    hosts: Sequence[str] | None,
    ulimits: Sequence[str] | None,
    shm_size: str | None,
    limits: Limits,
    cgroup_parent: str | None,
    allow: Sequence[str] | None = None,
) -> StepSettings:
    """Raises InvalidHost, InvalidLimit, InvalidEntitlement, Unsupported."""
    if cgroup_parent is not None and (".slice" in cgroup_parent or "\n" in cgroup_parent):
        raise Unsupported(
            "--cgroup-parent with a slice of systemd is not built yet",
            hint="name a path below /sys/fs/cgroup",
        )
    return StepSettings(
        hosts=tuple(map(parse_host, hosts or ())),
        ulimits=ulimits_of(list(ulimits or ())),
        shm_size=_positive(shm_size, "--shm-size"),
        limits=limits,
        cgroup_parent=(cgroup_parent or "").strip("/"),
        entitlements=frozenset(map(_entitlement, allow or ())),
    )


def limits_of(
    *,
    memory: str | None,
    memory_swap: str | None,
    cpus: str | None,
    cpu_shares: int | None,
    cpuset_cpus: str | None,
    pids_limit: int | None,
) -> Limits:
    """Raises InvalidLimit."""
    return Limits(
        memory=_positive(memory, "--memory"),
        memory_swap=-1 if memory_swap == "-1" else _positive(memory_swap, "--memory-swap"),
        nano_cpus=parse_cpus(cpus) if cpus is not None else 0,
        cpu_shares=cpu_shares or 0,
        cpuset_cpus=parse_cpuset(cpuset_cpus) if cpuset_cpus else "",
        pids=max(pids_limit or 0, 0),
    ).checked()


def lines_of(data: bytes) -> list[str]:
    """Of a --build-arg-file: without empty lines and comments."""
    lines = (line.removesuffix("\r") for line in data.decode("utf-8", "surrogateescape").split("\n"))
    return [line for line in lines if line.strip() and not line.startswith("#")]


def names_of(given: Sequence[str] | None) -> frozenset[str]:
    """``--no-cache-filter a,b`` and several of them."""
    return frozenset(name.strip() for text in given or () for name in text.split(",") if name.strip())


def _positive(text: str | None, option: str) -> int:
    if text is None:
        return 0
    size = parse_size(text, option)
    if not size:
        raise InvalidLimit(f'{option} cannot be "{text}"', hint="leave it out for no limit")
    return size


def _entitlement(text: str) -> str:
    if text == "device" or text.startswith("device="):
        raise Unsupported("--allow device is not built yet", hint="RUN --device is not either")
    if text not in _ENTITLEMENTS:
        raise InvalidEntitlement(
            f'--allow cannot be "{text}"', hint=f"there are {' and '.join(_ENTITLEMENTS)}"
        )
    return text
