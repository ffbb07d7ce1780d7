"""Debian's docker-registry, in its three kinds, and the tools that speak to it."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.cli import Pybuild
from tests.support.registry import TLS_PEM

KINDS = ("plain", "htpasswd", "tls")
PASSWORD = "hunter2"
# `htpasswd -nbBC4 me hunter2`
_HTPASSWD = "me:$2b$04$K6MtS2o/bmnIjGwgy9uju.25cJ.g54D99hi.152LGSNfjTTeyMFKK\n"


_ACCESS = re.compile(r'"([A-Z]+) (\S+) HTTP/1\.1" (\d+) (\d+) ')


class Access(NamedTuple):
    """A request that docker-registry has answered."""

    method: str
    path: str
    status: int
    size: int  # bytes of the answer that were sent


class Server(NamedTuple):
    """A registry that runs, and how skopeo speaks to it."""

    kind: str
    host: str
    certificates: Path
    directory: Path

    def requests(self) -> list[Access]:
        """What it was asked so far, by its own log."""
        found = _ACCESS.findall((self.directory / "accesses").read_text())
        return [Access(method, path, int(status), int(size)) for method, path, status, size in found]

    def skopeo(self, end: str) -> list[str]:
        """Options for the source ("src") or the destination ("dest") of a copy."""
        match self.kind:
            case "plain":
                return [f"--{end}-tls-verify=false"]
            case "htpasswd":
                return [f"--{end}-tls-verify=false", f"--{end}-creds=me:{PASSWORD}"]
            case _:
                return [f"--{end}-cert-dir={self.certificates}"]

    def buildah(self) -> list[str]:
        """Options for a pull."""
        match self.kind:
            case "plain":
                return ["--tls-verify=false"]
            case "htpasswd":
                return ["--tls-verify=false", f"--creds=me:{PASSWORD}"]
            case _:
                return [f"--cert-dir={self.certificates}"]


@contextlib.contextmanager
def serving(kind: str, directory: Path) -> Iterator[Server]:
    if shutil.which("docker-registry") is None:
        pytest.fail("this test needs docker-registry: install the package docker-registry")
    directory.mkdir()
    (directory / "htpasswd").write_text(_HTPASSWD)
    (directory / "certificates").mkdir()
    shutil.copy(TLS_PEM, directory / "certificates/ca.crt")
    tls = f", tls: {{certificate: {TLS_PEM}, key: {TLS_PEM}}}" if kind == "tls" else ""
    login = f"auth: {{htpasswd: {{realm: test, path: {directory}/htpasswd}}}}\n" if kind == "htpasswd" else ""
    (directory / "config.yml").write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {directory}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:0'{tls}}}\n{login}"
    )
    with open(directory / "accesses", "wb") as accesses:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(directory / "config.yml")],
            stdout=accesses,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            match = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
            if match is not None:
                break
        else:
            pytest.fail("docker-registry does not start: " + "".join(lines))
        # Nobody else reads what it prints, and it must not wait for that.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Server(kind, match[1], directory / "certificates", directory)
    finally:
        process.kill()
        process.wait()


def ready(pybuild: Pybuild, server: Server) -> Pybuild:
    """The command knows how to speak to the registry: its certificate, or a login."""
    if server.kind == "tls":
        config = f'[registry."{server.host}"]\nca = "{TLS_PEM}"\n'
        (pybuild.home / "config.toml").write_text(config)
    if server.kind == "htpasswd":
        pybuild("login", "-u", "me", "--password-stdin", server.host, input=PASSWORD.encode())
    return pybuild


def tool(name: str, *words: str | Path) -> str:
    """What it printed; it must succeed."""
    if shutil.which(name) is None:
        pytest.fail(f"this test needs {name}: install the package {name}")
    done = subprocess.run([name, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Buildah:
    """buildah on a store of its own; it runs nothing, so it needs no runtime."""

    def __init__(self, directory: Path) -> None:
        places = [f"--root={directory}/root", f"--runroot={directory}/run"]
        self._options = [*places, "--storage-driver=vfs"]

    def __call__(self, *words: str | Path) -> str:
        return tool("buildah", *self._options, *words).strip()
