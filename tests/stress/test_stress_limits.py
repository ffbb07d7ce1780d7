"""Large files in little memory, and very many steps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.faults import scale
from tests.support.images import read_archive
from tests.support.stores import Write

pytestmark = [pytest.mark.stress, pytest.mark.timeout(0)]


def test_memory_does_not_grow_with_the_file(pybuild: Pybuild, write: Write) -> None:
    """A file many times as large as the memory is copied, hashed and seen by RUN."""
    size, limit = (1 << 30, 120 << 20) if scale() >= 1 else (192 << 20, 100 << 20)
    context = write("FROM busybox\nCOPY big /big\nRUN wc -c < /big > /size\n")
    block = os.urandom(1 << 20)
    with open(context / "big", "wb") as file:
        file.writelines(number.to_bytes(8) + block[8:] for number in range(size >> 20))
    pybuild.build(context, "-t", "big", prefix=["prlimit", f"--data={limit}"])
    pybuild.build(context, prefix=["prlimit", f"--data={limit}"])

    assert f"{size}\n" == pybuild.run("big", "cat", "/size")


def test_memory_does_not_grow_with_the_number_of_files(pybuild: Pybuild, write: Write) -> None:
    """Ten thousand files in one COPY, and again without it."""
    count, limit = (20_000, 120 << 20) if scale() >= 1 else (4_000, 100 << 20)
    context = write("FROM scratch\nCOPY many /many\n")
    for number in range(count):
        directory = context / f"many/{number // 100}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / str(number)).write_text(str(number))
    built = pybuild.build(context, "-t", "many", prefix=["prlimit", f"--data={limit}"])

    assert built.image == pybuild.build(context).image


def test_output_of_a_step_does_not_fill_the_memory(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Some hundred megabytes of output pass through, whole on disk."""
    size = (400 << 20) if scale() >= 1 else (40 << 20)
    context = write(f"FROM busybox\nRUN yes 0123456789abcdef | head -c {size}; echo; echo the end\n")
    with open(tmp_path / "shown", "wb") as shown:
        process = pybuild.start(
            "build", "--progress", "plain", context, stderr=shown, prefix=["prlimit", f"--data={120 << 20}"]
        )

        assert process.wait(600) == 0
    logs = [path for path in (pybuild.root / "logs-v1").rglob("*") if path.is_file()]
    assert [size + len("\nthe end\n")] == [path.stat().st_size for path in logs]


def test_any_depth(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Thousands of RUN lines: more lower directories than overlayfs takes; files of all of them are there."""
    depth = 3000 if scale() >= 1 else 450
    lines = "".join(f"RUN echo {n} > /f{n}; rm -f /f{n - 3}\n" for n in range(depth))
    context = write(f"FROM busybox\n{lines}")
    first = pybuild.build(context, "-q", "-t", "deep")
    second = pybuild.build(context, "-q")
    run = pybuild.run("deep", "sh", "-c", "ls / | grep -c '^f[0-9]'; cat /f*")

    assert first.image == second.image
    assert ["3", *sorted(str(n) for n in range(depth - 3, depth))] == run.split()
    # One more on top of the flat part, and the whole in an archive.
    pybuild.build(write(f"FROM deep\nRUN rm /f{depth - 1}; echo top > /top\n", name="child"), "-t", "child")
    assert pybuild.run("child", "cat", "/top") == "top\n"
    names = read_archive(pybuild.save("child", tmp_path / "child.tar")).tree().keys()
    assert {f"f{depth - 3}", f"f{depth - 2}"} == {
        name for name in names if name[:1] == "f" and name[1:].isdigit()
    }
