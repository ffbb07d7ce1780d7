"""How far the conversion of one stage is: its tree, environment, image config and step count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

from builder.core.image import History, ImageConfig
from builder.core.platform import Platform
from builder.core.secretnames import looks_secret
from builder.frontend.dockerfile.instructions import Copy, Instruction, Run, Workdir
from builder.frontend.dockerfile.node import Node, Word
from builder.frontend.dockerfile.scope import Scope
from builder.frontend.dockerfile.words import Mode
from builder.llb.definition import Edge

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMMENT = "buildkit.dockerfile.v0"
_STEPS = (Run, Copy, Workdir)


class StageState:
    """Instructions change it in order; afterwards it is the stage's result."""

    def __init__(self, scope: Scope, *, display_name: str, platform: Platform, image: ImageConfig) -> None:
        """``image`` is the base's config, or an earlier stage's."""
        self.scope = scope
        self.display_name = display_name  # "" where there is only one stage
        self.platform = platform
        self.image = replace(image, on_build=())
        self.edge: Edge | None = None  # None: the empty tree
        self.env: dict[str, str] = {}  # of RUN: what the image has and every ARG
        self.arguments: list[tuple[str, str]] = []  # the ARGs so far, for RUN's history
        self.has_cmd = False
        self.ignores_cache = scope.request.ignores_cache
        self._step = 0
        self._steps = 0
        if not any(entry.startswith("PATH=") for entry in image.env):
            self.image = replace(self.image, env=(*image.env, f"PATH={DEFAULT_PATH}"))
        self._take_environment()

    @classmethod
    def above(cls, parent: StageState, *, display_name: str) -> Self:
        """A stage that builds on another one has its ARGs too."""
        state = cls(parent.scope, display_name=display_name, platform=parent.platform, image=parent.image)
        state.env = dict(parent.env)
        state._take_environment()
        state.edge = parent.edge
        return state

    def _take_environment(self) -> None:
        for entry in self.image.env:
            name, _, value = entry.partition("=")
            self.set_variable(name, value)

    def set_variable(self, name: str, value: str) -> None:
        """In the environment of RUN. A variable that is set again goes to the end, as in Docker."""
        self.env.pop(name, None)
        self.env[name] = value

    @property
    def cwd(self) -> str:
        """Clean and absolute, whatever WORKDIR says."""
        return clean_path(self.image.working_dir)

    def expand(self, word: Word, mode: Mode | None = None) -> str:
        return self.scope.expand(word, self.env, mode)

    def commit(self, text: str, *, has_layer: bool = False) -> None:
        """Adds to the image's history."""
        entry = History(created_by=text, comment=_COMMENT, is_empty_layer=not has_layer)
        self.image = replace(self.image, history=(*self.image.history, entry))

    def count_steps(self, instructions: Iterable[Instruction], *, has_source: bool) -> None:
        """Before the first name is given: FROM of an image is a step, and what can make a layer."""
        self._steps = has_source + sum(isinstance(each, _STEPS) for each in instructions)

    def step_name(self, text: str) -> str:
        """``[stage 2/5] TEXT``, and on to the next number."""
        self._step += 1
        stage = f"{self.display_name} " if self.display_name else ""
        number = str(self._step).rjust(len(str(self._steps)))
        return f"[{self._shown_platform()}{stage}{number}/{self._steps}] {text}"

    def _shown_platform(self) -> str:
        """``linux/amd64``, or ``linux/amd64->arm64`` where a step there knows what it is to make."""
        if not self.scope.request.is_one_of_several:
            return ""
        own = self.platform
        target = Platform(
            self.env.get("TARGETOS") or own.os,
            self.env.get("TARGETARCH") or own.architecture,
            self.env.get("TARGETVARIANT", ""),
        )
        if target.os != own.os:
            return f"{own}->{target} "
        if target.architecture == own.architecture:
            return f"{own} "
        # As BuildKit has it, also where the stage declares no TARGETVARIANT.
        if target.architecture == "arm" and not target.variant:
            target = Platform(target.os, "arm", "v7")
        return f"{own}->{str(target).partition('/')[2]} "

    def instruction_name(
        self, node: Node, *, is_trigger: bool, summary: str = "", secrets: Iterable[str] = ()
    ) -> str:
        """The step name of an instruction, expanded as far as can be.

        ``secrets`` are variables to hide; those that have a secret's name are, too.
        """
        is_run = node.keyword == "run"
        hidden = [name for name in self.env if looks_secret(name)]
        env = {**self.env, **dict.fromkeys((*hidden, *secrets), "****")}
        text = self.scope.shown(node.original.strip() + summary, env, is_run=is_run)
        return self.step_name(f"ONBUILD {text}" if is_trigger else text)


def clean_path(path: str) -> str:
    """Absolute, without ``.``, ``..``, doubled and trailing slashes; nothing lies above the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
