"""From the options of `build`, as `verify` has them too, to what the engine is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builder.cli.build import EPOCH, InvalidOption, build_args_of, choice
from builder.cli.build_session import read_secrets, read_ssh
from builder.cli.platforms import wanted_platforms
from builder.cli.step_values import ArgumentFileNotFound, limits_of, lines_of, names_of, settings_of
from builder.core.limits import parse_time
from builder.engine.build import DEFAULT_PARALLELISM, BuildRequest
from builder.engine.project import CONTEXT_MODES, ContextModes
from builder.engine.recorder import Recorder

_LIMITS = (
    "memory", "memory_swap", "cpus", "cpu_shares", "cpuset_cpus", "cpuset_mems", "cpu_period", "cpu_quota",
    "pids_limit",
)  # fmt: skip


def request_of(given: Mapping[str, Any], recorder: Recorder) -> BuildRequest:
    """``given`` has the parameters of `build` by name; those that are missing have their defaults."""
    get = given.get
    if get("no_cache") and get("no_cache_filter"):
        raise InvalidOption(
            "--no-cache and --no-cache-filter exclude each other", hint="leave one of them out"
        )
    arguments = [EPOCH, *_argument_lines(get("build_arg_files") or (), recorder), *(get("build_args") or ())]
    pull = choice(
        "--pull", given["pull"], ("missing", "always", "never"), {"true": "always", "false": "missing"}
    )
    return BuildRequest(
        context=given["path"],
        file=get("file"),
        named_contexts=_named_contexts(get("build_contexts") or ()),
        tags=get("tags") or (),
        target=get("target"),
        build_args=build_args_of(arguments, recorder.environment),
        labels=_pairs(get("labels") or ()),
        pull=pull,
        network=_network(get("network")),
        platforms=wanted_platforms(get("platform") or (), os.environ),
        context_modes=_context_modes(get("context_modes")),
        is_cache_ignored=bool(get("no_cache")),
        uncached_stages=names_of(get("no_cache_filter")),
        settings=settings_of(
            hosts=get("add_host"),
            ulimits=get("ulimits"),
            shm_size=get("shm_size"),
            limits=limits_of(**{name: get(name) for name in _LIMITS}),
            cgroup_parent=get("cgroup_parent"),
            security=get("security"),
            step_timeout=get("step_timeout"),
            silence_timeout=get("silence_timeout"),
            allow=get("allow"),
        ),
        secrets=read_secrets(get("secrets") or (), os.environ),
        ssh=read_ssh(get("ssh") or (), os.environ),
        parallelism=get("jobs") or DEFAULT_PARALLELISM,
        time_limit=parse_time(given["timeout"], "--timeout") if get("timeout") else 0,
        rewrites_timestamps=bool(get("rewrite_timestamp")),
        is_locked=bool(get("locked")),
    )


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


def _pairs(labels: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for label in labels:
        name, _, value = label.partition("=")
        if not name:
            raise InvalidOption(f'--label "{label}" has no name', hint="write it as NAME=value")
        found[name] = value
    return found


def _context_modes(mode: str | None) -> ContextModes | None:
    return None if mode is None else choice("--context-modes", mode, CONTEXT_MODES, {})


def _network(mode: str | None) -> str | None:
    return None if mode is None else choice("--network", mode, ("default", "host", "none"), {})
