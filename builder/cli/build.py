"""`pybuild build`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperOption

from builder.cli.attest_options import Attest, Provenance, Sbom, described_provenance, read_attest
from builder.cli.cache_options import CacheFrom, CacheTo, read_sharing, summary_lines
from builder.cli.context import opened, rendered
from builder.cli.failures import WithSource
from builder.cli.output_options import (
    AnnotationTexts,
    Load,
    MetadataFile,
    OutputTexts,
    Push,
    read_outputs,
)
from builder.cli.render.base import Renderer
from builder.cli.render.text import counted
from builder.cli.shell import ON_FAIL, OnFail, failing
from builder.cli.space_options import CacheTtl, KeepStorage
from builder.cli.step_options import (
    AddHost,
    Allow,
    BuildArgFile,
    CgroupParent,
    ContextModes,
    CpuPeriod,
    CpuQuota,
    Cpus,
    CpusetCpus,
    CpusetMems,
    CpuShares,
    Memory,
    MemorySwap,
    NoCacheFilter,
    PidsLimit,
    SecurityOpt,
    ShmSize,
    SilenceTimeout,
    StepTimeout,
    Timeout,
    Ulimits,
)
from builder.core.errors import Kind, PybuildError, Unsupported

if TYPE_CHECKING:  # --help does without
    from builder.engine.build import BuildSource

# Options of `docker buildx build` that have no effect yet: refused by name. True: they take a value.
UNBUILT = {
    "--builder": True,
    "--call": True, "--compress": False, "--isolation": True, "--policy": True,
    "--squash": False,
}  # fmt: skip
# As in buildx, a build argument that the environment gives, unless the command line does.
EPOCH = "SOURCE_DATE_EPOCH"
# Nothing of a step is left to remove, with BuildKit as here.
_NEEDLESS = ("--rm", "--force-rm")
# Docker's spellings of a switch: --no-cache=true.
_SWITCHES = ("--no-cache", "--quiet", "--load", "--push", "--check", "--rewrite-timestamp", "--locked")


class InvalidOption(PybuildError):
    """A flag's value cannot be used."""

    kind = Kind.INVALID
    code = "invalid-option"


def build(
    context: typer.Context,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="The build context: a folder, - or an address.")
    ],
    tags: Annotated[
        list[str] | None, typer.Option("-t", "--tag", metavar="NAME", help="Name the image; several times.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("-f", "--file", metavar="FILE", help="The Dockerfile (default: PATH/Dockerfile)."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="STAGE", help="Build up to this stage.")
    ] = None,
    build_args: Annotated[
        list[str] | None,
        typer.Option("--build-arg", metavar="K[=V]", help="Set an ARG; without value from the environment."),
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="Label the image.")
    ] = None,
    build_contexts: Annotated[
        list[str] | None,
        typer.Option("--build-context", metavar="NAME=PLACE", help="What a name in FROM or --from means."),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run every step, whatever was built before.")
    ] = False,
    pull: Annotated[
        str,
        typer.Option(
            "--pull",
            metavar="[=WHEN]",
            help="Ask the registry for base images: missing (default), always (--pull alone), never.",
        ),
    ] = "missing",
    network: Annotated[
        str | None, typer.Option("--network", metavar="MODE", help="For RUN: default, host or none.")
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option("--platform", metavar="OS/ARCH,…", help="Build for this, or for several: an index."),
    ] = None,
    secrets: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="id=ID,src=FILE", help="A secret for RUN --mount=type=secret."),
    ] = None,
    ssh: Annotated[
        list[str] | None,
        typer.Option("--ssh", metavar="ID[=SOCKET|KEY]", help="An SSH agent, or keys, for RUN."),
    ] = None,
    progress: Annotated[
        str, typer.Option("--progress", metavar="HOW", help="auto, plain, tty, quiet or rawjson.")
    ] = "auto",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only the image id.")] = False,
    iidfile: Annotated[
        Path | None, typer.Option("--iidfile", metavar="FILE", help="Write the image id to a file.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", metavar="N", min=1, help="Run at most N steps at once.")
    ] = None,
    context_modes: ContextModes = None,
    build_arg_files: BuildArgFile = None,
    no_cache_filter: NoCacheFilter = None,
    allow: Allow = None,
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
    timeout: Timeout = None,
    step_timeout: StepTimeout = None,
    silence_timeout: SilenceTimeout = None,
    rewrite_timestamp: Annotated[
        bool,
        typer.Option("--rewrite-timestamp", help="No file time of a new layer after SOURCE_DATE_EPOCH."),
    ] = False,
    outputs: OutputTexts = None,
    push: Push = False,
    load: Load = False,
    metadata_file: MetadataFile = None,
    annotations: AnnotationTexts = None,
    provenance: Provenance = None,
    sbom: Sbom = None,
    attest: Attest = None,
    cache_from: CacheFrom = None,
    cache_to: CacheTo = None,
    locked: Annotated[bool, typer.Option("--locked", help="Fail if a name is not in the lock file.")] = False,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="Write what ran when, in Chrome's trace format."),
    ] = None,
    on_fail: OnFail = "keep",
    keep_storage: KeepStorage = None,
    cache_ttl: CacheTtl = None,
    check: Annotated[
        bool, typer.Option("--check", help="Build nothing: show what `pybuild check` finds.")
    ] = False,
) -> None:
    """Build an image from a Dockerfile."""
    given = dict(locals())
    from builder.cli.build_files import forget_image_id, write_image_id, write_metadata
    from builder.cli.build_request import request_of
    from builder.cli.trace import traced
    from builder.engine.build import BuildSource
    from builder.engine.build import build as run_build
    from builder.engine.recorder import Recorder
    from builder.engine.space.limits import read_limits
    from builder.engine.space.room import with_room

    read = read_outputs(
        outputs,
        annotations,
        pushes=push,
        loads=load,
        is_described=metadata_file is not None,
        environ=os.environ,
        context=path,
    )
    choice("--on-fail", on_fail, ON_FAIL, {})
    recorder, source = Recorder(os.environ), BuildSource()
    request = request_of(given, recorder)
    request = replace(
        request,
        rewrites_timestamps=rewrite_timestamp or read.rewrites_timestamps,
        outputs=read.outputs,
        attestations=read_attest(given),
        described_provenance=described_provenance(os.environ, is_described=metadata_file is not None),
        sharing=read_sharing(cache_from, cache_to, request.build_args),
    )
    if iidfile is not None and not check:
        forget_image_id(iidfile)
    if check:
        from builder.cli.check import report

        report(context, request, recorder, "text")
        return
    with (
        explained("quiet" if quiet else progress, source) as renderer,
        opened(context, renderer) as engine,
        traced(engine, source, trace),
    ):
        limits = read_limits(engine.config, keep_storage=keep_storage, cache_ttl=cache_ttl)
        with failing(on_fail, engine, request, source, renderer):
            outcome = with_room(
                engine, limits, lambda: run_build(engine, request, recorder, source, renderer)
            )
    if iidfile is not None:
        write_image_id(iidfile, outcome.image)
    if metadata_file is not None:
        write_metadata(metadata_file, outcome, renderer.warnings, os.environ)
    if quiet or progress == "quiet":
        if not read.takes_stdout:
            print(outcome.image)
    elif progress != "rawjson":
        named = "".join(f" as {tag.familiar()}" for tag in outcome.tags)
        if renderer.findings:
            typer.echo(counted(renderer.findings, "warning") + " found by the build checks", err=True)
        for line in summary_lines(outcome):
            typer.echo(line, err=True)
        typer.echo(f"built {outcome.image}{named}", err=True)


