"""From bytes to instructions, with every mistake that shows before anything is converted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from builder.core.errors import PybuildError, SeveralErrors
from builder.core.location import Location
from builder.frontend.dockerfile.instructions import From, Instruction, UnknownInstruction
from builder.frontend.dockerfile.meaning import interpret, meant_instruction
from builder.frontend.dockerfile.node import SyntaxTree
from builder.frontend.dockerfile.parser import parse
from builder.frontend.interface import FrontendRequest

# Without one of these the rest of the file means something else.
_CARRYING = ("from", "arg", "env")
_NOWHERE = Location(1 << 62, 0, 1 << 62, 0)


class Reading(NamedTuple):
    """``makes_sense``: what can be read means what it would mean if all could be."""

    tree: SyntaxTree
    instructions: tuple[Instruction, ...]
    makes_sense: bool


def read(request: FrontendRequest, errors: list[PybuildError]) -> Reading:
    """Goes on behind a mistake, and adds it to ``errors``."""
    tree = parse(request.source, file=request.file, cache=request.parse_cache, errors=errors)
    makes_sense = not errors
    instructions: list[Instruction] = []
    is_lost = False  # behind a line that looks like the rest of a command, or of a heredoc
    for node in tree.nodes:
        try:
            instructions.append(interpret(node))
        except UnknownInstruction as error:
            meant = meant_instruction(node)
            if meant is not None or not is_lost:
                errors.append(error)
            # Above the first FROM, whatever it is, it may be that FROM.
            is_inside = any(isinstance(each, From) for each in instructions)
            makes_sense = makes_sense and meant not in _CARRYING and is_inside
            is_lost = meant is None
            if "<<" in node.original:
                return Reading(tree, tuple(instructions), False)
        except PybuildError as error:
            errors.append(error)
            makes_sense = makes_sense and node.keyword not in _CARRYING
            is_lost = False
        else:
            is_lost = False
    return Reading(tree, tuple(instructions), makes_sense)


def together(errors: Iterable[PybuildError]) -> PybuildError:
    """One error for one or more, in the order of the text; equal ones count once."""
    distinct = {(error.code, error.message, error.location): error for error in errors}
    ordered = sorted(distinct.values(), key=lambda error: error.location or _NOWHERE)
    return ordered[0] if len(ordered) == 1 else SeveralErrors(ordered)
