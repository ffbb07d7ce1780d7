"""`check`: what can be said of a Dockerfile without building anything."""

from __future__ import annotations

from builder.engine.assemble import Engine
from builder.engine.bridge import SourceBridge
from builder.engine.build import BuildRequest, BuildSource, check_context, frontend_request
from builder.engine.context import read_dockerfile
from builder.engine.recorder import Recorder
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.interface import CheckResult


def check(engine: Engine, request: BuildRequest, recorder: Recorder, source: BuildSource) -> CheckResult:
    """Of base images it reads the configuration only. ``source`` gets the Dockerfile and its path."""
    check_context(request.context)
    dockerfile = read_dockerfile(request.context, request.file, recorder)
    source.name, source.data = str(dockerfile.path), dockerfile.data
    bridge = SourceBridge(engine.sources, request.pull, recorder, engine.job)
    return DockerfileFrontend().check(frontend_request(engine, request, dockerfile), bridge)
