"""`run`, `ps`, `rm`: containers from images."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from builder.core.events import Warned
from builder.core.image import ImageConfig
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.core.times import rfc3339
from builder.engine.assemble import Engine
from builder.executor.interface import ProcessIO, ProcessSpec, RunningProcess
from builder.runtime.attach import run_attached
from builder.runtime.containers import Container, ContainerStore
from builder.runtime.spec import RunOptions, bind_mounts, process_of
from builder.store.interface import ActiveSnapshot, Image, ImageNotFound
from builder.store.state import remove_tree

if TYPE_CHECKING:
    from builder.source.interface import PullPolicy


def run(
    engine: Engine,
    image_name: str,
    options: RunOptions,
    *,
    name: str | None,
    is_removed: bool,
    is_interactive: bool,
    pull: PullPolicy,
    environ: Mapping[str, str],
    platform: Platform | None = None,
) -> int:
    """Start a container, attach the caller's streams, and give back its exit code.

    Raises CannotEmulate for a ``platform`` whose programs do not run here.
    """
    image, config = _image(engine, image_name, pull, platform)
    if platform is not None:
        _check_executable(platform)
    engine.bring_layers(image.snapshot)
    store = ContainerStore(engine.state, engine.database)
    container = store.create(
        name=name,
        image=str(image.id),
        image_name=image_name,
        snapshot=image.snapshot,
        args=tuple(options.command),
    )
    # A refusal below leaves no half-made container; a run that took place does, unless --rm.
    is_kept = False
    try:
        process = process_of(config, options, hostname=_hostname(options, container), environ=environ)
        container = replace(container, args=process.args)
        active = engine.snapshots.prepare(image.snapshot, within=store.directory(container))
        with store.running(container):
            code = _run_process(engine, process, active, options, is_interactive=is_interactive)
        is_kept = not is_removed
        if is_kept:
            store.update(replace(container, status="exited", exit_code=code, finished_at=time.time()))
        return code
    finally:
        if not is_kept:
            store.delete(replace(container, status="exited"))
            remove_tree(store.directory(container))


def remove(engine: Engine, names: list[str]) -> list[str]:
    """Delete containers; the names as given, of those that are gone."""
    store = ContainerStore(engine.state, engine.database)
    for name in names:
        container = store.find(name)
        store.delete(container)
        remove_tree(store.directory(container))
    return names


def containers(engine: Engine, *, includes_exited: bool) -> list[Container]:
    """Newest first."""
    found = ContainerStore(engine.state, engine.database).all()
    return [c for c in found if includes_exited or c.status == "running"]


def _run_process(
    engine: Engine, process: ProcessSpec, active: ActiveSnapshot, options: RunOptions, *, is_interactive: bool
) -> int:
    mounts = [*engine.snapshots.mounts(active), *bind_mounts(options.volumes)]

    running: list[RunningProcess] = []

    def start(io: ProcessIO) -> RunningProcess:
        running.append(engine.executor().start(process, mounts, io, engine.job))
        return running[0]

    code = run_attached(
        start, stdin=0, stdout=1, stderr=2, is_interactive=is_interactive, is_terminal=options.is_terminal
    )
    if running[0].memory_shortage is not None:
        message = "a process of the container was killed for lack of memory"
        engine.job.progress.emit(Warned(message, running[0].memory_shortage, None))
    return code


def _image(
    engine: Engine, name: str, pull: PullPolicy, platform: Platform | None
) -> tuple[Image, ImageConfig]:
    """By name, from a registry if need be; else by id. ``platform`` None: whatever the name means here."""
    if pull != "always":
        with contextlib.suppress(ImageNotFound):
            image = engine.images.find(name)
            config = ImageConfig.from_json(engine.content.read(image.id))
            if platform is None or platform.matches(config.platform):
                return image, config
    source = engine.sources.resolve(
        Reference.parse(name).with_default_tag(), platform or Platform.host(), pull, engine.job
    )
    return source.image, source.config


def _check_executable(platform: Platform) -> None:
    from builder.sandbox.emulation import CannotEmulate, can_execute

    if not can_execute(platform):
        raise CannotEmulate(platform, "the container")


def _hostname(options: RunOptions, container: Container) -> str:
    if options.hostname:
        return options.hostname
    return socket.gethostname() if options.network == "host" else container.short_id


def inspect_container(engine: Engine, name: str) -> dict[str, Any]:
    """In the shape of `docker container inspect`, as far as it applies. Raises ContainerNotFound."""
    container = ContainerStore(engine.state, engine.database).find(name)
    return {
        "Id": container.id,
        "Created": rfc3339(container.created_at),
        "Path": container.args[0] if container.args else "",
        "Args": list(container.args[1:]),
        "State": {
            "Status": container.status,
            "Running": container.status == "running",
            "ExitCode": container.exit_code or 0,
            "StartedAt": rfc3339(container.started_at),
            "FinishedAt": rfc3339(container.finished_at),
        },
        "Image": container.image,
        "Name": f"/{container.name}",
        "Config": {"Image": container.image_name},
    }
