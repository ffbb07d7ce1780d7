"""The build checks that need no more than the text: spelling, names of stages, comments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from builder.core.errors import PybuildError
from builder.core.reference import Reference
from builder.frontend.dockerfile import rules
from builder.frontend.dockerfile.instructions import Arg, From, Instruction, Maintainer
from builder.frontend.dockerfile.lint import Linter
from builder.frontend.dockerfile.node import Node, SyntaxTree
from builder.frontend.dockerfile.words import Mode, expand

_RESERVED = ("scratch", "context")


def check_file(linter: Linter, tree: SyntaxTree, instructions: Sequence[Instruction]) -> None:
    """Everything about a whole file, whatever its target. Raises InvalidCheck of a comment."""
    _check_notes(linter, tree)
    for instruction in instructions:
        linter.enter(instruction.node)
        match instruction:
            case From():
                _check_from(linter, instruction)
            case Arg():
                names = [argument.name for argument in instruction.arguments]
                _check_description(linter, instruction.node, "ARG", names)
            case Maintainer(node):
                linter.report(
                    rules.MAINTAINER_DEPRECATED,
                    "MAINTAINER is deprecated in favour of a label",
                    node.keyword_location,
                )
            case _:
                pass
    _check_casing(linter, instructions)
    _check_stage_names(linter, instructions)


def _check_notes(linter: Linter, tree: SyntaxTree) -> None:
    """What the parser noticed; an empty line belongs to the instruction around it."""
    for note in tree.notes:
        if note.rule != rules.NO_EMPTY_CONTINUATION.name:
            linter.warn(note.message, None, note.location)
            continue
        for node in tree.nodes:
            if node.location.start_line <= note.location.start_line <= node.location.end_line:
                linter.enter(node)
        linter.report(rules.NO_EMPTY_CONTINUATION, note.message, note.location)


def _check_from(linter: Linter, opening: From) -> None:
    node = opening.node
    if len(node.words) == 3:
        _, conjunction, name = node.words
        if name.text != name.text.lower():
            linter.report(
                rules.STAGE_NAME_CASING,
                f'the name of the stage "{name.text}" is not in lower case',
                name.location,
            )
        keyword = node.keyword_as_written
        # A keyword in mixed case is another rule's affair.
        if (keyword == keyword.lower() and conjunction.text != conjunction.text.lower()) or (
            keyword == keyword.upper() and conjunction.text != conjunction.text.upper()
        ):
            linter.report(
                rules.FROM_AS_CASING,
                f'"{keyword}" and "{conjunction.text}" are not in the same case',
                conjunction.location,
            )
    if opening.name:
        _check_description(linter, node, "the stage", [opening.name])


def _check_description(linter: Linter, node: Node, what: str, names: Sequence[str]) -> None:
    if not node.comments or not names:
        return
    comment = node.comments[-1]
    if comment.text.split(" ")[0] not in names:
        name = names[0] if len(names) == 1 else "NAME"
        linter.report(
            rules.INVALID_DEFINITION_DESCRIPTION,
            f"the comment for {what} does not begin with its name",
            comment.location,
            hint=f"write # {name} text, or leave an empty line below the comment",
        )


def _check_casing(linter: Linter, instructions: Iterable[Instruction]) -> None:
    """As in Docker, the ARGs above the first FROM have no part in it."""
    staged: list[Node] = []
    for instruction in instructions:
        if staged or isinstance(instruction, From):
            staged.append(instruction.node)
    words = [node.keyword_as_written for node in staged]
    lower = sum(word == word.lower() for word in words)
    upper = sum(word == word.upper() for word in words)
    is_lower = lower > upper
    for node in staged:
        word = node.keyword_as_written
        if word != (word.lower() if is_lower else word.upper()):
            linter.enter(node)
            linter.report(
                rules.CONSISTENT_INSTRUCTION_CASING,
                f'"{word}" is not in {"lower" if is_lower else "upper"} case like the other instructions',
                node.keyword_location,
            )


def _check_stage_names(linter: Linter, instructions: Iterable[Instruction]) -> None:
    seen: dict[str, int] = {}
    for instruction in instructions:
        if not isinstance(instruction, From) or not instruction.name:
            continue
        linter.enter(instruction.node)
        name, location = instruction.name, instruction.node.words[2].location
        if name in _RESERVED:
            linter.report(rules.RESERVED_STAGE_NAME, f'the stage name "{name}" is reserved', location)
        if name in seen:
            linter.report(
                rules.DUPLICATE_STAGE_NAME,
                f'there is a stage called "{name}" in line {seen[name]} already',
                location,
            )
        seen[name] = location.start_line


def check_default_bases(
    linter: Linter,
    arguments: Iterable[Arg],
    openings: Iterable[From],
    known: Mapping[str, str],
    mode: Mode,
) -> None:
    """Whether each FROM names something with the defaults alone; ``known`` are the platform arguments."""
    openings = [opening for opening in openings if "$" in opening.base.text]
    if not openings:
        return
    values = dict(known)
    try:
        for argument in chain.from_iterable(arg.arguments for arg in arguments):
            if argument.default is not None:
                values[argument.name] = expand(argument.default.text, values, mode).text
        bases = [expand(opening.base.text, values, mode).text for opening in openings]
    except PybuildError:
        return  # the conversion says it, if it matters
    for opening, base in zip(openings, bases, strict=True):
        if not _is_reference(base):
            linter.enter(opening.node)
            linter.report(
                rules.INVALID_DEFAULT_ARG_IN_FROM,
                f'without build arguments "{opening.base.text}" is {_described(base)}',
                opening.base.location,
            )


def _described(base: str) -> str:
    return f'"{base}", which is no image name' if base else "empty"


def _is_reference(text: str) -> bool:
    try:
        Reference.parse(text)
    except PybuildError:
        return False
    return True
