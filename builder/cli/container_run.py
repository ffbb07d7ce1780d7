"""`run`, once its command line is read."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from builder.cli.context import opened_with, rendered
from builder.cli.platforms import wanted_platform
from builder.cli.render.base import Renderer
from builder.cli.settings import Settings
from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.events import Event, Warned
from builder.core.limits import StepSettings


class NotATerminal(PybuildError):
    """-t needs a terminal on standard input."""

    kind = Kind.INVALID
    code = "not-a-terminal"


class RunValues(NamedTuple):
    """What the command line says; None: not given."""

    image: str
    command: list[str]
    remove: bool = False
    interactive: bool = False
    tty: bool = False
    env: list[str] = []  # noqa: RUF012 (never changed)
    volumes: list[str] = []  # noqa: RUF012 (never changed)
    workdir: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    network: str = "host"
    name: str | None = None
    hostname: str | None = None
    pull: str = "missing"
    platform: str | None = None
    add_host: list[str] = []  # noqa: RUF012 (never changed)
    ulimits: list[str] = []  # noqa: RUF012 (never changed)
    shm_size: str | None = None
    memory: str | None = None
    memory_swap: str | None = None
    cpus: str | None = None
    cpu_shares: str | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    cpu_period: str | None = None
    cpu_quota: str | None = None
    pids_limit: str | None = None
    cgroup_parent: str | None = None
    security: list[str] | None = None
    read_only: bool = False
    privileged: bool = False


class _Aloud:
    """Progress of a `run`: warnings are said even where nothing else is shown."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def emit(self, event: Event) -> None:
        """See Progress."""
        if isinstance(event, Warned):
            from builder.cli.render.diagnostics import render_warning

            print(render_warning(event, None, color=False), file=sys.stderr)
        else:
            self._renderer.emit(event)


def execute(settings: Settings, values: RunValues) -> int:
    """The container's exit code."""
    from builder.engine.containers import run as run_container
    from builder.runtime.spec import RunOptions

    if values.network not in ("host", "none"):
        raise Unsupported(f'--network "{values.network}" is not built yet', hint="there are host and none")
    if values.pull not in ("missing", "always", "never"):
        raise Unsupported(f'--pull cannot be "{values.pull}"', hint="it is missing, always or never")
    if values.tty and values.interactive and not sys.stdin.isatty():
        raise NotATerminal("the input device is not a terminal", hint="leave out -t")
    options = RunOptions(
        command=values.command,
        entrypoint=values.entrypoint,
        env=values.env,
        volumes=values.volumes,
        working_dir=values.workdir,
        user=values.user,
        hostname=values.hostname,
        network=values.network,
        is_terminal=values.tty,
        is_read_only=values.read_only,
        is_privileged=values.privileged,
        settings=_settings(values),
    )
    try:
        with (
            rendered("plain" if sys.stderr.isatty() else "quiet") as renderer,
            opened_with(settings, _Aloud(renderer)) as engine,
        ):
            return run_container(
                engine,
                values.image,
                options,
                name=values.name,
                is_removed=values.remove,
                is_interactive=values.interactive,
                pull=values.pull,  # type: ignore[arg-type]  # checked above
                platform=wanted_platform(values.platform, os.environ),
                environ=os.environ,
            )
    except PybuildError as error:
        # 125 is "the engine failed", so that 1 can be the program's own answer.
        error.run_exit_code = getattr(error, "exit_code", 125)  # type: ignore[attr-defined]  # read by failures
        raise


def _settings(values: RunValues) -> StepSettings:
    from builder.cli.step_values import limits_of, settings_of

    return settings_of(
        hosts=values.add_host,
        ulimits=values.ulimits,
        shm_size=values.shm_size,
        cgroup_parent=values.cgroup_parent,
        security=values.security,
        limits=limits_of(
            memory=values.memory,
            memory_swap=values.memory_swap,
            cpus=values.cpus,
            cpu_shares=values.cpu_shares,
            cpuset_cpus=values.cpuset_cpus,
            cpuset_mems=values.cpuset_mems,
            cpu_period=values.cpu_period,
            cpu_quota=values.cpu_quota,
            pids_limit=values.pids_limit,
        ),
    )
