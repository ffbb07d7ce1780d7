"""From a syntax node to an instruction: what Docker checks before anything is expanded."""

from __future__ import annotations

import re
from collections.abc import Callable

from builder.core.durations import parse_duration
from builder.core.errors import PybuildError
from builder.core.image import Healthcheck as HealthcheckConfig
from builder.core.location import Location
from builder.core.suggest import closest, did_you_mean
from builder.frontend.dockerfile.flags import Flags, read_flags
from builder.frontend.dockerfile.instructions import (
    Arg,
    Argument,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    InvalidArguments,
    InvalidFlag,
    InvalidTrigger,
    Label,
    Maintainer,
    OnBuild,
    Pair,
    Run,
    Shell,
    StopSignal,
    UnknownInstruction,
    User,
    Volume,
    Workdir,
)
from builder.frontend.dockerfile.node import Heredoc, Node, Word
from builder.frontend.dockerfile.values import is_stage_name

_HEREDOC = re.compile(r"[0-9]*<<-?\s*[^<]+")
_ONBUILD = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)
_NOT_TRIGGERS = ("onbuild", "from", "maintainer")
_NETWORKS = ("default", "none", "host")
_USAGE = {
    "env": "name=value", "label": "name=value", "arg": "name[=default]", "expose": "port[/protocol]",
    "volume": "path", "shell": '["program", "argument"]', "workdir": "path", "user": "name[:group]",
    "stopsignal": "signal", "maintainer": "name", "healthcheck": "CMD command",
}  # fmt: skip
_SHORTEST_INTERVAL = 1_000_000  # ns; Docker takes no less than a millisecond


def interpret(node: Node) -> Instruction:
    """Raises UnknownInstruction, UnknownFlag, InvalidFlag, InvalidArguments, InvalidTrigger."""
    reader = READERS.get(node.keyword)
    if reader is None:
        meant = meant_instruction(node)
        raise UnknownInstruction(
            f'unknown instruction "{node.keyword_as_written}"',
            hint=f'did you mean "{meant.upper()}"?'
            if meant is not None
            else "a line that goes on from the one before needs a backslash at that one's end",
            location=node.keyword_location,
        )
    return reader(node, read_flags(node))


def meant_instruction(node: Node) -> str | None:
    """The instruction that an unknown one is nearly, in lower case."""
    return closest(node.keyword, READERS)


def _from(node: Node, flags: Flags) -> From:
    words = node.words
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].text.lower() != "as"):
        raise _wrong(
            "FROM requires either one or three arguments",
            "write FROM image or FROM image AS name",
            words[1].location if len(words) > 1 else node.location,
        )
    name = words[2].text.lower() if len(words) == 3 else ""
    if name and not is_stage_name(name):
        raise _wrong(
            f'invalid name for a stage: "{words[2].text}"',
            'a name begins with a letter and has letters, digits, "-", "_" and "." only',
            words[2].location,
        )
    return From(node, words[0], name, flags.value("platform"))


def _command(node: Node, words: tuple[Word, ...]) -> Command:
    if node.is_json:
        return Command(tuple(word.text for word in words), False)
    return Command((" ".join(word.text for word in words),), True)


def _run(node: Node, flags: Flags) -> Run:
    command = _command(node, node.words)
    if not command.words:
        raise _wrong(
            "RUN requires a command", 'write RUN command or RUN ["program", "argument"]', node.location
        )
    network = flags.one.get("network")
    if network is not None and network.text not in _NETWORKS:
        raise InvalidFlag(
            f'invalid network mode "{network.text}"',
            hint=did_you_mean(network.text, _NETWORKS, otherwise=f"it is one of {', '.join(_NETWORKS)}"),
            location=network.location,
        )
    return Run(
        node,
        command,
        _script(node),
        network.text if network is not None else "",
        flags.many.get("mount", ()),
        flags.value("security"),
        flags.many.get("device", ()),
    )


def _script(node: Node) -> Heredoc | None:
    """The heredoc that is the whole command."""
    if len(node.heredocs) == len(node.words) == 1 and node.heredocs[0].location == node.words[0].location:
        return node.heredocs[0]
    return None


