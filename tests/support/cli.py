"""The command as a user has it: a process of its own, on a store of its own, with a small environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

_TIMEOUT_S = 240
BUG = "this is a bug in pybuild"


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def steps(self) -> dict[str, str]:
        """The name of each step of a plain progress output → ``DONE``, ``CACHED``, ``ERROR``, …"""
        names: dict[str, str] = {}
        states: dict[str, str] = {}
        for line in self.err.splitlines():
            number, _, text = line.partition(" ")
            if text.startswith("["):
                names[number] = text
            elif number in names and text.split(" ")[0].isupper():
                states[names[number]] = text.split(" ")[0]
        return states

    @property
    def image(self) -> str:
        """The id that a build, a bootstrap or `-q` printed."""
        words = f"{self.out} {self.err}".split()
        return next(word for word in words if word.startswith("sha256:") and len(word) == 71)


def program() -> str:
    """The installed command."""
    path = Path(sys.executable).with_name("pybuild")
    assert path.exists(), "these tests drive the installed command: pip install -e ."
    return str(path)


class Pybuild:
    """Runs the command on one state directory; ``home`` is a directory outside it."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.home = home
        home.mkdir(exist_ok=True)
        self.env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "PYBUILD_ROOT": str(root),
            "PYBUILD_CONFIG": str(home / "config.toml"),
            "LANG": "C.UTF-8",
        }
        self.prefix: Sequence[str] = ()  # what starts the program, where that is not the installed one

    def __call__(
        self,
        *arguments: str | Path,
        code: int | None = 0,
        cwd: Path | None = None,
        env: Mapping[str, str] = {},
        input: bytes | None = None,
        prefix: Sequence[str] = (),
        before: Callable[[], object] | None = None,
        instead: Sequence[str] | None = None,
    ) -> Outcome:
        """Run it to its end, which must have exit code ``code`` (None: any).

        ``before`` runs in the child; ``instead`` is another way to start the program.
        """
        started = instead or self.prefix or [program()]
        done = subprocess.run(
            [*prefix, *started, *map(str, arguments)],
            cwd=cwd,
            env={**self.env, **env},
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            preexec_fn=before,
        )
        outcome = Outcome(done.returncode, _text(done.stdout), _text(done.stderr))
        shown = " ".join(map(str, arguments))
        assert code is None or outcome.code == code, f"pybuild {shown}: {outcome.code}\n{outcome.err[-4000:]}"
        return outcome

    def start(
        self,
        *arguments: str | Path,
        env: Mapping[str, str] = {},
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        prefix: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start it and go on; end it with ``finish``."""
        return subprocess.Popen(
            [*prefix, program(), *map(str, arguments)],
            env={**self.env, **env},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )

    def build(self, context: Path, *options: str | Path, code: int | None = 0, **more: Any) -> Outcome:
        """`pybuild build --progress plain`."""
        return self("build", "--progress", "plain", *options, context, code=code, **more)

    def run(self, image: str, *command: str, code: int = 0) -> str:
        """What a command printed in a container that is removed afterwards."""
        return self("run", "--rm", image, *command, code=code).out

    def inspect(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self("inspect", name).out)[0]
        return document

    def save(self, name: str, path: Path) -> Path:
        self("save", "-o", path, name)
        return path


def finish(process: subprocess.Popen[bytes]) -> Outcome:
    """Wait for a started command."""
    out, err = process.communicate(timeout=_TIMEOUT_S)
    return Outcome(process.returncode, _text(out or b""), _text(err or b""))


def write_project(directory: Path, dockerfile: str, files: Mapping[str, str | bytes] = {}) -> Path:
    """A build context on disk; what it held before stays."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in {"Dockerfile": dockerfile, **files}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


def is_root() -> bool:
    return os.geteuid() == 0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
