"""What a recorded build was asked for, to be asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from builder.core.errors import Kind, PybuildError
from builder.core.platform import Platform
from builder.engine.build import BuildRequest
from builder.engine.history.record import BuildRecord
from builder.engine.session import SecretSource, SshSource


class BuildNotRepeatable(PybuildError):
    """A build read something that is not there any more."""

    kind = Kind.NOT_FOUND
    code = "build-not-repeatable"


def request_of_record(
    record: BuildRecord,
    environment: Callable[[str], str | None],
    *,
    secrets: Sequence[SecretSource] = (),
    ssh: Sequence[SshSource] = (),
) -> BuildRequest:
    """Arguments that look like secrets were not written down: they are those of the environment.

    Raises BuildNotRepeatable.
    """
    if record.context == "-" or record.file == "-":
        raise BuildNotRepeatable(
            f'the build "{record.id}" read its Dockerfile or its context from standard input',
            hint="build from a folder; or give the build --on-fail=shell",
        )
    if record.context.startswith("/") and not Path(record.context).exists():
        raise BuildNotRepeatable(
            f'the context of the build "{record.id}" is gone: "{record.context}"', hint="build again"
        )
    given: dict[str, dict[str, str]] = {"--build-arg": {}, "--build-context": {}, "--label": {}}
    platforms: list[Platform] = []
    network = None
    for option, text in record.arguments:
        name, equals, value = text.partition("=")
        if option in given:
            known = value if equals else environment(name)
            if known is not None:
                given[option][name] = known
        elif option == "--platform":
            platforms += map(Platform.parse, text.split(","))
        elif option == "--network":
            network = text
    return BuildRequest(
        context=record.context,
        file=record.file,
        target=record.target,
        build_args=given["--build-arg"],
        named_contexts=given["--build-context"],
        labels=given["--label"],
        platforms=tuple(platforms),
        network=network,
        secrets=tuple(secrets),
        ssh=tuple(ssh),
    )
