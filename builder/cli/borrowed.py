"""Options of `build` that other commands take as well."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from builder.cli.build import build


def take_options_of_build(
    command: Callable[..., None], own: inspect.Parameter, is_wanted: Callable[[str], bool]
) -> None:
    """Give the parser parameters of ``build`` for a command, by their names; after PATH its ``own`` one."""
    hints = typing.get_type_hints(build, include_extras=True)
    wanted = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(build).parameters.items()
        if is_wanted(name)
    ]
    signature = inspect.Signature([*wanted[:2], own, *wanted[2:]])
    command.__signature__ = signature  # type: ignore[attr-defined]  # what inspect and Typer read first
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}


def own_option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )
