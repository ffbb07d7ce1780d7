"""A project's own settings: ``pybuild.toml``, in the folder that is the build context."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, get_args

from builder.core.errors import Kind, PybuildError
from builder.core.suggest import did_you_mean
from builder.engine.recorder import Recorder

NAME = "pybuild.toml"

ContextModes = Literal["kept", "git"]
CONTEXT_MODES: tuple[ContextModes, ...] = get_args(ContextModes)


class InvalidProject(PybuildError):
    """A project's settings cannot be read."""

    kind = Kind.INVALID
    code = "invalid-project"


class Project(NamedTuple):
    """``context_modes``: "git" leaves out of modes what Git does not record."""

    context_modes: ContextModes = "kept"


def read_project(folder: Path, recorder: Recorder) -> Project:
    """Without a file, the defaults. Raises InvalidProject."""
    path = folder / NAME
    try:
        data = recorder.read_file(path)
    except OSError as error:
        raise InvalidProject(f'cannot read "{path}": {error.strerror}', hint="make it readable") from error
    if data is None:
        return Project()
    import tomllib  # few projects have one

    try:
        settings = tomllib.loads(data.decode())
    except ValueError as error:
        raise InvalidProject(f'"{path}" is not TOML: {error}', hint='write it as name = "value"') from error
    modes = settings.pop("context-modes", "kept")
    if settings:
        unknown = min(settings)
        hint = did_you_mean(unknown, ("context-modes",), otherwise="there is context-modes")
        raise InvalidProject(f'"{path}": there is no setting "{unknown}"', hint=hint)
    for known in CONTEXT_MODES:
        if modes == known:
            return Project(known)
    raise InvalidProject(f'"{path}": context-modes cannot be "{modes}"', hint="it is kept or git")
