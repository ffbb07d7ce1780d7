"""What each instruction accepts and refuses before anything is expanded."""

from __future__ import annotations

import pytest

from builder.core.errors import PybuildError
from builder.core.image import Healthcheck as HealthcheckConfig
from builder.frontend.dockerfile.instructions import (
    Arg,
    Copy,
    From,
    Healthcheck,
    Instruction,
    OnBuild,
    Run,
)
from builder.frontend.dockerfile.meaning import interpret
from builder.frontend.dockerfile.parser import parse


def read(text: str) -> Instruction:
    (node,) = parse(text.encode()).nodes
    return interpret(node)


MISTAKES = [
    ("FOO bar", "unknown-instruction", 'unknown instruction "FOO"', "FROM", 1),
    ("RUM x", "unknown-instruction", '"RUM"', "RUN", 1),
    ("RUN --foo x", "unknown-flag", 'unknown flag "--foo" of RUN', "--mount", 5),
    ("COPY --form=x a b", "unknown-flag", '"--form"', '"from"', 6),
    ("ADD --from=x a b", "unknown-flag", '"--from"', "--chown", 5),
    ("CMD --x y", "unknown-flag", '"--x" of CMD', "no flags", 5),
    ("ENV --x a=b", "unknown-flag", "ENV", "no flags", 5),
    ("WORKDIR --x /a", "unknown-flag", "WORKDIR", "no flags", 9),
    ("ONBUILD --x RUN y", "unknown-flag", "ONBUILD", "no flags", 9),
    ("FROM --bogus busybox", "unknown-flag", "FROM", "--platform", 6),
    ("RUN --network=none --network=none x", "invalid-flag", 'duplicate flag "--network"', "leave", 20),
    ("COPY --chown a b", "invalid-flag", 'missing a value on flag "--chown"', "--chown=VALUE", 6),
    ("RUN --network=foo x", "invalid-flag", 'invalid network mode "foo"', "default, none, host", 5),
    ("RUN --network=nome x", "invalid-flag", '"nome"', '"none"', 5),
    ("RUN --network= x", "invalid-flag", '""', "default", 5),
    ("COPY --link=maybe a b", "invalid-flag", '"maybe"', "true or false", 6),
    ("RUN []", "invalid-arguments", "RUN requires a command", "RUN command", 1),
    ("FROM a b", "invalid-arguments", "either one or three", "AS name", 8),
    ("FROM a foo b", "invalid-arguments", "either one or three", "AS name", 8),
    ("FROM a as 1b", "invalid-arguments", 'invalid name for a stage: "1b"', "letter", 11),
    ("FROM a as b$", "invalid-arguments", '"b$"', "letter", 11),
    ("FROM", "invalid-arguments", "either one or three", "FROM image", 1),
    ("COPY a", "invalid-arguments", "COPY requires at least two arguments, but only one", "destination", 6),
    ("ADD", "invalid-arguments", "ADD requires at least two arguments, but none", "destination", 1),
    ('COPY ["a", "<<EOF"]', "invalid-arguments", "heredoc as a destination", "last", 12),
    ("ENV", "invalid-arguments", "ENV requires at least one argument", "name=value", 1),
    ("LABEL =x", "invalid-arguments", "LABEL names can not be blank", "name=value", 8),
    ("ARG =x", "invalid-arguments", "ARG names can not be blank", "ARG name", 5),
    ("ARG", "invalid-arguments", "ARG requires at least one argument", "name[=default]", 1),
    ("WORKDIR", "invalid-arguments", "WORKDIR requires exactly one argument", "path", 1),
    ("USER", "invalid-arguments", "USER requires exactly one argument", "name", 1),
    ("STOPSIGNAL", "invalid-arguments", "STOPSIGNAL requires exactly one", "signal", 1),
    ("MAINTAINER", "invalid-arguments", "MAINTAINER requires exactly one", "name", 1),
    ("EXPOSE", "invalid-arguments", "EXPOSE requires at least one", "port", 1),
    ("VOLUME []", "invalid-arguments", "VOLUME requires at least one", "path", 1),
    ('VOLUME ["/a", ""]', "invalid-arguments", "can not be an empty string", "path", 15),
    ("SHELL x", "invalid-arguments", "SHELL requires the arguments to be in JSON form", "SHELL [", 1),
    ("SHELL []", "invalid-arguments", "SHELL requires at least one", "program", 1),
    ("HEALTHCHECK", "invalid-arguments", "HEALTHCHECK requires at least one", "CMD", 1),
    ("HEALTHCHECK NONE x", "invalid-arguments", "NONE takes no arguments", "leave", 18),
    ("HEALTHCHECK CMD", "invalid-arguments", "missing command", "CMD command", 13),
    ("HEALTHCHECK CMD []", "invalid-arguments", "missing command", "CMD command", 13),
    ("HEALTHCHECK FOO x", "invalid-arguments", 'unknown type "FOO"', "CMD", 13),
    ("HEALTHCHECK --interval=5 CMD a", "invalid-flag", '"5" is not a duration', "30s", 13),
    ("HEALTHCHECK --interval=-1s CMD a", "invalid-flag", "less than 1ms", "1ms", 13),
    ("HEALTHCHECK --timeout=1us CMD a", "invalid-flag", '--timeout "1us"', "1ms", 13),
    ("HEALTHCHECK --retries=x CMD a", "invalid-flag", '"x" is not a count', "number", 13),
    ("HEALTHCHECK --retries=-1 CMD a", "invalid-flag", '"-1"', "number", 13),
    ("HEALTHCHECK --interval CMD a", "invalid-flag", "missing a value", "--interval=VALUE", 13),
    ("ONBUILD", "invalid-arguments", "ONBUILD requires", "ONBUILD instruction", 1),
    ("ONBUILD FROM x", "invalid-trigger", "FROM is not allowed", "RUN", 9),
    ("ONBUILD ONBUILD RUN x", "invalid-trigger", "ONBUILD is not allowed", "RUN", 9),
    ("ONBUILD maintainer x", "invalid-trigger", "MAINTAINER is not allowed", "RUN", 9),
]


