"""`pybuild build`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperOption

from builder.cli.context import opened, rendered
from builder.cli.failures import WithSource
from builder.cli.output_options import (
    AnnotationTexts,
    Load,
    MetadataFile,
    OutputTexts,
    Push,
    read_outputs,
    write_metadata,
)
from builder.cli.render.text import counted
from builder.cli.step_options import (
    AddHost,
    Allow,
    BuildArgFile,
    CgroupParent,
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
    ShmSize,
    Ulimits,
)
from builder.cli.step_values import ArgumentFileNotFound, limits_of, lines_of, names_of, settings_of
from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.platform import Platform

# Options of `docker buildx build` that have no effect yet: refused by name. True: they take a value.
UNBUILT = {
    "--attest": True, "--builder": True, "--cache-from": True, "--cache-to": True,
    "--call": True, "--compress": False, "--isolation": True, "--policy": True, "--provenance": True,
    "--sbom": True, "--security-opt": True, "--squash": False,
}  # fmt: skip
# As in buildx, a build argument that the environment gives, unless the command line does.
EPOCH = "SOURCE_DATE_EPOCH"
# Nothing of a step is left to remove, with BuildKit as here.
_NEEDLESS = ("--rm", "--force-rm")
# Docker's spellings of a switch: --no-cache=true.
_SWITCHES = ("--no-cache", "--quiet", "--load", "--push", "--check", "--rewrite-timestamp")


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
        list[str] | None, typer.Option("--platform", metavar="OS/ARCH", help="The platform to build for.")
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
    rewrite_timestamp: Annotated[
        bool,
        typer.Option("--rewrite-timestamp", help="No file time of a new layer after SOURCE_DATE_EPOCH."),
    ] = False,
    outputs: OutputTexts = None,
    push: Push = False,
    load: Load = False,
    metadata_file: MetadataFile = None,
    annotations: AnnotationTexts = None,
    check: Annotated[
        bool, typer.Option("--check", help="Build nothing: show what `pybuild check` finds.")
    ] = False,
) -> None:
    """Build an image from a Dockerfile."""
    from builder.cli.build_session import read_secrets, read_ssh
    from builder.engine.build import DEFAULT_PARALLELISM, BuildRequest, BuildSource
    from builder.engine.build import build as run_build
    from builder.engine.recorder import Recorder

    if no_cache and no_cache_filter:
        raise InvalidOption(
            "--no-cache and --no-cache-filter exclude each other", hint="leave one of them out"
        )
    limits = limits_of(
        memory=memory,
        memory_swap=memory_swap,
        cpus=cpus,
        cpu_shares=cpu_shares,
        cpuset_cpus=cpuset_cpus,
        cpuset_mems=cpuset_mems,
        cpu_period=cpu_period,
        cpu_quota=cpu_quota,
        pids_limit=pids_limit,
    )
    read = read_outputs(
        outputs,
        annotations,
        pushes=push,
        loads=load,
        is_described=metadata_file is not None,
        environ=os.environ,
    )
    recorder, source = Recorder(os.environ), BuildSource()
    request = BuildRequest(
        context=path,
        file=file,
        named_contexts=_named_contexts(build_contexts or ()),
        tags=tags or (),
        target=target,
        build_args=build_args_of(
            [EPOCH, *_argument_lines(build_arg_files or (), recorder), *(build_args or ())],
            recorder.environment,
        ),
        labels=_pairs(labels or ()),
        pull=choice("--pull", pull, ("missing", "always", "never"), {"true": "always", "false": "missing"}),
        network=_network(network),
        platform=platform_of(platform or ()),
        is_cache_ignored=no_cache,
        uncached_stages=names_of(no_cache_filter),
        settings=settings_of(
            hosts=add_host,
            ulimits=ulimits,
            shm_size=shm_size,
            limits=limits,
            cgroup_parent=cgroup_parent,
            allow=allow,
        ),
        secrets=read_secrets(secrets or (), os.environ),
        ssh=read_ssh(ssh or (), os.environ),
        parallelism=jobs or DEFAULT_PARALLELISM,
        rewrites_timestamps=rewrite_timestamp or read.rewrites_timestamps,
        outputs=read.outputs,
    )
    if check:
        from builder.cli.check import report

        report(context, request, recorder, "text")
        return
    with rendered("quiet" if quiet else progress, lambda name: source.data) as renderer:
        try:
            with opened(context, renderer) as engine:
                outcome = run_build(engine, request, recorder, source, renderer)
        except BaseException as error:
            renderer.close()
            failed = renderer.failed_steps[0] if renderer.failed_steps else None
            shown = (renderer.step_name(failed), renderer.failure_tail(failed)) if failed else None
            raise WithSource(error, source.data, shown) from error
    if iidfile is not None:
        iidfile.write_text(str(outcome.image))
    if metadata_file is not None:
        write_metadata(metadata_file, outcome)
    if quiet or progress == "quiet":
        if not read.takes_stdout:
            print(outcome.image)
    elif progress != "rawjson":
        named = "".join(f" as {tag.familiar()}" for tag in outcome.tags)
        if renderer.findings:
            typer.echo(counted(renderer.findings, "warning") + " found by the build checks", err=True)
        typer.echo(f"built {outcome.image}{named}", err=True)


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


def _named_contexts(given: Sequence[str]) -> Mapping[str, str]:
    from builder.engine.inputs import named_context

    found = {}
    for argument in given:
        name, equals, value = argument.partition("=")
        if not name or not equals or not value:
            raise InvalidOption(
                f'--build-context "{argument}" is incomplete', hint="write it as NAME=folder, or NAME=address"
            )
        found[named_context(name)] = value
    return found


def _argument_lines(files: Sequence[Path], recorder: Any) -> list[str]:
    lines: list[str] = []
    for file in files:
        try:
            data = recorder.read_file(file)
        except OSError as error:
            raise ArgumentFileNotFound(f'cannot read "{file}": {error.strerror}') from error
        if data is None:
            raise ArgumentFileNotFound(f'there is no file "{file}"', hint="--build-arg-file names it")
        lines += lines_of(data)
    return lines


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


def _pairs(labels: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for label in labels:
        name, _, value = label.partition("=")
        if not name:
            raise InvalidOption(f'--label "{label}" has no name', hint="write it as NAME=value")
        found[name] = value
    return found


def _network(mode: str | None) -> str | None:
    return None if mode is None else choice("--network", mode, ("default", "host", "none"), {})


def choice(option: str, value: str, choices: Sequence[str], aliases: Mapping[str, str]) -> Any:
    value = aliases.get(value, value)
    if value not in choices:
        raise InvalidOption(f'{option} cannot be "{value}"', hint=f"it is one of {', '.join(choices)}")
    return value


def platform_of(given: Sequence[str]) -> Platform | None:
    names = [name for text in given for name in text.split(",")]
    if len(names) > 1:
        raise Unsupported(
            "building for several platforms at once is not built yet", hint="name one --platform"
        )
    return Platform.parse(names[0]) if names else None
