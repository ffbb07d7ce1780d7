"""What the program's own options say, for the command that follows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from builder.core.patience import Patience
    from builder.engine.early import Launcher


class Settings(NamedTuple):
    """``launcher`` is one that was started before the command line was read; ``patience`` None: the usual."""

    root: Path | None
    launcher: Launcher | None
    ca_bundle: Path | None = None
    uid: int = 0  # of the caller, before it became root of a namespace
    patience: Patience | None = None