def _copy(node: Node, flags: Flags) -> Copy:
    keyword = node.keyword.upper()
    if len(node.words) < 2:
        given = "only one was provided" if node.words else "none was provided"
        raise _wrong(
            f"{keyword} requires at least two arguments, but {given}: there is no destination",
            f"write {keyword} source destination",
            node.words[0].location if node.words else node.location,
        )
    *words, destination = node.words
    if _HEREDOC.fullmatch(destination.text):
        raise _wrong(
            f"{keyword} cannot accept a heredoc as a destination",
            f"write the destination last: {keyword} <<EOF /path",
            destination.location,
        )
    sources, heredocs = _split_heredocs(node, words)
    return Copy(
        node=node,
        is_add=node.keyword == "add",
        sources=sources,
        heredocs=heredocs,
        destination=destination,
        origin=flags.value("from"),
        owner=flags.value("chown"),
        mode=flags.value("chmod"),
        excludes=flags.many.get("exclude", ()),
        checksum=flags.value("checksum"),
        switches=tuple(
            flags.written[name] for name, is_on in flags.switches.items() if is_on or name == "unpack"
        ),
    )


def _split_heredocs(node: Node, words: list[Word]) -> tuple[tuple[Word, ...], tuple[Heredoc, ...]]:
    if not node.heredocs:
        return tuple(words), ()
    starts = {heredoc.location for heredoc in node.heredocs}
    return tuple(word for word in words if word.location not in starts), node.heredocs


def _pairs(node: Node) -> tuple[Pair, ...]:
    keyword = node.keyword.upper()
    _at_least_one(node)
    words = node.words
    pairs = tuple(Pair(words[i], words[i + 1]) for i in range(0, len(words) - 1, 3))
    for pair in pairs:
        if not pair.key.text:
            raise _wrong(
                f"{keyword} names can not be blank", "write name=value", _or_value(pair.key, pair.value)
            )
    return pairs


def _or_value(key: Word, value: Word) -> Location:
    """A blank key is nowhere; its value may be somewhere."""
    return value.location if value.text else key.location


def _env(node: Node, _: Flags) -> Env:
    return Env(node, _pairs(node))


def _label(node: Node, _: Flags) -> Label:
    return Label(node, _pairs(node))


def _arg(node: Node, _: Flags) -> Arg:
    _at_least_one(node)
    arguments = []
    for word in node.words:
        name, equals, default = word.text.partition("=")
        if not name:
            raise _wrong("ARG names can not be blank", "write ARG name or ARG name=default", word.location)
        arguments.append(Argument(name, Word(default, _after(word, len(name) + 1)) if equals else None))
    return Arg(node, tuple(arguments))


def _after(word: Word, length: int) -> Location:
    """The place of what follows the first characters, unless a line ends in between."""
    at = word.location
    if at.start_line != at.end_line:
        return at
    return at._replace(start_column=min(at.start_column + length, at.end_column))


def _workdir(node: Node, _: Flags) -> Workdir:
    return Workdir(node, _exactly_one(node))


def _user(node: Node, _: Flags) -> User:
    return User(node, _exactly_one(node))


def _stop_signal(node: Node, _: Flags) -> StopSignal:
    return StopSignal(node, _exactly_one(node))


def _maintainer(node: Node, _: Flags) -> Maintainer:
    return Maintainer(node, _exactly_one(node).text)


def _expose(node: Node, _: Flags) -> Expose:
    _at_least_one(node)
    return Expose(node, node.words)


def _volume(node: Node, _: Flags) -> Volume:
    _at_least_one(node)
    for word in node.words:
        if not word.text:
            raise _wrong("a VOLUME can not be an empty string", "write a path", word.location)
    return Volume(node, node.words)


def _cmd(node: Node, _: Flags) -> Cmd:
    return Cmd(node, _command(node, node.words))


def _entrypoint(node: Node, _: Flags) -> Entrypoint:
    return Entrypoint(node, _command(node, node.words))