@pytest.mark.parametrize(
    ("text", "code", "part", "hint", "column"), MISTAKES, ids=[row[0] for row in MISTAKES]
)
def test_mistake(text: str, code: str, part: str, hint: str, column: int) -> None:
    """What Docker refuses is refused, with a stable code, a hint, and the place of the word."""
    with pytest.raises(PybuildError) as caught:
        read(text)
    error = caught.value

    assert code == error.code
    assert part in error.message
    assert hint in (error.hint or "")
    assert error.location is not None
    assert (1, column) == error.location[:2]


@pytest.mark.parametrize(
    "text",
    [
        "STOPSIGNAL --x=1 9", "ARG --x a", "RUN", "CMD", "CMD []", "ENTRYPOINT []", 'RUN [""]', "RUN ['a']",
        "COPY --from= a b", "COPY --chown= a b", "FROM --platform= busybox", "ONBUILD FOO x",
        "ONBUILD COPY a",
        "HEALTHCHECK --interval=1s NONE", "HEALTHCHECK --interval= CMD a", "HEALTHCHECK --retries=+5 CMD a",
        "RUN --mount=type=cache,target=/x --mount=type=tmpfs,target=/y true",
        "COPY --exclude=a --exclude=b . /",
        "FROM a as B_-.x", "USER a b", "COPY --link --parents=false . /",
    ],
)  # fmt: skip
def test_accepted(text: str) -> None:
    """What Docker takes at this stage is taken, odd as it may look."""
    assert read(text).node.keyword in text.lower()


def test_from() -> None:
    """A stage's name is kept in lower case."""
    assert (
        (instruction := read("FROM --platform=linux/arm64 busybox AS Builder")),
        isinstance(instruction, From) and (instruction.name, instruction.base.text),
    )[1] == ("builder", "busybox")


def test_run_script() -> None:
    """Only a heredoc that is all of the command is a script."""
    alone, beside = read("RUN <<EOF\nx\nEOF"), read("RUN <<EOF cat\nx\nEOF")

    assert isinstance(alone, Run)
    assert isinstance(beside, Run)
    assert alone.script is not None
    assert beside.script is None


def test_copy_with_heredocs_and_files() -> None:
    """Files and heredocs are told apart."""
    copy = read('COPY a <<EOF b <<-"X Y" /d\n1\nEOF\n\t2\n\tX Y\n')

    assert isinstance(copy, Copy)
    assert [word.text for word in copy.sources if "X" not in word.text and "Y" not in word.text] == ["a", "b"]
    assert [heredoc.content for heredoc in copy.heredocs] == ["1\n", "2\n"]


def test_arguments_have_places() -> None:
    """The default of an ARG is located behind the equals sign."""
    arg = read("ARG a name=value empty=")

    assert isinstance(arg, Arg)
    assert [(argument.name, argument.default and argument.default.text) for argument in arg.arguments] == [
        ("a", None),
        ("name", "value"),
        ("empty", ""),
    ]
    default = arg.arguments[1].default
    assert default is not None
    assert default.location.start_column == 12


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("HEALTHCHECK none", HealthcheckConfig(test=("NONE",))),
        ("HEALTHCHECK CMD a  b", HealthcheckConfig(test=("CMD-SHELL", "a  b"))),
        ('HEALTHCHECK cmd ["a", "b"]', HealthcheckConfig(test=("CMD", "a", "b"))),
        (
            "HEALTHCHECK --interval=1.5h2m --timeout=1h --start-period=1m --start-interval=2ms "
            "--retries=10 CMD $x",
            HealthcheckConfig(
                test=("CMD-SHELL", "$x"),
                interval=5_520_000_000_000,
                timeout=3_600_000_000_000,
                start_period=60_000_000_000,
                start_interval=2_000_000,
                retries=10,
            ),
        ),
    ],
)
def test_healthcheck(text: str, config: HealthcheckConfig) -> None:
    """Its config is all there is to it."""
    healthcheck = read(text)

    assert isinstance(healthcheck, Healthcheck)
    assert config == healthcheck.config


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("ONBUILD  run   x   y", "run   x   y"),
        ("onbuild RUN a \\\n  b", "RUN a   b"),
        ("ONBUILD RUN <<-EOF\n\thi\n\tEOF", "RUN <<-EOF\n\thi\nEOF"),
    ],
)
def test_trigger_text(text: str, expression: str) -> None:
    """What the image will hold is the instruction as written, with its heredocs."""
    on_build = read(text)

    assert isinstance(on_build, OnBuild)
    assert expression == on_build.expression
