"""How long servers of other people are waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class Patience(NamedTuple):
    """All in seconds. Tests are less patient, and do not sleep."""

    connect_s: float = 15.0
    silence_s: float = 60.0  # without bytes that are worth the name, see SLOWEST
    stored_s: float = 300.0  # before an answer, where something was sent to be kept
    document_s: float = 120.0  # for all of a manifest, a token or an error
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] | None = None  # replaces the waiting between tries


# Bytes that must come within ``silence_s``: a server that sends one a minute could keep us for ever.
SLOWEST = 16 << 10