def _shell(node: Node, _: Flags) -> Shell:
    if not node.is_json:
        raise _wrong(
            "SHELL requires the arguments to be in JSON form", 'write SHELL ["/bin/sh", "-c"]', node.location
        )
    _at_least_one(node)
    return Shell(node, tuple(word.text for word in node.words))


def _healthcheck(node: Node, flags: Flags) -> Healthcheck:
    _at_least_one(node)
    kind, *rest = node.words
    if kind.text.upper() == "NONE":
        if rest:
            raise _wrong("HEALTHCHECK NONE takes no arguments", "leave out the rest", rest[0].location)
        return Healthcheck(node, HealthcheckConfig(test=("NONE",)))
    if kind.text.upper() != "CMD":
        raise _wrong(
            f'unknown type "{kind.text}" in HEALTHCHECK', "write CMD command, or NONE alone", kind.location
        )
    command = _command(node, tuple(rest))
    if not any(command.words):
        raise _wrong("missing command after HEALTHCHECK CMD", "write HEALTHCHECK CMD command", kind.location)
    test = ("CMD-SHELL" if command.is_shell else "CMD", *command.words)
    config = HealthcheckConfig(
        test=test,
        interval=_interval(flags, "interval"),
        timeout=_interval(flags, "timeout"),
        start_period=_interval(flags, "start-period"),
        start_interval=_interval(flags, "start-interval"),
        retries=_retries(flags),
    )
    return Healthcheck(node, config)


def _interval(flags: Flags, name: str) -> int:
    word = flags.value(name)
    if word is None:
        return 0
    duration = parse_duration(word.text)
    if duration is None:
        raise InvalidFlag(
            f'"{word.text}" is not a duration', hint="write 30s, 1m30s or 500ms", location=word.location
        )
    if duration != 0 and duration < _SHORTEST_INTERVAL:
        raise InvalidFlag(
            f'--{name} "{word.text}" is less than 1ms', hint="1ms is the shortest", location=word.location
        )
    return duration


def _retries(flags: Flags) -> int:
    word = flags.value("retries")
    if word is None:
        return 0
    if re.fullmatch(r"[+-]?[0-9]{1,9}", word.text) is None or int(word.text) < 0:
        raise InvalidFlag(
            f'--retries "{word.text}" is not a count',
            hint="write a number, 0 or more",
            location=word.location,
        )
    return int(word.text)


def _on_build(node: Node, _: Flags) -> OnBuild:
    trigger = node.trigger
    if trigger is None:
        raise _wrong("ONBUILD requires at least one argument", "write ONBUILD instruction", node.location)
    if trigger.keyword in _NOT_TRIGGERS:
        raise InvalidTrigger(
            f"{trigger.keyword.upper()} is not allowed as an ONBUILD trigger",
            hint="RUN, COPY, ADD, ENV and most others are",
            location=trigger.keyword_location,
        )
    text = _ONBUILD.sub("", node.original, count=1)
    bodies = "".join(f"\n{heredoc.content_as_written}{heredoc.name}" for heredoc in node.heredocs)
    return OnBuild(node, text + bodies)


def _at_least_one(node: Node) -> None:
    if not node.words:
        raise _wrong(f"{node.keyword.upper()} requires at least one argument", _usage(node), node.location)


def _exactly_one(node: Node) -> Word:
    if len(node.words) != 1:
        raise _wrong(f"{node.keyword.upper()} requires exactly one argument", _usage(node), node.location)
    return node.words[0]


def _usage(node: Node) -> str:
    return f"write {node.keyword.upper()} {_USAGE[node.keyword]}"


def _wrong(message: str, hint: str, location: Location) -> PybuildError:
    return InvalidArguments(message, hint=hint, location=location)


READERS: dict[str, Callable[[Node, Flags], Instruction]] = {
    "from": _from, "run": _run, "copy": _copy, "add": _copy, "env": _env, "label": _label, "arg": _arg,
    "workdir": _workdir, "user": _user, "expose": _expose, "volume": _volume, "cmd": _cmd,
    "entrypoint": _entrypoint, "shell": _shell, "stopsignal": _stop_signal, "healthcheck": _healthcheck,
    "onbuild": _on_build, "maintainer": _maintainer,
}  # fmt: skip
