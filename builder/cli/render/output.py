"""Where renderers write: a stream that cannot hurt the build, and the thread that refreshes a view."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import IO, cast


class Output:
    """A text or binary stream on which writing never raises.

    A terminal that went away must not fail a build, and a name that the stream's encoding
    lacks must not either. After a failed write nothing is written any more.
    """

    def __init__(self, stream: IO[str] | IO[bytes]) -> None:
        self._stream = stream
        is_text = isinstance(stream, io.TextIOBase) or hasattr(stream, "encoding")
        self._text = cast("IO[str]", stream) if is_text else None
        self._binary = None if is_text else cast("IO[bytes]", stream)
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self._is_broken = False

    def write(self, text: str) -> int:
        """Write and flush."""
        if text and not self._is_broken:
            try:
                self._put(text.encode(self.encoding, "replace"))
            except BlockingIOError:
                # Somebody made the shared terminal non-blocking; this piece is lost, the next may pass.
                pass
            except (OSError, ValueError, RuntimeError):
                # Gone, closed, or (RuntimeError) a signal handler that writes within a write.
                self._is_broken = True
        return len(text)

    def _put(self, data: bytes) -> None:
        if self._text is not None:
            self._text.write(data.decode(self.encoding, "replace"))
        elif self._binary is not None:
            self._binary.write(data)
        self._stream.flush()

    def flush(self) -> None:
        """Does nothing: every write is flushed."""

    def isatty(self) -> bool:
        """Whether a person watches."""
        return is_terminal(self._stream)


def is_terminal(stream: IO[str] | IO[bytes]) -> bool:
    """Like ``isatty``, and False for a closed stream."""
    try:
        return stream.isatty()
    except (OSError, ValueError):
        return False


class Ticker:
    """Calls ``callback`` every ``interval_s`` seconds in a thread of its own, between start and stop."""

    def __init__(self, interval_s: float, callback: Callable[[], None]) -> None:
        self._interval_s = interval_s
        self._callback = callback
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Idempotent; an interval of 0 never ticks."""
        if self._thread is None and self._interval_s > 0:
            self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Waits for a running callback; none starts afterwards."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            self._callback()
