"""What every command starts with: its settings, its job, its renderer, and the engine."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from builder.cli.render.base import Renderer
from builder.cli.render.choose import choose
from builder.cli.settings import Settings
from builder.config import Config
from builder.core.events import NoProgress, Progress
from builder.core.job import Cancel, Job
from builder.engine.assemble import Engine

if TYPE_CHECKING:  # a `run` that was read without Typer does not load it
    import typer

    from builder.core.patience import Patience


def opened(
    context: typer.Context, progress: Progress | None = None
) -> contextlib.AbstractContextManager[Engine]:
    """The engine, for one command."""
    return opened_with(_settings(context), progress)


@contextlib.contextmanager
def opened_with(settings: Settings, progress: Progress | None = None) -> Iterator[Engine]:
    """The engine, for one job. SIGTERM and SIGINT stop the job; its processes die first."""
    cancel = Cancel()
    job = Job(os.urandom(8).hex(), progress=progress or NoProgress(), cancel=cancel)
    config = _config(settings)
    with (
        _stopping(cancel),
        Engine.open(config, job, launcher=settings.launcher, patience=settings.patience) as engine,
    ):
        yield engine


def settings_of(context: typer.Context) -> Config:
    """The configuration, for a command that needs no store."""
    settings = _settings(context)
    return _config(settings)


def patience_of(context: typer.Context) -> Patience | None:
    """For a command that needs no store; None: the usual."""
    return _settings(context).patience


def caller(context: typer.Context) -> int:
    """The user id of the caller, before it became root of a namespace."""
    return _settings(context).uid


def _config(settings: Settings) -> Config:
    return Config.load(os.environ, root=settings.root, uid=settings.uid, ca_bundle=settings.ca_bundle)


def _settings(context: typer.Context) -> Settings:
    settings = context.obj
    assert isinstance(settings, Settings)
    return settings


@contextlib.contextmanager
def rendered(mode: str, sources: Callable[[str], bytes | None] | None = None) -> Iterator[Renderer]:
    """A renderer on standard error; closed before anything else is printed there."""
    renderer = choose(mode, sys.stderr, os.environ, sources=sources)
    try:
        yield renderer
    finally:
        renderer.close()


@contextlib.contextmanager
def _stopping(cancel: Cancel) -> Iterator[None]:
    """A first signal cancels and interrupts; Python's own handler does the rest for a second one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        cancel.cancel()
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
