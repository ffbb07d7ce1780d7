"""`run` without Typer: a third of what launching a container costs is reading its command line.

Typer stays the one definition of the command line. This table says the same for the plain cases, a test
holds the two together, and whatever is not plain (help, an error, an option that is not here) goes to Typer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from builder.cli.container_run import RunValues

# option → field of RunValues, and how it is given: a switch, one value, or values that add up.
RUN_OPTIONS = {
    "--rm": ("remove", "switch"),
    "-i": ("interactive", "switch"),
    "--interactive": ("interactive", "switch"),
    "-t": ("tty", "switch"),
    "--tty": ("tty", "switch"),
    "-e": ("env", "list"),
    "--env": ("env", "list"),
    "-v": ("volumes", "list"),
    "--volume": ("volumes", "list"),
    "-w": ("workdir", "value"),
    "--workdir": ("workdir", "value"),
    "-u": ("user", "value"),
    "--user": ("user", "value"),
    "--entrypoint": ("entrypoint", "value"),
    "--network": ("network", "value"),
    "--name": ("name", "value"),
    "-h": ("hostname", "value"),
    "--hostname": ("hostname", "value"),
    "--pull": ("pull", "value"),
    "--platform": ("platform", "value"),
    "--add-host": ("add_host", "list"),
    "--ulimit": ("ulimits", "list"),
    "--shm-size": ("shm_size", "value"),
    "-m": ("memory", "value"),
    "--memory": ("memory", "value"),
    "--memory-swap": ("memory_swap", "value"),
    "--cpus": ("cpus", "value"),
    "--cpu-shares": ("cpu_shares", "value"),
    "--cpuset-cpus": ("cpuset_cpus", "value"),
    "--cpuset-mems": ("cpuset_mems", "value"),
    "--cpu-period": ("cpu_period", "value"),
    "--cpu-quota": ("cpu_quota", "value"),
    "--pids-limit": ("pids_limit", "value"),
    "--cgroup-parent": ("cgroup_parent", "value"),
    "--security-opt": ("security", "list"),
    "--read-only": ("read_only", "switch"),
    "--privileged": ("privileged", "switch"),
}


class QuickRun(NamedTuple):
    """A `run` that was read without Typer."""

    root: Path | None
    values: RunValues


def read_run(arguments: Sequence[str]) -> QuickRun | None:
    """None: not a plain `run`; ask Typer."""
    rest = list(arguments)
    root = None
    if len(rest) > 2 and rest[0] == "--root":
        root, rest = Path(rest[1]), rest[2:]
    if not rest or rest.pop(0) != "run":
        return None
    found: dict[str, Any] = {}
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).partition("=")
        known = RUN_OPTIONS.get(name)
        if known is None or (equals and not name.startswith("--")):
            return None
        field, kind = known
        if kind == "switch":
            if equals:
                return None
            found[field] = True
            continue
        if not equals:
            if not rest:
                return None
            value = rest.pop(0)
        if kind == "list":
            found.setdefault(field, []).append(value)
        else:
            found[field] = value
    if not rest:
        return None
    from builder.cli.container_run import RunValues

    return QuickRun(root, RunValues(image=rest[0], command=rest[1:], **found))
