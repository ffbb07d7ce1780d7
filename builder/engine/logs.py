"""What steps print, kept on disk in full."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from builder.core.events import Event, Progress, StepFinished, StepLog


class LoggingProgress:
    """Passes events on, and writes each step's output to a file of the build's log directory.

    The directory appears with the first line. A disk that is full loses log lines, not the build: the step
    itself will meet the same disk and say so.
    """

    def __init__(self, inner: Progress, directory: Path) -> None:
        self._inner = inner
        self._directory = directory
        self._lock = threading.Lock()
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> LoggingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._lock:
            for file in self._files.values():
                with contextlib.suppress(OSError):
                    file.close()
            self._files.clear()

    def emit(self, event: Event) -> None:
        """See Progress."""
        if isinstance(event, StepLog):
            with self._lock, contextlib.suppress(OSError):
                self._file(event.step).write(event.data)
        elif isinstance(event, StepFinished):
            with self._lock, contextlib.suppress(OSError):
                file = self._files.pop(event.step, None)
                if file is not None:
                    file.close()
        self._inner.emit(event)

    def path(self, step: str) -> Path:
        """Where a step's output lies, if it printed any."""
        return log_path(self._directory, step)

    def _file(self, step: str) -> BinaryIO:
        file = self._files.get(step)
        if file is None:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            file = self._files[step] = open(self.path(step), "ab")  # noqa: SIM115 (closed when the step ends)
        return file


def log_path(directory: Path, step: str) -> Path:
    """Where the output of one step lies among those of its build."""
    return directory / f"{step.rpartition(':')[2][:32]}.log"
