"""The platforms of one build: a conversion for each, one graph of all, and the image that stands for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.errors import PybuildError
from builder.core.events import Progress, Warned
from builder.core.platform import Platform
from builder.engine.prepare import Prepared
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.dockerfile.lint import LintViolation
from builder.frontend.dockerfile.reading import together
from builder.frontend.interface import FrontendRequest, FrontendResult
from builder.llb.definition import Definition
from builder.llb.ops import ExecOp


class Built(NamedTuple):
    """What a build made for one platform."""

    image: Digest
    top: str  # the snapshot of its topmost layer
    platform: Platform


def questions(prepared: Prepared, platforms: Sequence[Platform]) -> list[FrontendRequest]:
    """One for each platform; without any, for the host."""
    if not platforms:
        return [prepared.question]
    is_one_of_several = len(platforms) > 1
    return [
        replace(prepared.question, platform=platform, is_one_of_several=is_one_of_several)
        for platform in platforms
    ]


def convert(prepared: Prepared, platforms: Sequence[Platform], progress: Progress) -> list[FrontendResult]:
    """In the order of ``platforms``; a warning is given once. Raises LintViolation and what is wrong."""
    frontend = DockerfileFrontend()
    found = [frontend.convert(question, prepared.bridge) for question in questions(prepared, platforms)]
    warnings: dict[Warned, None] = {}
    for result in found:
        warnings.update(dict.fromkeys(result.warnings))
    for warning in warnings:
        progress.emit(warning)
    violated = {rule for result in found for rule in result.violated}
    if violated:
        raise LintViolation(violated)
    return found


def check_executable(definition: Definition) -> None:
    """Every RUN must be executable here, before the first of them runs. Raises CannotEmulate for each not."""
    host = Platform.host()
    lacking: dict[Platform, PybuildError] = {}
    for _, vertex in definition:
        platform = vertex.platform
        if not isinstance(vertex.op, ExecOp) or platform is None or platform.matches(host):
            continue
        if platform not in lacking:
            from builder.sandbox.emulation import CannotEmulate, can_execute

            if not can_execute(platform):
                error = CannotEmulate(platform)
                error.at(vertex.location)
                lacking[platform] = error
    if lacking:
        raise together(list(lacking.values()))


def main_image(built: Sequence[Built]) -> Built:
    """The one that commands use by the name of all: this machine's, else the first."""
    host = Platform.host()
    for each in built:
        if host.matches(each.platform):
            return each
    return next((each for each in built if each.platform.architecture == host.architecture), built[0])
