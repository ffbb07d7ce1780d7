"""What may start before the engine is even loaded."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.sandbox.launch import Launcher as Launcher


def become_root() -> None:
    """Of a user namespace, if the caller is none of the machine; where that cannot be, nothing changes.

    Whoever needs it then says why. Raises MappingRefused.
    """
    from builder.sandbox.usernamespace import NotMapped, enter, maps_of

    with contextlib.suppress(NotMapped):
        enter(maps_of(os.geteuid(), os.getegid()))


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