@contextmanager
def explained(mode: str, source: BuildSource) -> Iterator[Renderer]:
    """A renderer; an error of the block gets the Dockerfile and what the failing step said."""
    with rendered(mode, lambda name: source.data) as renderer:
        try:
            yield renderer
        except BaseException as error:
            renderer.close()
            failed = renderer.failed_steps[0] if renderer.failed_steps else None
            shown = (renderer.step_name(failed), renderer.failure_tail(failed)) if failed else None
            raise WithSource(error, source.data, shown) from error


def normalise(arguments: Sequence[str]) -> list[str]:
    """Docker's switches with and without a value, in the one form that the parser knows."""
    normal: list[str] = []
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if argument == "--":
            return [*normal, *arguments[index:]]
        if argument == "--pull":
            normal.append("--pull=always")
        elif name in _NEEDLESS:
            continue
        elif name in _SWITCHES and equals and value.lower() in ("1", "t", "true"):
            normal.append(name)
        elif name in _SWITCHES and equals and value.lower() in ("0", "f", "false"):
            continue
        else:
            normal.append(argument)
    return normal


def refuse_unbuilt(command: Any) -> None:
    """Give the parser the options that are not built yet, so that each is refused by its name."""
    for name, takes_value in UNBUILT.items():
        option = TyperOption(
            param_decls=[name, f"unbuilt_{name.strip('-').replace('-', '_')}"],
            hidden=True,
            expose_value=False,
            is_flag=not takes_value,
            multiple=takes_value,
            type=str if takes_value else bool,
            callback=_refuse(name),
        )
        command.commands["build"].params.append(option)


def _refuse(name: str) -> Any:
    def callback(context: Any, parameter: Any, value: Any) -> None:
        if value:
            raise Unsupported(
                f"{name} is not built yet", hint="leave it out; docs/differences.md says what is missing"
            )

    return callback


def build_args_of(given: Sequence[str], environment: Any) -> Mapping[str, str]:
    found = {}
    for argument in given:
        name, equals, value = argument.partition("=")
        if not name:
            raise InvalidOption(f'--build-arg "{argument}" has no name', hint="write it as NAME=value")
        if equals:
            found[name] = value
        else:
            inherited = environment(name)
            if inherited is not None:
                found[name] = inherited
    return found


def choice(option: str, value: str, choices: Sequence[str], aliases: Mapping[str, str]) -> Any:
    value = aliases.get(value, value)
    if value not in choices:
        raise InvalidOption(f'{option} cannot be "{value}"', hint=f"it is one of {', '.join(choices)}")
    return value
