"""The build checks that follow a stage: what an instruction means there, just before it is converted."""

from __future__ import annotations

import re

from builder.core.errors import PybuildError
from builder.core.location import Location
from builder.core.platform import Platform
from builder.core.secretnames import looks_secret
from builder.frontend.dockerfile import rules
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
    Label,
    Workdir,
)
from builder.frontend.dockerfile.lint import Linter
from builder.frontend.dockerfile.node import Node, Word
from builder.frontend.dockerfile.rules import Rule
from builder.frontend.dockerfile.stage_state import StageState
from builder.frontend.dockerfile.words import expand, expand_words

_VARIABLE = re.compile(r"\$(?:TARGETPLATFORM|\{TARGETPLATFORM\})")
_REMOTE = re.compile(r"https?://|(?:git|ssh)://|[\w.-]+@[\w.-]+:", re.IGNORECASE)


class StageChecks:
    """What one stage has had so far; not for the triggers of its base, which the user did not write here."""

    def __init__(self, state: StageState, above: StageChecks | None) -> None:
        """``above`` is that of the stage that it builds on."""
        self._state = state
        self._linter = state.scope.linter
        self.has_workdir: bool = above is not None and above.has_workdir
        self.arguments: set[str] = (
            set(above.arguments) if above is not None else set()
        )  # with or without value
        self._seen: dict[str, Node] = {}

    def before(self, instruction: Instruction) -> None:
        """Call it with each instruction, in order, while the state is as the instruction finds it."""
        self._linter.enter(instruction.node)
        match instruction:
            case Cmd(node, command) | Entrypoint(node, command):
                self._check_once(node)
                if command.is_shell and not self._state.image.shell:
                    self._report(
                        rules.JSON_ARGS_RECOMMENDED,
                        f"JSON arguments are recommended for {node.keyword.upper()}: "
                        "signals go to the shell and not to the program",
                        node.location,
                    )
            case Healthcheck(node):
                self._check_once(node)
            case Workdir(_, path):
                self._check_workdir(path)
            case Env(node, pairs):
                self._check_separators(node)
                for pair in pairs:
                    self._check_secret(node, self._expanded(pair.key), pair.key.location)
            case Label(node):
                self._check_separators(node)
            case Arg(node, arguments):
                for argument, word in zip(arguments, node.words, strict=True):
                    self._check_secret(node, argument.name, word.location)
            case Expose(_, ports):
                for word in ports:
                    self._check_port(word)
            case Copy(origin=None):
                self._check_sources(instruction)
            case _:
                pass

    def _report(self, rule: Rule, message: str, location: Location) -> None:
        self._linter.report(rule, message, location)

    def _expanded(self, word: Word) -> str:
        """The word as it stands where its expansion is a mistake, of which the conversion speaks."""
        try:
            return expand(word.text, self._state.env, self._state.scope.mode).text
        except PybuildError:
            return word.text

    def _check_once(self, node: Node) -> None:
        before = self._seen.get(node.keyword)
        if before is not None:
            # The comments above the one that is told of count.
            self._linter.enter(before)
            self._report(
                rules.MULTIPLE_INSTRUCTIONS_DISALLOWED,
                f"this {node.keyword.upper()} has no effect: another one comes later in the stage",
                before.location,
            )
            self._linter.enter(node)
        self._seen[node.keyword] = node

    def _check_workdir(self, word: Word) -> None:
        path = self._expanded(word)
        if not self.has_workdir and not path.startswith("/"):
            self._report(
                rules.WORKDIR_RELATIVE_PATH,
                f'the relative path "{path}" leads elsewhere when the base image changes',
                word.location,
            )
        self.has_workdir = True

    def _check_separators(self, node: Node) -> None:
        keyword = node.keyword.upper()
        if any(separator.text != "=" for separator in node.words[2::3]):
            self._report(
                rules.LEGACY_KEY_VALUE_FORMAT,
                f'"{keyword} name value" is the old form of "{keyword} name=value"',
                node.location,
            )

    def _check_secret(self, node: Node, name: str, location: Location) -> None:
        if looks_secret(name):
            self._report(
                rules.SECRETS_USED_IN_ARG_OR_ENV,
                f'{node.keyword.upper()} "{name}" looks like a secret, and stays in the image',
                location,
            )

    def _check_port(self, word: Word) -> None:
        try:
            texts = expand_words(word.text, self._state.env, self._state.scope.mode).words
        except PybuildError:
            return
        for text in texts:
            port, _, protocol = text.partition("/")
            if protocol != protocol.lower():
                self._report(
                    rules.EXPOSE_PROTO_CASING,
                    f'the protocol "{protocol}" of "{text}" is not in lower case',
                    word.location,
                )
            if ":" in port:
                self._report(
                    rules.EXPOSE_INVALID_FORMAT,
                    f'"{text}" has an address or a port of the host',
                    word.location,
                )

    def _check_sources(self, copy: Copy) -> None:
        excluding = self._state.scope.request.excluding
        if excluding is None:
            return
        for word in copy.sources:
            path = self._expanded(word)
            rule = None if _REMOTE.match(path) else excluding(path)
            if rule is not None:
                self._report(
                    rules.COPY_IGNORED_FILE,
                    f'{copy.node.keyword.upper()} of "{path}", which is excluded by {rule}',
                    word.location,
                )


def check_platform_flag(linter: Linter, opening: From, text: str, target: Platform) -> None:
    """``text`` is the flag's value, expanded."""
    word = opening.platform
    assert word is not None, "there is a flag to check"
    linter.enter(opening.node)
    if _VARIABLE.fullmatch(word.text):
        if text == str(target):
            linter.report(
                rules.REDUNDANT_TARGET_PLATFORM, f'"{word.text}" is the platform anyway', word.location
            )
    elif "$" not in word.text:
        platform = Platform.parse(text)
        if platform.os not in opening.name and platform.architecture not in opening.name:
            linter.report(
                rules.FROM_PLATFORM_FLAG_CONST_DISALLOWED,
                f'the platform is the constant "{text}"',
                word.location,
            )


def check_base_platform(linter: Linter, opening: From, expected: Platform, actual: Platform) -> None:
    """``actual`` is what the image says of itself."""
    linter.enter(opening.node)
    if (expected.os, expected.architecture) != (actual.os, actual.architecture):
        linter.report(
            rules.INVALID_BASE_IMAGE_PLATFORM,
            f'the image "{opening.base.text}" is for {actual}, and {expected} was expected',
            opening.base.location,
        )
