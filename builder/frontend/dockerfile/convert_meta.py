"""The instructions that only change the image config and its history; none makes a vertex."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from builder.core.durations import format_duration
from builder.core.image import Healthcheck as HealthcheckConfig
from builder.frontend.dockerfile.arguments import NOT_IN_ENVIRONMENT
from builder.frontend.dockerfile.gotext import quote, quote_list, quote_rune
from builder.frontend.dockerfile.instructions import (
    Arg,
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    InvalidArguments,
    Label,
    Maintainer,
    OnBuild,
    Pair,
    Shell,
    StopSignal,
    User,
    Volume,
)
from builder.frontend.dockerfile.node import Word
from builder.frontend.dockerfile.stage_state import StageState
from builder.frontend.dockerfile.values import is_signal, ports

_DEFAULT_SHELL = ("/bin/sh", "-c")


def convert_env(state: StageState, env: Env) -> None:
    pairs = _expand_pairs(state, env.pairs)
    entries = dict(entry.partition("=")[::2] for entry in state.image.env)
    for name, value in pairs:
        entries[name] = value
        state.set_variable(name, value)
    state.image = replace(state.image, env=tuple(f"{name}={value}" for name, value in entries.items()))
    state.commit(_pairs_text("ENV", pairs))


def convert_label(state: StageState, label: Label) -> None:
    pairs = _expand_pairs(state, label.pairs)
    state.image = replace(state.image, labels={**state.image.labels, **dict(pairs)})
    state.commit(_pairs_text("LABEL", pairs))


def _expand_pairs(state: StageState, pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """All against the environment before the instruction."""
    expanded = [(state.expand(pair.key), state.expand(pair.value)) for pair in pairs]
    for pair, (name, _) in zip(pairs, expanded, strict=True):
        if not name:
            raise InvalidArguments(
                f'the name "{pair.key.text}" is blank',
                hint="write name=value; a variable in the name has to be set",
                location=pair.key.location,
            )
    return expanded


def _pairs_text(keyword: str, pairs: Sequence[tuple[str, str]]) -> str:
    return " ".join((keyword, *(f"{name}={value}" for name, value in pairs)))


def convert_arg(state: StageState, arg: Arg, global_arguments: dict[str, str]) -> None:
    """Unlike ENV, from left to right: a later argument's default sees the earlier one.

    The history has the default that the file gives, not the value that it got.
    """
    shown = []
    for name, default_word in arg.arguments:
        state.scope.declared.add(name)
        given = state.scope.request.build_args.get(name)
        default = None if default_word is None else state.expand(default_word)
        shown.append(name if default is None else f"{name}={default}")
        value = given if given is not None else default
        if value is None:
            value = global_arguments.get(name)
        if value is not None and name not in NOT_IN_ENVIRONMENT:
            state.set_variable(name, value)
        state.arguments.append((name, value or ""))
    state.commit(f"ARG {' '.join(shown)}")


def convert_user(state: StageState, user: User) -> None:
    name = state.expand(user.user)
    state.image = replace(state.image, user=name)
    state.commit(f"USER {name}")


def convert_expose(state: StageState, expose: Expose) -> None:
    found: set[str] = set()
    for word in expose.ports:
        for text in state.scope.expand_words(word, state.env):
            found.update(_ports(text, word))
    state.image = replace(state.image, exposed_ports=tuple(sorted({*state.image.exposed_ports, *found})))
    state.commit(f"EXPOSE map[{' '.join(f'{port}:{{}}' for port in sorted(found))}]")


def _ports(text: str, word: Word) -> list[str]:
    if not text:
        return []
    try:
        return ports(text)
    except ValueError as error:
        raise InvalidArguments(
            f'invalid port "{text}": {error}',
            hint="write EXPOSE port, port-port or port/udp",
            location=word.location,
        ) from None


def convert_volume(state: StageState, volume: Volume) -> None:
    paths = [state.expand(word) for word in volume.paths]
    for path, word in zip(paths, volume.paths, strict=True):
        if not path:
            raise InvalidArguments(
                f'the VOLUME "{word.text}" is an empty string',
                hint="the variables in it have to be set",
                location=word.location,
            )
    state.image = replace(state.image, volumes=tuple(sorted({*state.image.volumes, *paths})))
    state.commit(f"VOLUME [{' '.join(paths)}]")


def convert_cmd(state: StageState, cmd: Cmd) -> None:
    args = command_args(state, cmd.command)
    # Docker writes an empty list as none at all.
    state.image = replace(state.image, cmd=args or None, args_escaped=True)
    state.has_cmd = True
    state.commit(f"CMD {quote_list(args)}")


def convert_entrypoint(state: StageState, entrypoint: Entrypoint) -> None:
    args = command_args(state, entrypoint.command)
    state.image = replace(state.image, entrypoint=args or None)
    if not state.has_cmd:
        # The base's CMD was meant for the base's ENTRYPOINT.
        state.image = replace(state.image, cmd=None)
    state.commit(f"ENTRYPOINT {quote_list(args)}")


def command_args(state: StageState, command: Command) -> tuple[str, ...]:
    """With the shell in front where it is one's job."""
    if not command.is_shell:
        return command.words
    return (*(state.image.shell or _DEFAULT_SHELL), *command.words)


def convert_shell(state: StageState, shell: Shell) -> None:
    state.image = replace(state.image, shell=shell.words)
    state.commit(f"SHELL [{' '.join(shell.words)}]")


def convert_stop_signal(state: StageState, stop_signal: StopSignal) -> None:
    signal = state.expand(stop_signal.signal)
    if not is_signal(signal):
        raise InvalidArguments(
            f'invalid signal "{signal}"',
            hint="write a name, SIGTERM, or a number",
            location=stop_signal.signal.location,
        )
    state.image = replace(state.image, stop_signal=signal)
    state.commit(f"STOPSIGNAL {signal}")


def convert_healthcheck(state: StageState, healthcheck: Healthcheck) -> None:
    state.image = replace(state.image, healthcheck=healthcheck.config)
    state.commit(f"HEALTHCHECK {_healthcheck_text(healthcheck.config)}")


def _healthcheck_text(config: HealthcheckConfig) -> str:
    """``%q`` of Go's struct."""
    durations = (config.interval, config.timeout, config.start_period, config.start_interval)
    shown = " ".join(quote(format_duration(duration)) for duration in durations)
    return f"&{{{quote_list(config.test)} {shown} {quote_rune(config.retries)}}}"


def convert_on_build(state: StageState, on_build: OnBuild) -> None:
    """The only instruction that the history does not mention."""
    state.image = replace(state.image, on_build=(*state.image.on_build, on_build.expression))


def convert_maintainer(state: StageState, maintainer: Maintainer) -> None:
    state.image = replace(state.image, author=maintainer.name)
    state.commit(f"MAINTAINER {maintainer.name}")
