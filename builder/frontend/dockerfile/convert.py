"""The Dockerfile frontend: which stages are needed, and each of their instructions in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple, assert_never

from builder.core.errors import Cancelled, Kind, PybuildError, SeveralErrors, Unsupported
from builder.core.image import ImageConfig
from builder.core.platform import InvalidPlatform, Platform
from builder.core.reference import Reference
from builder.core.suggest import closest, did_you_mean
from builder.frontend.dockerfile.arguments import global_arguments, not_consumed, warn_of_effectless
from builder.frontend.dockerfile.convert_copy import (
    Origin,
    check_image_origin,
    convert_copy,
    convert_workdir,
)
from builder.frontend.dockerfile.convert_meta import (
    convert_arg,
    convert_cmd,
    convert_entrypoint,
    convert_env,
    convert_expose,
    convert_healthcheck,
    convert_label,
    convert_maintainer,
    convert_on_build,
    convert_shell,
    convert_stop_signal,
    convert_user,
    convert_volume,
)
from builder.frontend.dockerfile.convert_run import convert_run
from builder.frontend.dockerfile.epoch import EPOCH_NAME, epoch_of
from builder.frontend.dockerfile.instructions import (
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    InvalidArguments,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from builder.frontend.dockerfile.lint import Linter
from builder.frontend.dockerfile.lint_file import check_default_bases, check_file
from builder.frontend.dockerfile.lint_stage import StageChecks, check_base_platform, check_platform_flag
from builder.frontend.dockerfile.node import Directive, Word
from builder.frontend.dockerfile.reading import read, together
from builder.frontend.dockerfile.scope import Scope, check_reference
from builder.frontend.dockerfile.stage_state import DEFAULT_PATH, StageState
from builder.frontend.dockerfile.stages import SCRATCH, Stage, Stages, split
from builder.frontend.dockerfile.triggers import read_triggers
from builder.frontend.interface import (
    Bridge,
    CheckResult,
    ContextSource,
    FrontendRequest,
    FrontendResult,
    ResolvedImage,
)
from builder.llb.definition import Definition, Edge

# Frontend images that are this language; "# syntax=" asks for another program otherwise.
_SYNTAXES = ("docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream")
_BUILT_IN_SYNTAX = "dockerfile.v0"
# Of what we do not know in a base's config, only this is kept by Docker.
_KEPT_OF_BASE = ("os.version", "os.features")


class DockerfileFrontend:
    """Implements ``builder.frontend.interface.Frontend``."""

    def convert(self, request: FrontendRequest, bridge: Bridge) -> FrontendResult:
        errors: list[PybuildError] = []
        conversion = self._converted(request, bridge, errors, is_check=False)
        if conversion is None or errors:
            raise together(errors)
        return conversion.result()

    def check(self, request: FrontendRequest, bridge: Bridge) -> CheckResult:
        errors: list[PybuildError] = []
        conversion = self._converted(request, bridge, errors, is_check=True)
        warnings = conversion.scope.warnings if conversion is not None else ()
        found = together(errors) if errors else None
        if isinstance(found, SeveralErrors):
            return CheckResult(warnings, found.errors)
        return CheckResult(warnings, () if found is None else (found,))

    def _converted(
        self, request: FrontendRequest, bridge: Bridge, errors: list[PybuildError], *, is_check: bool
    ) -> _Conversion | None:
        """None: so much is wrong with it that no conversion began."""
        reading = read(request, errors)
        try:
            linter = Linter.of(reading.tree, request.build_args)
            check_file(linter, reading.tree, reading.instructions)
            _check_syntax(reading.tree.directives, request.build_args.get("BUILDKIT_SYNTAX"))
        except PybuildError as error:
            errors.append(error)
            return None
        if not reading.makes_sense:
            return None
        scope = Scope(request, bridge, escape=reading.tree.escape, linter=linter)
        try:
            conversion = _Conversion(scope, reading.instructions, errors)
        except PybuildError as error:
            errors.append(error)
            return None
        try:
            conversion.run(is_check=is_check)
        except PybuildError as error:
            # Who has something to mend anyway need not hear of a registry that does not answer.
            if isinstance(error, Cancelled) or not (errors or is_check):
                raise
            if not errors:
                errors.append(error)
        return conversion


class _Needed(NamedTuple):
    """A stage that the target needs; ``image`` None: it builds on another stage or on scratch."""

    stage: Stage
    platform: Platform
    image: ResolvedImage | None
    triggers: tuple[Instruction, ...]


class _Conversion:
    """One call of ``convert``."""

    def __init__(self, scope: Scope, instructions: Sequence[Instruction], errors: list[PybuildError]) -> None:
        """``errors`` gets what is found."""
        self.scope = self._scope = scope
        self._errors = errors
        self._broken: set[int] = set()  # stages of which not all is known
        self._checks: dict[int, StageChecks] = {}
        self._request = scope.request
        self._globals = global_arguments(scope.request)
        arguments, blocks = split(instructions)
        self._declared = [argument.name for arg in arguments for argument in arg.arguments]
        scope.globals = self._declared
        openings = [block[0] for block in blocks if isinstance(block[0], From)]
        check_default_bases(
            scope.linter,
            arguments,
            openings,
            global_arguments(dataclasses.replace(scope.request, build_args={})),
            scope.mode,
        )
        for arg in arguments:
            scope.linter.enter(arg.node)
            self._set_globals(arg)
        scope.epoch_s = epoch_of(scope.request.build_args.get(EPOCH_NAME, self._globals.get(EPOCH_NAME)))
        for instruction in instructions:
            if isinstance(instruction, Arg):
                scope.declared.update(argument.name for argument in instruction.arguments)
        self._uncached = frozenset(name.lower() for name in scope.request.uncached_stages)
        self._platforms: dict[int, Platform] = {}
        self._stages = Stages(blocks, self._base, self._scope.named_context)
        self._states: dict[int, StageState] = {}
        self._is_alone = len(self._stages.all) + self._stages.images_copied_from() == 1

    def run(self, *, is_check: bool) -> None:
        """Convert what the target needs; to check without a target is to check all stages."""
        try:
            target = self._stages.target(self._request.target)
        except PybuildError as error:
            self._errors.append(error)
            return
        self._target = target
        wanted = self._stages.all if is_check and self._request.target is None else [target]
        for needed in self._needed(wanted):
            self._convert_stage(needed)
        warn_of_effectless(self._scope)
        for name in sorted(self._uncached - {stage.name for stage in self._stages.all}):
            self._scope.warn(f'no stage is called "{name}"', "--no-cache-filter takes names of stages", None)
        unused = not_consumed(self._request, self._scope.declared)
        if unused:
            self._scope.warn(
                f"one or more build args were not consumed: {', '.join(unused)}",
                did_you_mean(unused[0], self._scope.declared, otherwise="declare them with ARG"),
                None,
            )

    def result(self) -> FrontendResult:
        """Once all went well."""
        request = self._request
        state = self._states[self._target.number]
        image = dataclasses.replace(state.image, labels={**state.image.labels, **request.labels})
        if request.platform != request.build_platform or request.is_one_of_several:
            # It was asked for, so the result says so, even if its last FROM is for another platform.
            image = dataclasses.replace(image, platform=request.platform)
        return FrontendResult(
            definition=self._scope.graph.build(state.edge),
            image=image,
            warnings=self._scope.warnings,
            violated=tuple(sorted(self._scope.linter.violated)),
            epoch_s=self._scope.epoch_s,
        )

    def _collect(self, error: PybuildError) -> None:
        """Keeps what a person can mend in the file; raises the rest."""
        if isinstance(error, Cancelled) or error.kind is Kind.UNAVAILABLE:
            raise error
        self._errors.append(error)

    def _set_globals(self, arg: Arg) -> None:
        for argument in arg.arguments:
            given = self._request.build_args.get(argument.name)
            if given is not None:
                self._globals[argument.name] = given
            elif argument.default is not None:
                self._globals[argument.name] = self._scope.expand(argument.default, self._globals)

    def _base(self, opening: From) -> str:
        """The name behind FROM, expanded; also where a FROM is checked that no stage needs."""
        self._scope.linter.enter(opening.node)
        base = self._scope.expand_base(opening.base, self._globals, self._declared)
        if not base:
            raise InvalidArguments(
                f'the base name "{opening.base.text}" is blank',
                hint="give its ARG a default, or a value with --build-arg",
                location=opening.base.location,
            )
        return base

    def _platform(self, opening: From) -> Platform:
        word = opening.platform
        if word is None:
            return self._request.platform
        self._scope.linter.enter(opening.node)
        text = self._scope.expand_base(word, self._globals, self._declared)
        try:
            platform = Platform.parse(text)
        except InvalidPlatform as error:
            raise error.at(word.location) from None
        check_platform_flag(self._scope.linter, opening, text, self._request.platform)
        return platform

    def _needed(self, wanted: Iterable[Stage]) -> list[_Needed]:
        """In the order of the file, which is one in which each comes after what it builds on."""
        for stage in self._stages.all:
            try:
                self._platforms[stage.number] = self._platform(stage.opening)
                if stage.parent is None and stage.base != SCRATCH and stage.context is None:
                    check_reference(stage.base, stage.opening.base.location)
            except PybuildError as error:
                self._break(stage, error)
        found: dict[int, _Needed] = {}
        pending = list(wanted)
        while pending:
            stage = pending.pop()
            if stage.number in found or stage.number in self._broken:
                continue
            try:
                needed = self._look_at(stage)
                origins = self._stages.origins((*needed.triggers, *stage.instructions))
                self._stages.check_order(stage, origins)
            except PybuildError as error:
                self._break(stage, error)
                continue
            found[stage.number] = needed
            pending.extend(self._stages.all[number] for _, number in origins)
            if stage.parent is not None:
                pending.append(self._stages.all[stage.parent])
        return [found[number] for number in sorted(found)]

    def _break(self, stage: Stage, error: PybuildError) -> None:
        self._broken.add(stage.number)
        self._collect(error)

    def _look_at(self, stage: Stage) -> _Needed:
        platform = self._platforms[stage.number]
        image = None
        texts: tuple[str, ...] = ()
        if stage.context is not None:
            if stage.context.image:
                image = self._scope.resolve(stage.context.image, platform, stage.opening.base.location)
                texts = image.config.on_build if stage.instructions else ()
        elif stage.parent is not None:
            parent = self._stages.all[stage.parent]
            texts = tuple(each.expression for each in parent.instructions if isinstance(each, OnBuild))
        elif stage.base != SCRATCH:
            image = self._resolve(stage.base, platform, stage.opening.base)
            texts = image.config.on_build
            check_base_platform(self._scope.linter, stage.opening, platform, image.config.platform)
        triggers = read_triggers(texts, stage.location)
        for trigger in triggers:
            if isinstance(trigger, Arg):
                self._scope.declared.update(argument.name for argument in trigger.arguments)
        return _Needed(stage, platform, image, triggers)

    def _resolve(self, text: str, platform: Platform, word: Word) -> ResolvedImage:
        """As the scope does it; where there is no such image, a stage may have been meant."""
        try:
            return self._scope.resolve(text, platform, word.location)
        except PybuildError as error:
            near = closest(text, [stage.name for stage in self._stages.all if stage.name])
            if near is not None and error.kind in (Kind.NOT_FOUND, Kind.DENIED, Kind.UNAVAILABLE):
                error.hint = f'did you mean the stage "{near}"?'
            raise

    def _convert_stage(self, needed: _Needed) -> None:
        stage = needed.stage
        if stage.parent in self._broken:
            self._broken.add(stage.number)
            return
        state = self._start(needed)
        self._states[stage.number] = state
        above = self._checks.get(stage.parent) if stage.parent is not None else None
        checks = self._checks[stage.number] = StageChecks(state, above)
        self._scope.valueless = checks.arguments
        for index, instruction in enumerate((*needed.triggers, *stage.instructions)):
            is_trigger = index < len(needed.triggers)
            self._scope.linter.is_muted = is_trigger
            try:
                if not is_trigger:
                    checks.before(instruction)
                self._convert(state, instruction, is_trigger=is_trigger)
            except PybuildError as error:
                self._collect(error)
                if is_trigger or isinstance(instruction, Arg | Env):
                    # What follows would complain of names that are not there.
                    self._broken.add(stage.number)
                    break
            if isinstance(instruction, Arg):
                checks.arguments.update(argument.name for argument in instruction.arguments)
        self._scope.linter.is_muted = False

    def _start(self, needed: _Needed) -> StageState:
        stage, platform, resolved, triggers = needed
        display_name = "" if self._is_alone else stage.display_name
        if stage.parent is not None:
            state = StageState.above(self._states[stage.parent], display_name=display_name)
        else:
            config = _empty_image(platform) if resolved is None else _base_image(resolved.config)
            state = StageState(self._scope, display_name=display_name, platform=platform, image=config)
        state.ignores_cache |= stage.name.lower() in self._uncached
        state.count_steps((*triggers, *stage.instructions), has_source=resolved is not None)
        if resolved is not None:
            name = state.step_name(f"FROM {resolved.reference}")
            state.edge = self._scope.image(resolved, platform, name, stage.location)
        elif stage.context is not None and stage.context.tree is not None:
            self._start_on_tree(state, stage.context.tree, stage)
        return state

    def _start_on_tree(self, state: StageState, tree: Definition, stage: Stage) -> None:
        """A directory as a base: one layer, with its files."""
        state.edge = self._scope.copied(tree, f"base {stage.display_name}", stage.location)
        state.commit(f"FROM {stage.opening.base.text}", has_layer=True)

    def _origin(self, origin: Word) -> Origin:
        """The tree that --from means."""
        number = self._stages.origin(origin)
        if number is not None:
            edge = self._states[number].edge if number in self._states else None
            return Origin(self._scope.nothing() if edge is None else edge)
        named = self._scope.named_context(origin.text)
        if named is not None and named.tree is not None:
            return Origin(self._scope.tree(named.tree), named.keeps_owner)
        check_image_origin(origin)
        return Origin(self._image_origin(origin, named))

    def _mount_origin(self, origin: Word) -> Edge:
        """The tree that ``from`` of a mount means."""
        number = self._stages.mount_origin(origin)
        if number is not None:
            edge = self._states[number].edge
            return self._scope.nothing() if edge is None else edge
        named = self._scope.named_context(origin.text)
        if named is not None and named.tree is not None:
            # A mount shows a tree of the store, never the user's folder.
            return self._scope.copied(named.tree, f"context {origin.text}", origin.location)
        check_image_origin(origin)
        return self._image_origin(origin, named)

    def _image_origin(self, origin: Word, named: ContextSource | None) -> Edge:
        if origin.text == SCRATCH and named is None:
            return self._scope.nothing()
        platform = self._request.platform
        reference = named.image if named is not None else origin.text
        resolved = self._resolve(reference, platform, origin)
        name = f"FROM {resolved.reference}"
        return self._scope.image(resolved, platform, name, origin.location)

    def _convert(self, state: StageState, instruction: Instruction, *, is_trigger: bool) -> None:
        match instruction:
            case Run():
                convert_run(state, instruction, self._mount_origin, is_trigger=is_trigger)
            case Copy():
                source = None if instruction.origin is None else self._origin(instruction.origin)
                convert_copy(state, instruction, source, is_trigger=is_trigger)
            case Workdir():
                convert_workdir(state, instruction, is_trigger=is_trigger)
            case Arg():
                convert_arg(state, instruction, self._globals)
            case Env():
                convert_env(state, instruction)
            case Label():
                convert_label(state, instruction)
            case User():
                convert_user(state, instruction)
            case Cmd():
                convert_cmd(state, instruction)
            case Entrypoint():
                convert_entrypoint(state, instruction)
            case Shell():
                convert_shell(state, instruction)
            case Expose():
                convert_expose(state, instruction)
            case Volume():
                convert_volume(state, instruction)
            case StopSignal():
                convert_stop_signal(state, instruction)
            case Healthcheck():
                convert_healthcheck(state, instruction)
            case OnBuild():
                convert_on_build(state, instruction)
            case Maintainer():
                convert_maintainer(state, instruction)
            case From():
                raise AssertionError("FROM begins a stage, it is not within one")
            case _:
                assert_never(instruction)


def _check_syntax(directives: tuple[Directive, ...], argument: str | None) -> None:
    """Raises Unsupported where another program is asked to read the file; the build argument comes first."""
    places = [(directive.value, directive.location) for directive in directives if directive.name == "syntax"]
    for value, location in [(argument, None)] if argument else places:
        words = value.split()
        if not words or words[0] == _BUILT_IN_SYNTAX:
            continue
        check_reference(words[0], location)
        if Reference.parse(words[0]).repository not in _SYNTAXES:
            raise Unsupported(
                f'the frontend "{words[0]}" is not supported',
                hint="pybuild reads the language of docker/dockerfile itself and runs no frontend images",
                location=location,
            )


def _empty_image(platform: Platform) -> ImageConfig:
    return ImageConfig(platform=platform, env=(f"PATH={DEFAULT_PATH}",), working_dir="/")


def _base_image(config: ImageConfig) -> ImageConfig:
    """What a new image takes from its base."""
    kept = {name: value for name, value in config.extra_root.items() if name in _KEPT_OF_BASE}
    return dataclasses.replace(config, created="", extra={}, extra_root=kept)
