"""What may start before the engine is even loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.sandbox.launch import Launcher as Launcher


def start_launcher() -> Launcher | None:
    """The launcher, on its way: it boots on another processor while this one imports. None: it cannot be.

    Whoever needs it then says why.
    """
    from builder.core.errors import PybuildError
    from builder.sandbox.launch import Launcher

    launcher = Launcher()
    try:
        launcher.start()
    except (PybuildError, OSError):
        launcher.close()
        return None
    return launcher
