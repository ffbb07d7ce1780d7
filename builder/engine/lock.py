"""`lock`: what the names of a Dockerfile lead to now, without building it."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from builder.core.errors import PybuildError
from builder.engine.assemble import Engine
from builder.engine.build import BuildRequest, BuildSource
from builder.engine.inputs import InvalidInput
from builder.engine.lockfile import Lock, Names, NotInLock, update_name, write_lock
from builder.engine.platforms import questions
from builder.engine.prepare import prepare
from builder.engine.recorder import Recorder
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.llb.definition import merged
from builder.llb.ops import SourceOp


class Locked(NamedTuple):
    """What the file had, and what is so now."""

    path: str
    before: Names
    now: Names


def resolve_names(
    engine: Engine, request: BuildRequest, recorder: Recorder, source: BuildSource, update: str | None
) -> Locked:
    """Of what a build of ``request`` needs. With ``update`` other entries stay as they are."""
    wanted = "" if update is None else update_name(update)
    lock = Lock(is_fresh=True, update=wanted)
    asking = dataclasses.replace(request, pull="always")
    with prepare(engine, asking, recorder, engine.job, lock) as prepared:
        source.name, source.data = prepared.dockerfile.name, prepared.dockerfile.data
        if lock.path is None:
            raise InvalidInput(
                "a Dockerfile that is no file of this machine has no place for a lock file",
                hint="name a folder, and the Dockerfile with -f",
            )
        frontend = DockerfileFrontend()
        asked = questions(prepared, request.platforms)
        graph = merged(frontend.convert(each, prepared.bridge).definition for each in asked)
        for digest, vertex in graph:
            if isinstance(vertex.op, SourceOp):
                try:
                    pin = prepared.resolver.resolve(digest, vertex).cache_map(engine.job).pin
                    if pin is not None:
                        pin()
                except PybuildError as error:
                    raise error.at(vertex.location) from error
    if wanted and wanted not in {name for _, name in lock.found}:
        raise NotInLock(f'the Dockerfile needs no "{update}"', hint="write the name as the Dockerfile has it")
    now = lock.resolved()
    return Locked(str(lock.path), lock.entries, {**lock.entries, **now} if wanted else now)


def write(locked: Locked) -> None:
    from pathlib import Path

    write_lock(Path(locked.path), locked.now)
