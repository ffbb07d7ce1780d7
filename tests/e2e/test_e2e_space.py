"""The room that the store takes: shown, given back, limited."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Pybuild, finish
from tests.support.processes import assert_intact, wait_until
from tests.support.stores import Write, copy_store

pytestmark = pytest.mark.e2e

_MEGABYTE = "head -c 1000000 /dev/urandom"


def disk_use(root: Path) -> int:
    done = subprocess.run(["du", "-s", "--block-size=1", root], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def usage(pybuild: Pybuild) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(pybuild("du", "--format", "json").out)
    return document


def steps(pybuild: Pybuild, *options: str) -> dict[str, tuple[bool, str]]:
    """What `prune` says of each record: whether it goes, and why it stays."""
    document = json.loads(pybuild("prune", "-f", "--format", "json", *options).out)
    return {
        thing["text"].partition("] ")[2]: (thing["removed"], thing["reason"])
        for thing in document["things"]
        if thing["type"] == "record"
    }


def test_du_agrees_with_du(pybuild: Pybuild, write: Write) -> None:
    """Within one per cent, whatever is in it: layers, caches, logs, failed steps, hard links."""
    context = write(
        f"FROM busybox\nRUN {_MEGABYTE} > /a && ln /a /b && {_MEGABYTE} > /c\n"
        f"RUN --mount=type=cache,target=/cache {_MEGABYTE} > /cache/x; {_MEGABYTE} | od | head -c 500000\n"
    )
    pybuild.build(context, "-t", "app")
    pybuild.build(write(f"FROM busybox\nRUN {_MEGABYTE} > /f; false\n", name="bad"), code=1)
    pybuild("save", "--compression", "gzip", "-o", context / "saved.tar", "app")
    before = disk_use(pybuild.root)
    found = usage(pybuild)

    assert abs(found["total"] - before) <= before / 100
    assert sum(kind["size"] for kind in found["types"]) == found["total"]
    sizes = {kind["type"]: kind["size"] for kind in found["types"]}
    assert sizes["image"] > 4_000_000
    assert 1_000_000 < sizes["cache-mount"] < 1_100_000
    assert 1_000_000 < sizes["failed-step"] < 1_100_000
    assert 500_000 < sizes["log"] < 600_000
    text = pybuild("du", "-v").out
    assert "docker.io/library/app:latest" in text
    assert f"RUN {_MEGABYTE} > /a" in text


def test_prune_says_why_each_record_stays(pybuild: Pybuild, write: Write) -> None:
    """An image, a container, nobody; then --all; and the total is what came free."""
    write("FROM busybox\nRUN echo image > /x\n")
    pybuild.build(write("FROM busybox\nRUN echo image > /x\n"), "-t", "app")
    pybuild.build(write("FROM busybox\nRUN echo box > /x\n", name="box"), "-t", "box")
    pybuild("run", "--name", "box", "box", "true")
    pybuild("rmi", "-f", "box")
    pybuild.build(write(f"FROM busybox\nRUN {_MEGABYTE} > /x\n", name="none"), "-t", "moved")
    pybuild("rmi", "moved")
    expected = {
        "RUN echo image > /x": (False, 'image "docker.io/library/app:latest" uses it'),
        "RUN echo box > /x": (False, 'container "box" uses it'),
        f"RUN {_MEGABYTE} > /x": (True, ""),
    }
    before = disk_use(pybuild.root)
    dry = pybuild("prune", "--dry-run").out
    assert 'image "docker.io/library/app:latest" uses it' in dry
    assert "Would remove:" in dry

    assert steps(pybuild, "--dry-run") == expected
    assert steps(pybuild) == expected
    assert before - disk_use(pybuild.root) > 1_000_000
    assert steps(pybuild, "--all") == {
        "RUN echo image > /x": (True, ""),
        "RUN echo box > /x": (True, ""),
    }
    assert pybuild.run("app", "cat", "/x") == "image\n"
    assert_intact(pybuild.root)


def test_prune_asks(pybuild: Pybuild, write: Write) -> None:
    """Without an answer nothing goes."""
    context = write("FROM busybox\nRUN echo > /x\n")
    pybuild.build(context)
    assert "Are you sure" in pybuild("prune", input=b"\n").out

    assert pybuild.build(context).steps["[2/2] RUN echo > /x"] == "CACHED"
    pybuild("builder", "prune", input=b"y\n")
    assert pybuild.build(context).steps["[2/2] RUN echo > /x"] == "DONE"


def test_prune_beside_a_running_build(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """What the build has found and made stays; what it has not goes; it ends well."""
    gate = tmp_path / "gate"
    gate.mkdir()
    context = write(
        "FROM busybox\nRUN echo one > /one\nRUN --mount=type=cache,target=/c touch /c/here;"
        " until [ -e /c/go ]; do true; done; cat /one > /two\n"
    )
    pybuild.build(write(f"FROM busybox\nRUN {_MEGABYTE} > /x\n", name="other"))
    running = pybuild.start("build", "--progress", "plain", "-t", "app", context)
    caches = pybuild.root / "caches-v1"
    wait_until(lambda: bool(list(caches.glob("*/*/data/here"))), watched=running.pid)
    found = steps(pybuild, "--all")
    (cache,) = caches.glob("*/*/data")
    (cache / "go").touch()
    outcome = finish(running)

    assert outcome.code == 0, outcome.err
    assert found["RUN echo one > /one"] == (False, "a running command uses it")
    assert found[f"RUN {_MEGABYTE} > /x"] == (True, "")
    assert pybuild.run("app", "cat", "/two") == "one\n"
    assert_intact(pybuild.root)


def test_a_build_keeps_the_limit(pybuild: Pybuild, write: Write) -> None:
    """What was used longest ago goes before the build; what it needs itself is there."""
    (pybuild.home / "config.toml").write_text('[store]\nmax_size = "6m"\n')
    contexts = [
        write(f"FROM busybox\nRUN {_MEGABYTE} > /x; echo {number}\n", name=f"p{number}")
        for number in range(6)
    ]
    said = ""
    for context in contexts:
        said += pybuild.build(context, "-t", "app").err
        assert disk_use(pybuild.root) < (6 << 20) + 1_200_000

    assert "make room: the store takes" in said
    again = pybuild.build(contexts[-1], "-t", "app")
    assert again.steps[f"[2/2] RUN {_MEGABYTE} > /x; echo 5"] == "CACHED"
    (pybuild.home / "config.toml").write_text('[store]\nmax_size = "1m"\n')
    assert "more than its limit" in pybuild.build(contexts[-1]).err
    assert "more than" not in pybuild.build(contexts[-1], "--keep-storage", "1g").err


def test_cache_ttl(pybuild: Pybuild, write: Write) -> None:
    """A step that ran longer ago runs again, and the newer answers from then on."""
    context = write("FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n")
    step = "[2/2] RUN cat /proc/sys/kernel/random/uuid > /id"
    first = pybuild.build(context)

    assert pybuild.build(context, "--cache-ttl", "1h").steps[step] == "CACHED"
    second = pybuild.build(context, "--cache-ttl", "1ms")
    assert second.steps[step] == "DONE"
    assert first.image != second.image == pybuild.build(context).image


@pytest.fixture
def small_disk(base_store: Path, pybuild: Pybuild, tmp_path: Path) -> Iterator[Pybuild]:
    """A store on a disk of its own, of 24 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=True)
    try:
        yield Pybuild(copy_store(base_store, disk / "store"), tmp_path / "home")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("way", ["RUN", "COPY"])
