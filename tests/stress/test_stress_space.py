"""The room of the store: a limit that holds over many builds, and a collection that is killed."""

from __future__ import annotations

import json
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.cli import Pybuild, finish
from tests.support.faults import count_changes, killed_at, sampled, scale, seed
from tests.support.processes import assert_intact, assert_nothing_left
from tests.support.stores import Write, copy_store

pytestmark = [pytest.mark.stress, pytest.mark.timeout(0)]

_BUILDS = 200
_LIMIT = 500_000_000
_DOCKERFILE = """\
FROM busybox AS tools
COPY tools /tools
RUN head -c {size} /dev/urandom > /tool
FROM busybox
COPY --from=tools /tools /tools
COPY lib /lib-of-app
RUN head -c {size} /dev/urandom > /big && cat /lib-of-app/* > /all
RUN --mount=type=cache,target=/cache head -c {size} /dev/urandom > /cache/last; echo built
COPY app /app
"""


def _disk_use(root: Path) -> int:
    done = subprocess.run(["du", "-s", "--block-size=1", root], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def test_the_store_stays_within_its_limit(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Builds with random edits, some of them two at once: limit, `du`, images and containers all hold."""
    chooser = random.Random(number := seed())
    rounds, limit = max(12, round(_BUILDS * scale())), round(_LIMIT * min(1.0, scale()))
    size = limit // 25  # three such files a build, which may all be new
    print(f"PYBUILD_SEED={number}: {rounds} builds within {limit} bytes")
    (pybuild.home / "config.toml").write_text(f'[store]\nmax_size = "{limit}b"\n')
    files = {"tools/t": "0", "lib/a": "0", "lib/b": "0", "app/main": "0"}
    dockerfile = _DOCKERFILE.format(size=size)
    pybuild.build(write("FROM busybox\nRUN echo kept > /kept\n", name="kept"), "-t", "kept")
    pybuild("run", "--name", "box", "kept", "sh", "-c", "echo written > /written")
    for count in range(rounds):
        for name in chooser.sample(sorted(files), chooser.randrange(1, 3)):
            files[name] = f"{count}"
        context = write(dockerfile, dict(files))
        started = [pybuild.start("build", "-q", "-t", "app", context)]
        if chooser.random() < 0.2:
            other = write(f"FROM busybox\nRUN head -c {size} /dev/urandom > /{count}\n", name="other")
            started.append(pybuild.start("build", "-q", other))
        for process in started:
            outcome = finish(process)
            assert outcome.code == 0, outcome.err

        # A MB for what a small store has beside its files: the database, directories, logs.
        running = 3 * size + (len(started) - 1) * size + 1_000_000
        assert _disk_use(pybuild.root) <= limit + running, f"build {count}"
        expected = f"{files['lib/a']}{files['lib/b']}{files['app/main']}"
        assert pybuild.run("app", "sh", "-c", "cat /all /app/main") == expected
        if count % 5 == 0:
            told, true = json.loads(pybuild("du", "--format", "json").out)["total"], _disk_use(pybuild.root)
            assert abs(told - true) <= true / 100

    assert pybuild.run("kept", "cat", "/kept") == "kept\n"
    pybuild("export", "-o", tmp_path / "box.tar", "box")
    with tarfile.open(tmp_path / "box.tar") as box:
        assert "written" in box.getnames()
    assert_intact(pybuild.root)


def test_prune_killed_at_every_change(
    base_store: Path, write: Write, tmp_path: Path, known: set[int]
) -> None:
    """Whatever the point, the next build finds a store that works, and the next prune takes the rest."""
    chooser = random.Random(number := seed())
    context = write(
        "FROM busybox\nCOPY x /x\nRUN --mount=type=cache,target=/c cp /x /y; echo > /c/z; echo said\n",
        {"x": "1"},
    )
    bench = Pybuild(copy_store(base_store, tmp_path / "bench"), tmp_path / "home")
    bench.build(context, "-t", "app")
    bench.build(write("FROM busybox\nRUN echo > /f; false\n", name="bad"), code=1)
    bench.build(write("FROM busybox\nRUN mkdir -p /a/b/c; echo > /a/b/c/d\n", name="nameless"))

    def fresh() -> Pybuild:
        subprocess.run(["rm", "-rf", tmp_path / "store"], check=True)
        return Pybuild(copy_store(bench.root, tmp_path / "store"), tmp_path / "home")

    words: list[str | Path] = ["prune", "-f", "--all"]
    count = count_changes(fresh(), words)
    chosen = sampled(list(range(1, count + 1)), chooser, scale())
    print(f"PYBUILD_SEED={number}: {len(chosen)} of {count} changes")
    killed = 0
    for change in chosen:
        pybuild = fresh()
        killed += pybuild(*words, instead=killed_at(change), code=None).code == -9
        assert pybuild.run("app", "cat", "/y") == "1", f"kill at change {change}"
        pybuild.build(context, "-t", "again")
        assert pybuild.run("again", "cat", "/y") == "1", f"kill at change {change}"
        pybuild(*words)
        assert_nothing_left(pybuild.root, known)
        assert_intact(pybuild.root)

    assert killed
