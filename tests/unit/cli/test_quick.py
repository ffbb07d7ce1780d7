"""The quick reader of `run` and Typer say the same."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from builder.cli.app import make_app
from builder.cli.quick import RUN_OPTIONS, read_run


def _typer_run() -> Any:
    return typer.main.get_command(make_app(["run"])).commands["run"]  # type: ignore[attr-defined]


def test_table_has_every_option_of_typer() -> None:
    """An option added to the command line is added to the table."""
    expected = {}
    for parameter in _typer_run().params:
        if parameter.param_type_name == "option":
            kind = "switch" if parameter.is_flag else "list" if parameter.multiple else "value"
            for name in parameter.opts:
                expected[name] = (parameter.name, kind)

    assert expected == RUN_OPTIONS


def _given(values: dict[str, Any]) -> dict[str, Any]:
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {name: value for name, value in plain.items() if value not in (None, False, [])}


@pytest.mark.parametrize(
    "arguments",
    [
        ["busybox"],
        ["--rm", "busybox", "sh", "-c", "echo --rm"],
        ["-i", "-t", "-e", "A=1", "--env=B=2", "-v", "/a:/b:ro", "-w", "/x", "-u", "1:2", "busybox"],
        ["--entrypoint", "", "--network=none", "--name", "n", "-h", "h", "--pull", "never", "img", "-x"],
        ["--entrypoint=", "img"],
    ],
)
def test_both_read_the_same(arguments: list[str]) -> None:
    """What the quick reader takes, Typer reads alike."""
    quick = read_run(["run", *arguments])
    parsed = _typer_run().make_context("run", list(arguments)).params

    assert quick is not None
    assert _given(parsed) == _given(quick.values._asdict())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["build", "."],
        ["run"],
        ["run", "--rm"],
        ["run", "--help"],
        ["run", "--nonsense", "busybox"],
        ["run", "-it", "busybox"],
        ["run", "--rm=true", "busybox"],
        ["run", "-e"],
    ],
)
def test_what_is_not_plain_goes_to_typer(arguments: list[str]) -> None:
    """Help, errors and spellings that only Typer knows are left to it."""
    assert read_run(arguments) is None


def test_root_is_read() -> None:
    """--root before the command counts."""
    quick = read_run(["--root", "/r", "run", "busybox"])

    assert quick is not None
    assert str(quick.root) == "/r"