def test_a_full_disk_is_met_once(way: str, small_disk: Pybuild, write: Write) -> None:
    """Room is made of what was used before, the build goes on where it was, and succeeds."""
    old = write("FROM busybox\nRUN head -c 12000000 /dev/urandom > /x\n", name="old")
    small_disk("build", "-q", old)
    lines = {"RUN": "RUN head -c 12000000 /dev/urandom > /y\n", "COPY": "COPY big /y\n"}
    context = write(f"FROM busybox\nRUN echo first > /first\n{lines[way]}", {"big": bytes(12_000_000)})
    outcome = small_disk.build(context, "-t", "app")

    assert "make room: the disk is full" in outcome.err
    assert outcome.steps["[2/3] RUN echo first > /first"] == "CACHED"
    assert small_disk.run("app", "wc", "-c", "/y").split()[0] == "12000000"


def test_prune_on_a_disk_that_is_full_to_the_last_byte(small_disk: Pybuild, write: Write) -> None:
    """Not even the database can be opened then; what failed steps left is the first room."""
    context = write("FROM busybox\nRUN head -c 2000000 /dev/urandom > /x; false\n")
    small_disk.build(context, code=1)
    small_disk("build", "-q", write("FROM busybox\nRUN head -c 3000000 /dev/urandom > /x\n", name="old"))
    with contextlib.suppress(OSError), (small_disk.root.parent / "fill").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert "error[" in small_disk("images", code=1).err

    small_disk("prune", "-f")
    disk = os.statvfs(small_disk.root)
    assert disk.f_bavail * disk.f_frsize > 5_000_000
    small_disk.build(write("FROM busybox\nRUN echo > /y\n", name="small"))


def test_a_disk_that_stays_full_is_a_clear_error(small_disk: Pybuild, write: Write) -> None:
    """One error that names the disk, and the store is as good as before."""
    outcome = small_disk.build(write("FROM busybox\nRUN head -c 40000000 /dev/urandom > /y\n"), code=1)

    assert "error[no-room]" in outcome.err
    assert "head: " in outcome.err
    small_disk.build(write("FROM busybox\nRUN echo > /y\n", name="small"))
