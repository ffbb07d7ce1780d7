"""The ONBUILD triggers of a base, as instructions of the stage that builds on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from builder.core.errors import PybuildError
from builder.core.location import Location
from builder.frontend.dockerfile.instructions import From, Instruction, InvalidTrigger, Maintainer, OnBuild
from builder.frontend.dockerfile.meaning import interpret
from builder.frontend.dockerfile.parser import parse


def read_triggers(texts: Iterable[str], location: Location) -> tuple[Instruction, ...]:
    """``location`` is the FROM that sets them off: what they say stands in no file of the user's.

    Raises InvalidTrigger, and what ``parse`` and ``interpret`` raise.
    """
    return tuple(_read(text, location) for text in texts)


def _read(text: str, location: Location) -> Instruction:
    try:
        nodes = parse(text.encode("utf-8", "surrogateescape"), file=location.file).nodes
        instructions = [interpret(node) for node in nodes]
    except PybuildError as error:
        error.location = location
        raise
    if len(instructions) != 1 or isinstance(instructions[0], From | OnBuild | Maintainer):
        raise InvalidTrigger(
            f'the base has an ONBUILD trigger that cannot be run: "{text[:200]}"',
            hint="it holds one instruction other than FROM, ONBUILD and MAINTAINER; another base may do",
            location=location,
        )
    return _relocated(instructions[0], location)


T = TypeVar("T")


def _relocated(value: T, location: Location) -> T:
    """The same value with every Location in it replaced."""
    moved: object = value
    if isinstance(value, Location):
        moved = location
    elif isinstance(value, tuple):
        items = [_relocated(item, location) for item in value]
        moved = type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return cast(T, moved)
