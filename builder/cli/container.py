"""`run`, `ps`, `rm`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from builder.cli.context import opened
from builder.cli.step_options import (
    AddHost,
    CgroupParent,
    CpuPeriod,
    CpuQuota,
    Cpus,
    CpusetCpus,
    CpusetMems,
    CpuShares,
    Memory,
    MemorySwap,
    PidsLimit,
    SecurityOpt,
    ShmSize,
    Ulimits,
)
from builder.cli.tables import ago, table


def run(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND...]", help="In place of the image's CMD.")
    ] = None,
    remove: Annotated[bool, typer.Option("--rm", help="Remove the container when it is over.")] = False,
    interactive: Annotated[
        bool, typer.Option("-i", "--interactive", help="Give it this standard input.")
    ] = False,
    tty: Annotated[bool, typer.Option("-t", "--tty", help="Give it a terminal.")] = False,
    env: Annotated[
        list[str] | None, typer.Option("-e", "--env", metavar="K[=V]", help="Set a variable.")
    ] = None,
    volumes: Annotated[
        list[str] | None,
        typer.Option("-v", "--volume", metavar="SRC:DST[:ro]", help="Show a folder or file of this machine."),
    ] = None,
    workdir: Annotated[str | None, typer.Option("-w", "--workdir", metavar="DIR")] = None,
    user: Annotated[str | None, typer.Option("-u", "--user", metavar="USER[:GROUP]")] = None,
    entrypoint: Annotated[
        str | None,
        typer.Option("--entrypoint", metavar="PROGRAM", help='In place of the image\'s; "" for none.'),
    ] = None,
    network: Annotated[
        str, typer.Option("--network", metavar="MODE", help="host (default) or none.")
    ] = "host",
    name: Annotated[str | None, typer.Option("--name", metavar="NAME")] = None,
    hostname: Annotated[str | None, typer.Option("-h", "--hostname", metavar="HOST")] = None,
    pull: Annotated[
        str, typer.Option("--pull", metavar="WHEN", help="missing (default), always or never.")
    ] = "missing",
    platform: Annotated[
        str | None, typer.Option("--platform", metavar="OS/ARCH", help="The image for another platform.")
    ] = None,
    add_host: AddHost = None,
    ulimits: Ulimits = None,
    shm_size: ShmSize = None,
    memory: Memory = None,
    memory_swap: MemorySwap = None,
    cpus: Cpus = None,
    cpu_shares: CpuShares = None,
    cpuset_cpus: CpusetCpus = None,
    cpuset_mems: CpusetMems = None,
    cpu_period: CpuPeriod = None,
    cpu_quota: CpuQuota = None,
    pids_limit: PidsLimit = None,
    cgroup_parent: CgroupParent = None,
    security: SecurityOpt = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Write-protect its file system.")] = False,
    privileged: Annotated[
        bool, typer.Option("--privileged", help="Give it all capabilities and devices: as good as this user.")
    ] = False,
) -> None:
    """Run a command in a new container."""
    from builder.cli.container_run import RunValues, execute

    values = RunValues(
        image=image,
        command=command or [],
        remove=remove,
        interactive=interactive,
        tty=tty,
        env=env or [],
        volumes=volumes or [],
        workdir=workdir,
        user=user,
        entrypoint=entrypoint,
        network=network,
        name=name,
        hostname=hostname,
        pull=pull,
        platform=platform,
        add_host=add_host or [],
        ulimits=ulimits or [],
        shm_size=shm_size,
        memory=memory,
        memory_swap=memory_swap,
        cpus=cpus,
        cpu_shares=cpu_shares,
        cpuset_cpus=cpuset_cpus,
        cpuset_mems=cpuset_mems,
        cpu_period=cpu_period,
        cpu_quota=cpu_quota,
        pids_limit=pids_limit,
        cgroup_parent=cgroup_parent,
        security=security,
        read_only=read_only,
        privileged=privileged,
    )
    raise typer.Exit(execute(context.obj, values))


def ps(
    context: typer.Context,
    all: Annotated[bool, typer.Option("-a", "--all", help="Also those that are over.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only ids.")] = False,
    no_trunc: Annotated[bool, typer.Option("--no-trunc", help="Show ids and commands in full.")] = False,
) -> None:
    """List containers."""
    from builder.engine.containers import containers

    with opened(context) as engine:
        found = containers(engine, includes_exited=all)
    if quiet:
        for container in found:
            print(container.id if no_trunc else container.short_id)
        return
    rows = []
    for container in found:
        command = shlex.join(container.args)
        if not no_trunc and len(command) > 20:
            command = f"{command[:19]}…"
        match container.status:
            case "running":
                status = f"Up {ago(container.started_at).removesuffix(' ago')}"
            case "exited":
                since = f" {ago(container.finished_at)}" if container.finished_at else ""
                status = f"Exited ({container.exit_code}){since}"
            case _:
                status = "Created"
        rows.append(
            (
                container.id if no_trunc else container.short_id,
                container.image_name,
                f'"{command}"',
                ago(container.created_at),
                status,
                container.name,
            )
        )
    print(table(("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"), rows))


def rm(context: typer.Context, names: Annotated[list[str], typer.Argument(metavar="CONTAINER...")]) -> None:
    """Remove containers."""
    from builder.engine.containers import remove

    with opened(context) as engine:
        for name in remove(engine, names):
            print(name)
