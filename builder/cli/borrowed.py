"""Options of `build` that other commands take as well."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection
from typing import Any

from builder.cli.build import build


def take_options_of_build(
    command: Callable[..., None], own: inspect.Parameter, *, without: Collection[str]
) -> None:
    """Give the parser the parameters of ``build`` for a command, after PATH its ``own`` one."""
    hints = typing.get_type_hints(build, include_extras=True)
    wanted = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(build).parameters.items()
        if name not in without
    ]
    signature = inspect.Signature([*wanted[:2], own, *wanted[2:]])
    command.__signature__ = signature  # type: ignore[attr-defined]  # what inspect and Typer read first
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}


def own_option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )
