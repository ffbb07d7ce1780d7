"""`check`: what can be said of a Dockerfile without building anything."""

from __future__ import annotations

from builder.engine.assemble import Engine
from builder.engine.build import BuildRequest, BuildSource
from builder.engine.platforms import questions
from builder.engine.prepare import prepare
from builder.engine.recorder import Recorder
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.interface import CheckResult


def check(engine: Engine, request: BuildRequest, recorder: Recorder, source: BuildSource) -> CheckResult:
    """Of base images it reads the configuration only. ``source`` gets the Dockerfile and its path."""
    with prepare(engine, request, recorder, engine.job) as prepared:
        dockerfile = prepared.dockerfile
        source.name = str(dockerfile.path) if dockerfile.path is not None else dockerfile.name
        source.data = dockerfile.data
        frontend = DockerfileFrontend()
        found = [frontend.check(each, prepared.bridge) for each in questions(prepared, request.platforms)]
    warnings = dict.fromkeys(warning for each in found for warning in each.warnings)
    errors = {(e.code, e.message, e.location): e for each in found for e in each.errors}
    return CheckResult(tuple(warnings), tuple(errors.values()))
