"""Pushes and pulls with Debian's docker-registry, and with skopeo at the other end."""

from __future__ import annotations

import contextlib
import hashlib
import json
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
from tests.support.stores import Write

pytestmark = pytest.mark.conformance

_PASSWORD = "hunter2"
# `htpasswd -nbBC4 me hunter2`
_HTPASSWD = "me:$2b$04$K6MtS2o/bmnIjGwgy9uju.25cJ.g54D99hi.152LGSNfjTTeyMFKK\n"
# With a layer that goes in chunks.
_DOCKERFILE = "FROM busybox\nRUN head -c 9000000 /dev/urandom > /noise && md5sum /noise > /sum\nCOPY a /a\n"


class Server(NamedTuple):
    """A registry that runs, and how skopeo speaks to it."""

    kind: str
    host: str
    certificates: Path

    def skopeo(self, end: str) -> list[str]:
        """Options for the source ("src") or the destination ("dest") of a copy."""
        match self.kind:
            case "plain":
                return [f"--{end}-tls-verify=false"]
            case "htpasswd":
                return [f"--{end}-tls-verify=false", f"--{end}-creds=me:{_PASSWORD}"]
            case _:
                return [f"--{end}-cert-dir={self.certificates}"]


@contextlib.contextmanager
def _serving(kind: str, directory: Path) -> Iterator[Server]:
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
    process = subprocess.Popen(
        ["docker-registry", "serve", str(directory / "config.yml")],
        stdout=subprocess.DEVNULL,
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
        yield Server(kind, match[1], directory / "certificates")
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["plain", "htpasswd", "tls"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with _serving(request.param, tmp_path / "registry") as running:
        yield running


def _ready(pybuild: Pybuild, server: Server) -> Pybuild:
    """The command knows how to speak to the registry: its certificate, or a login."""
    if server.kind == "tls":
        config = f'[registry."{server.host}"]\nca = "{TLS_PEM}"\n'
        (pybuild.home / "config.toml").write_text(config)
    if server.kind == "htpasswd":
        pybuild("login", "-u", "me", "--password-stdin", server.host, input=_PASSWORD.encode())
    return pybuild


def _skopeo(*words: str | Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.fail("this test needs skopeo: install the package skopeo")
    done = subprocess.run(["skopeo", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_round_trip(pybuild: Pybuild, write: Write, server: Server, tmp_path: Path) -> None:
    """Ours is pulled by skopeo and by us; skopeo's copy of it is pulled by us and is the same image."""
    name = f"{server.host}/team/app:1"
    pybuild.build(write(_DOCKERFILE, {"a": "a\n"}), "-t", name)
    if server.kind == "htpasswd":
        assert "registry-denied" in pybuild("push", name, code=1).err
        refused = pybuild("login", "-u", "me", "--password-stdin", server.host, input=b"wrong", code=1)
        assert "error[login-refused]" in refused.err
    said = _ready(pybuild, server)("push", name).out.split()
    _skopeo("copy", *server.skopeo("src"), f"docker://{name}", f"dir:{tmp_path}/copied")
    manifest = json.loads((tmp_path / "copied/manifest.json").read_bytes())

    assert len(manifest["layers"]) == 3
    assert said[2] == f"sha256:{hashlib.sha256((tmp_path / 'copied/manifest.json').read_bytes()).hexdigest()}"

    other = _ready(Pybuild(tmp_path / "other", tmp_path / "other-home"), server)
    other("pull", name)
    assert "OK" in other.run(name, "md5sum", "-c", "/sum")
    assert other.inspect(name)["Id"] == pybuild.inspect(name)["Id"]

    # From one repository into another: mounted, and the digest stays.
    other("tag", name, f"{server.host}/again/app:3")
    assert other("push", f"{server.host}/again/app:3").out.split()[2] == said[2]

    # Another form of the same image, pushed by skopeo.
    theirs = f"{server.host}/theirs/app:2"
    _skopeo(
        "copy", "--format", "v2s2", *server.skopeo("dest"), f"dir:{tmp_path}/copied", f"docker://{theirs}"
    )
    other("rmi", name, f"{server.host}/again/app:3")
    other("pull", theirs)
    assert "OK" in other.run(theirs, "md5sum", "-c", "/sum")
