"""The command inside this process: as impatient as a test wants it, and quick to start."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

from builder.cli.app import run
from builder.cli.start import guarded
from builder.core.patience import Patience
from tests.support.cli import Outcome


class Driven:
    """Runs what `pybuild` runs, on a store of its own; waits are written down instead of waited."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.home = home
        home.mkdir(exist_ok=True)
        self.naps: list[float] = []
        self.patience = Patience(sleep=self.naps.append)
        self.env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "PYBUILD_ROOT": str(root),
            "PYBUILD_CONFIG": str(home / "config.toml"),
            "REGISTRY_AUTH_FILE": str(home / "auth.json"),
            "NO_COLOR": "1",
        }

    def __call__(self, *arguments: str | Path, env: Mapping[str, str] = {}, code: int | None = 0) -> Outcome:
        """Exit code, output and error output; ``code`` None: any."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        words = [str(argument) for argument in arguments]
        with (
            mock.patch.dict(os.environ, {**self.env, **env}, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            answer = guarded(lambda: run(words, patience=self.patience))
        outcome = Outcome(answer, _text(out), _text(err))

        assert code is None or answer == code, f"pybuild {' '.join(words)}: {answer}\n{outcome.err[-4000:]}"
        return outcome


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()
