"""Cache mounts that travel with `--cache-to mounts=`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cache.document import MEMBER
from tests.support.cli import Outcome, Pybuild
from tests.support.registry import FakeRegistry
from tests.support.stores import Write, copy_store

pytestmark = pytest.mark.e2e

_DOCKERFILE = """\
FROM busybox
ARG ROUND
RUN --mount=type=cache,id=packages,target=/cache,sharing={sharing} \\
    [ -f /cache/large ] || head -c 3000000 /dev/urandom > /cache/large; \\
    mkdir -p /cache/$ROUND && echo $ROUND > /cache/$ROUND/file && chmod 640 /cache/$ROUND/file && \\
    chown 5:6 /cache/$ROUND /cache/$ROUND/file && rm -rf /cache/gone && mkdir /cache/gone-$ROUND && \\
    ls -ln /cache && sha256sum /cache/large
"""


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def twin(base_store: Path, tmp_path: Path) -> Pybuild:
    """A machine with the same busybox, and nothing else."""
    return Pybuild(copy_store(base_store, tmp_path / "twin"), tmp_path / "twin-home")


def printed(outcome: Outcome) -> list[str]:
    """What the step said, without times."""
    lines = [line.split(maxsplit=2)[2] for line in outcome.err.splitlines() if line.startswith("#")
             and len(line.split(maxsplit=2)) == 3]  # fmt: skip
    return [line for line in lines if line.startswith(("d", "-")) or line.endswith("/cache/large")]


def entries(outcome: Outcome) -> dict[str, str]:
    """Owners and modes of what the step listed, by name."""
    found = {}
    for line in printed(outcome):
        fields = line.split()
        if len(fields) == 9:
            found[fields[-1]] = f"{fields[0]} {fields[2]}:{fields[3]}"
    return found


def digest(outcome: Outcome) -> str:
    return next(line.split()[0] for line in printed(outcome) if line.endswith("/cache/large"))


def shared(registry: FakeRegistry) -> tuple[dict[str, int], list[dict[str, object]]]:
    """The layers of the cache with their sizes, and its mounts."""
    manifest = json.loads(registry.manifest("cache", "main"))
    config = json.loads(registry.blob("cache", manifest["config"]["digest"]))
    return {layer["digest"]: layer["size"] for layer in manifest["layers"]}, config[MEMBER].get("mounts", [])


@pytest.mark.parametrize("sharing", ["shared", "locked"])
def test_mounts_travel_and_only_changes_are_sent(
    pybuild: Pybuild, twin: Pybuild, registry: FakeRegistry, write: Write, sharing: str
) -> None:
    """Owners and modes stay, deleted files are gone; the large file is sent once, whoever builds."""
    project = write(_DOCKERFILE.format(sharing=sharing))
    cache = f"{registry.host}/cache:main"
    to = f"type=registry,ref={cache},mounts=packages"
    first = pybuild.build(project, "--build-arg", "ROUND=one", "--cache-to", to)
    layers, _ = shared(registry)
    second = pybuild.build(project, "--build-arg", "ROUND=two", "--cache-to", to)
    after, mounts = shared(registry)
    third = twin.build(project, "--build-arg", "ROUND=three", "--cache-from", cache, "--cache-to", to)
    last, _ = shared(registry)

    assert max(layers.values()) > 2_900_000
    assert sum(size for name, size in after.items() if name not in layers) < 20_000
    assert sum(size for name, size in last.items() if name not in after) < 20_000
    assert [len(mount["layers"]) for mount in mounts] == [2]  # type: ignore[arg-type]  # JSON
    assert digest(first) == digest(second) == digest(third)
    assert entries(third) == {
        **entries(second),
        "three": entries(second)["two"],
        "gone-three": "drwxr-xr-x 0:0",
    }
    assert entries(second)["two"] == "drwxr-xr-x 5:6"
    assert "restore cache mount" in third.err


def test_newer_mount_stays(pybuild: Pybuild, twin: Pybuild, registry: FakeRegistry, write: Write) -> None:
    """What this machine used after the export is not replaced; what it used before it is."""
    project = write(_DOCKERFILE.format(sharing="shared"))
    cache = f"{registry.host}/cache:main"
    older = twin.build(project, "--build-arg", "ROUND=own")
    pybuild.build(project, "--build-arg", "ROUND=one", "--cache-to", f"type=registry,ref={cache},mounts=all")
    replaced = twin.build(project, "--build-arg", "ROUND=two", "--cache-from", cache)
    newer = twin.build(project, "--build-arg", "ROUND=three", "--cache-from", cache)

    assert "own" in entries(older)
    assert {"one", "two"} <= entries(replaced).keys()
    assert "own" not in entries(replaced)
    assert {"one", "two", "three"} <= entries(newer).keys()
    assert "restore cache mount" not in newer.err


def test_machine_without_the_mount_keeps_what_is_there(
    pybuild: Pybuild, twin: Pybuild, registry: FakeRegistry, write: Write, tmp_path: Path
) -> None:
    """A build that runs nothing passes the mounts on, also to another place; none becomes empty."""
    project = write(_DOCKERFILE.format(sharing="shared"))
    cache, folder = f"{registry.host}/cache:main", tmp_path / "folder"
    to = f"type=registry,ref={cache},mode=max,mounts=all"
    first = pybuild.build(project, "--build-arg", "ROUND=one", "--cache-to", to)
    _, before = shared(registry)
    twin.build(
        project, "--build-arg", "ROUND=one", "--cache-from", cache, "--cache-to", to,
        "--cache-to", f"type=local,dest={folder},mounts=all",
    )  # fmt: skip
    _, after = shared(registry)
    third = Pybuild(copy_store(twin.root, tmp_path / "third"), tmp_path / "third-home")
    restored = third.build(project, "--build-arg", "ROUND=two", "--cache-from", f"type=local,src={folder}")

    assert before == after
    assert digest(restored) == digest(first)


def test_unknown_and_broken_mounts(
    pybuild: Pybuild, twin: Pybuild, registry: FakeRegistry, write: Write
) -> None:
    """A name that no step has is told; a mount whose layers are lost begins empty, with a warning."""
    project = write(_DOCKERFILE.format(sharing="shared"))
    cache = f"{registry.host}/cache:main"
    first = pybuild.build(
        project, "--build-arg", "ROUND=one", "--cache-to", f"type=registry,ref={cache},mounts=packages,nosuch"
    )
    layers, _ = shared(registry)
    registry.forget("cache", max(layers, key=layers.__getitem__))
    second = twin.build(project, "--build-arg", "ROUND=two", "--cache-from", cache)

    assert 'no step of this build has a cache mount "nosuch"' in first.err
    assert 'the cache mount "packages" was not restored' in second.err
    assert "one" not in entries(second)
    assert os.listdir(twin.root / "caches-v1")
