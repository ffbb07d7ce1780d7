"""The stages of a Dockerfile: their names, which of them builds on which, and who may refer to whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.core.location import Location
from builder.core.suggest import did_you_mean
from builder.frontend.dockerfile.instructions import Arg, Copy, From, Instruction, Run
from builder.frontend.dockerfile.mount_flags import mount_origin
from builder.frontend.dockerfile.node import Word
from builder.frontend.interface import ContextSource

SCRATCH = "scratch"
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")


class NoStage(PybuildError):
    """An instruction stands before the first FROM, or there is no FROM."""

    kind = Kind.INVALID
    code = "no-stage"


class StageNotFound(PybuildError):
    """--target or --from names no stage."""

    kind = Kind.NOT_FOUND
    code = "stage-not-found"


class StageCycle(PybuildError):
    """Stages need one another."""

    kind = Kind.INVALID
    code = "stage-cycle"


class StageDefinedLater(PybuildError):
    """A stage copies from one that stands below it."""

    kind = Kind.INVALID
    code = "stage-defined-later"


class Stage(NamedTuple):
    """``base`` is expanded; ``parent`` is the number of the stage it means, None: an image or scratch.

    ``context`` is what --build-context puts in place of the base, or of the stage: that one has no
    instructions then.
    """

    number: int  # from 0
    opening: From
    base: str
    parent: int | None
    instructions: tuple[Instruction, ...]
    context: ContextSource | None = None

    @property
    def name(self) -> str:
        return self.opening.name

    @property
    def display_name(self) -> str:
        return self.name or f"stage-{self.number}"

    @property
    def location(self) -> Location:
        return self.opening.node.location


def split(instructions: Sequence[Instruction]) -> tuple[tuple[Arg, ...], list[tuple[Instruction, ...]]]:
    """The ARGs above the first FROM, and each FROM with what follows it. Raises NoStage."""
    arguments: list[Arg] = []
    stages: list[list[Instruction]] = []
    for instruction in instructions:
        if isinstance(instruction, From):
            stages.append([instruction])
        elif stages:
            stages[-1].append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            raise NoStage(
                f"no stage to run {instruction.node.keyword.upper()} in",
                hint="the first instruction is FROM; only ARG may stand before it",
                location=instruction.node.keyword_location,
            )
    if not stages:
        raise NoStage(
            "there is no FROM, so there is nothing to build",
            hint="begin with FROM image, or FROM scratch",
            location=arguments[-1].node.location if arguments else None,
        )
    return tuple(arguments), [tuple(stage) for stage in stages]


class Stages:
    """All stages of a file, used or not."""

    def __init__(
        self,
        blocks: Iterable[tuple[Instruction, ...]],
        expand_base: Callable[[From], str],
        named_context: Callable[[str], ContextSource | None] = lambda name: None,
    ) -> None:
        """``expand_base`` is asked for each FROM, in order. Raises StageNotFound, StageCycle."""
        self.all: list[Stage] = []
        self._by_name: dict[str, int] = {}
        for index, (opening, *rest) in enumerate(blocks):
            assert isinstance(opening, From), "a block begins with its FROM"
            base = expand_base(opening)
            # As written: FROM Build is an image even where a stage is called "build".
            parent = self._by_name.get(base)
            own = named_context(opening.name) if opening.name else None
            if own is not None:
                self.all.append(Stage(index, opening, base, None, (), own))
            else:
                context = named_context(base) if parent is None else None
                self.all.append(Stage(index, opening, base, parent, tuple(rest), context))
            if opening.name:
                self._by_name[opening.name] = index
        self._check()

    def target(self, name: str | None) -> Stage:
        """What --target means; the last stage without it. Raises StageNotFound."""
        if name is None:
            return self.all[-1]
        index = self._by_name.get(name.lower())
        if index is None and name.isascii() and name.isdecimal() and int(name) < len(self.all):
            index = int(name)
        if index is None:
            listed = ", ".join(self._by_name) or "none has a name"
            raise StageNotFound(
                f'target stage "{name}" could not be found',
                hint=did_you_mean(name, self._by_name, otherwise=f"the stages are: {listed}"),
            )
        return self.all[index]

    def origin(self, word: Word) -> int | None:
        """The stage that --from means, by number or by name in any case; None: an image.

        Raises StageNotFound.
        """
        text = word.text
        if _NUMBER.fullmatch(text):
            index = int(text)
            if 0 <= index < len(self.all):
                return index
            raise StageNotFound(
                f'invalid stage index "{text}"',
                hint=f"the stages are numbered from 0 to {len(self.all) - 1}",
                location=word.location,
            )
        return self._by_name.get(text.lower())

    def mount_origin(self, word: Word) -> int | None:
        """The stage that ``from`` of a mount means, by name only; None: an image. Raises StageNotFound."""
        if _NUMBER.fullmatch(word.text):
            raise StageNotFound(
                f'a mount is not from stage number "{word.text}"',
                hint="a mount names its stage: give that one a name, FROM … AS name",
                location=word.location,
            )
        return self._by_name.get(word.text.lower())

    def origins(self, instructions: Iterable[Instruction]) -> list[tuple[Word, int]]:
        """The stages that these copy or mount from, each with the word that says so. Raises StageNotFound."""
        found = []
        for instruction in instructions:
            for word in _mount_origins(instruction):
                index = self.mount_origin(word)
                if index is not None:
                    found.append((word, index))
            if isinstance(instruction, Copy) and instruction.origin is not None:
                index = self.origin(instruction.origin)
                if index is not None:
                    found.append((instruction.origin, index))
        return found

    def images_copied_from(self) -> int:
        """How many COPY --from and mounts in the file are from no stage; a mount needs no from for that."""
        instructions = [each for stage in self.all for each in stage.instructions]
        copies = [each.origin for each in instructions if isinstance(each, Copy) and each.origin is not None]
        mounts = sum(len(each.mounts) for each in instructions if isinstance(each, Run))
        for each in instructions:
            mounts -= sum(self.mount_origin(word) is not None for word in _mount_origins(each))
        return sum(self.origin(word) is None for word in copies) + mounts

    def check_order(self, stage: Stage, origins: Iterable[tuple[Word, int]]) -> None:
        """What a stage copies from must stand above it. Raises StageDefinedLater, StageCycle."""
        for word, index in origins:
            if index == stage.number:
                raise _cycle(stage, word)
            if index > stage.number:
                mounts = [each for found in stage.instructions for each in _mount_origins(found)]
                verb = "mount" if word in mounts else "copy"
                raise StageDefinedLater(
                    f'cannot {verb} from stage "{word.text}", it needs to be defined before '
                    f'the current stage "{stage.display_name}"',
                    hint="move that stage up",
                    location=word.location,
                )

    def _check(self) -> None:
        """Refuses cycles, in stages that nobody needs too, as Docker does."""
        origins = [self.origins(stage.instructions) for stage in self.all]
        needs = [
            {index for _, index in found} | ({stage.parent} if stage.parent is not None else set())
            for stage, found in zip(self.all, origins, strict=True)
        ]
        for stage, found in zip(self.all, origins, strict=True):
            for word, index in found:
                # A stage's parent stands above it, so every cycle goes down at least once.
                if index >= stage.number and _reaches(needs, index, stage.number):
                    raise _cycle(stage, word)


def _mount_origins(instruction: Instruction) -> list[Word]:
    words = instruction.mounts if isinstance(instruction, Run) else ()
    return [origin for word in words if (origin := mount_origin(word)) is not None]


def _reaches(needs: list[set[int]], start: int, goal: int) -> bool:
    seen: set[int] = set()
    pending = [start]
    while pending:
        index = pending.pop()
        if index == goal:
            return True
        if index not in seen:
            seen.add(index)
            pending.extend(needs[index])
    return False


def _cycle(stage: Stage, word: Word) -> StageCycle:
    return StageCycle(
        f'circular dependency detected on stage "{stage.display_name}"',
        hint="a stage cannot copy from itself, nor from one that needs it",
        location=word.location,
    )
