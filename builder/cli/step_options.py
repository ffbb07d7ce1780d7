"""The options of `build` and of `run` about the processes that they start, for Typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    str | None, typer.Option("--cpu-shares", metavar="N", help="The weight against others (1024).")
]
CpusetCpus = Annotated[
    str | None, typer.Option("--cpuset-cpus", metavar="LIST", help="On which processors: 0-2,7.")
]
CpusetMems = Annotated[
    str | None, typer.Option("--cpuset-mems", metavar="LIST", help="From which memory nodes: 0,1.")
]
CpuPeriod = Annotated[
    str | None, typer.Option("--cpu-period", metavar="US", help="The scheduler's period in microseconds.")
]
CpuQuota = Annotated[
    str | None, typer.Option("--cpu-quota", metavar="US", help="How much processor time in each period.")
]
PidsLimit = Annotated[
    str | None, typer.Option("--pids-limit", metavar="N", help="How many processes; -1: any number.")
]
CgroupParent = Annotated[
    str | None, typer.Option("--cgroup-parent", metavar="PATH", help="Where control groups are made.")
]
SecurityOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--security-opt", metavar="OPTION", help="Loosen or tighten the sandbox: seccomp=unconfined."
    ),
]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help="Fail if the build takes longer: 1h30m.")
]
StepTimeout = Annotated[
    str | None, typer.Option("--step-timeout", metavar="TIME", help="Fail a RUN that takes longer.")
]
SilenceTimeout = Annotated[
    str | None,
    typer.Option("--silence-timeout", metavar="TIME", help="Fail a RUN that prints nothing for so long."),
]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="WHAT", help="Grant security.insecure or network.host to RUN."),
]
NoCacheFilter = Annotated[
    list[str] | None,
    typer.Option("--no-cache-filter", metavar="STAGE", help="Run every step of these stages."),
]
ContextModes = Annotated[
    str | None,
    typer.Option(
        "--context-modes", metavar="HOW", help="Modes of the context's files: kept, or git (0644 and 0755)."
    ),
]
BuildArgFile = Annotated[
    list[Path] | None,
    typer.Option("--build-arg-file", metavar="FILE", help="Read build arguments, K[=V] on each line."),
]
