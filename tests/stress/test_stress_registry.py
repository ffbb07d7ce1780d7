"""A large image to a registry and back: in little memory, killed on the way, and nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import Pybuild, finish
from tests.support.docker_registry import Server, serving
from tests.support.faults import scale
from tests.support.processes import assert_intact, children, kill_children, wait_until
from tests.support.stores import Write, copy_store

pytestmark = [pytest.mark.stress, pytest.mark.timeout(0)]

_MEMORY = ["prlimit", f"--data={150 << 20}"]


def _noise(path: Path, size: int) -> None:
    """Nothing that could be compressed, and no block twice."""
    block = os.urandom(1 << 20)
    with open(path, "wb") as file:
        file.writelines(number.to_bytes(8) + block[8:] for number in range(size >> 20))


def _killed(pybuild: Pybuild, words: list[str], is_time: Callable[[], bool]) -> None:
    process = pybuild.start(*words, prefix=_MEMORY)
    wait_until(is_time, watched=process.pid)
    process.send_signal(signal.SIGKILL)

    assert finish(process).code == -9


def test_killed_push_and_pull_go_on(pybuild: Pybuild, base_store: Path, write: Write, tmp_path: Path) -> None:
    """Two gigabytes, of which no finished blob goes over the wire again, in 150 MiB."""
    size = (2 << 30) if scale() >= 1 else (208 << 20)
    context = write("FROM busybox\nCOPY small /\nCOPY middle /\nCOPY large /\n")
    for name, part in (("small", 1), ("middle", 4), ("large", 8)):
        _noise(context / name, size * part // 13)
    with serving("plain", tmp_path / "registry") as server:
        name = f"{server.host}/large:1"
        metadata = tmp_path / "metadata"
        pybuild.build(
            context, "-t", name, "--output", "type=image", "--metadata-file", metadata, prefix=_MEMORY
        )
        shutil.rmtree(context)
        _push(pybuild, server, name, json.loads(metadata.read_text())["containerimage.digest"])

        other = Pybuild(copy_store(base_store, tmp_path / "other"), tmp_path / "home")
        known = set(children())
        try:
            _pull(other, server, name, size)
            assert other.run(name, "sh", "-c", "cat /small /middle /large | wc -c") == f"{_sum(size)}\n"
            assert_intact(other.root)
        finally:
            kill_children(known)
            shutil.rmtree(other.root)


def _sum(size: int) -> int:
    return sum((size * part // 13 >> 20) << 20 for part in (1, 4, 8))


def _push(pybuild: Pybuild, server: Server, name: str, digest: str) -> None:
    blobs = pybuild.root / "content-v1/blobs/sha256"
    layers = json.loads((blobs / digest.partition(":")[2]).read_bytes())["layers"]
    small = min(layers[1:], key=lambda layer: layer["size"])["digest"]
    large = max(layers, key=lambda layer: layer["size"])["digest"]
    _killed(pybuild, ["push", name], lambda: _placed(server, small) == 1)
    assert _placed(server, large) == 0
    pushed = pybuild("push", name, prefix=_MEMORY).out.split()

    assert pushed[2] == digest
    assert [_placed(server, small), _placed(server, large)] == [1, 1]


def _placed(server: Server, digest: str) -> int:
    """How often it was sent to its end."""
    names = (digest, digest.replace(":", "%3A"))
    return sum(
        r.method == "PUT" and r.status == 201 and any(name in r.path for name in names)
        for r in server.requests()
    )


def _pull(pybuild: Pybuild, server: Server, name: str, size: int) -> None:
    blobs, partial = pybuild.root / "content-v1/blobs/sha256", pybuild.root / "partial-v1"
    before = set(blobs.iterdir())

    def is_time() -> bool:
        is_small_done = any(path.stat().st_size >= size // 13 for path in set(blobs.iterdir()) - before)
        is_more_begun = any(path.stat().st_size >= 1 << 20 for path in partial.iterdir())
        return is_small_done and is_more_begun

    asked = len(server.requests())
    _killed(pybuild, ["pull", name], is_time)
    finished = {path.name for path in blobs.iterdir()}
    pybuild("pull", name, prefix=_MEMORY)
    answers = [r for r in server.requests()[asked:] if r.method == "GET" and "/blobs/" in r.path]

    for digest in finished:
        assert sum(digest in r.path for r in answers if r.size > 1 << 20) <= 1
    # What was on its way when the process died counts twice; each connection has some mebibytes of that.
    assert sum(r.size for r in answers) < size * 1.02 + (24 << 20)
    assert [r for r in answers if r.status == 206]
