"""Bad input: one clear error that names the line or the cause, exit code 1, an intact store."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Outcome, Pybuild, program
from tests.support.processes import assert_intact
from tests.support.registry import FakeRegistry
from tests.support.stores import Write

pytestmark = pytest.mark.e2e


def _check(failed: Outcome, pybuild: Pybuild, *words: str) -> None:
    assert failed.err.count("error[") == 1
    assert "Traceback" not in failed.err
    for word in words:
        assert word in failed.err
    assert_intact(pybuild.root)


@pytest.mark.parametrize(
    ("dockerfile", "line", "words"),
    [
        ("FROM busybox\nRUN true\nCOPPY a b\n", 3, ("COPPY", "COPY")),
        ("FROM busybox\nCOPY missing.txt /x\n", 2, ("missing.txt",)),
        ("FROM busybox\nADD missing.txt /x\n", 2, ("missing.txt",)),
        ("FROM busybox\nCOPY --from=nowhere:0 a /x\n", 2, ("nowhere",)),
        ("FROM busybox\nCOPY --frm=x a /x\n", 2, ("frm",)),
        ("FROM busybox\nRUN exit 3\n", 2, ("exit code: 3",)),
        ("FROM busybox\nWORKDIR /etc/passwd\n", 2, ("passwd",)),
        ("FROM busybox\nENV =x\n", 2, ()),
        ("FROM busybox\n\nHEALTHCHECK --interval=x CMD y\n", 3, ("interval",)),
        ("RUN before from\n", 1, ()),
        ("FROM busybox\nUSER nobody-here\nRUN true\n", 3, ("nobody-here",)),
        ("FROM busybox\nRUN [\"/no/such/program\"]\n", 2, ("/no/such/program",)),
        ("FROM busybox\nCOPY --chmod=9 Dockerfile /x\n", 2, ("9",)),
    ],
)  # fmt: skip
def test_error_names_the_line(
    dockerfile: str, line: int, words: tuple[str, ...], pybuild: Pybuild, write: Write
) -> None:
    """The file, the line and the user's word are in the message."""
    _check(pybuild.build(write(dockerfile), "--pull=never", code=1), pybuild, f"Dockerfile:{line}", *words)


@pytest.mark.parametrize("name", ["no-such-stage", "9"])
def test_unknown_target(name: str, pybuild: Pybuild, write: Write) -> None:
    """The stage that was asked for is named."""
    _check(pybuild.build(write("FROM busybox AS only\n"), "--target", name, code=1), pybuild, f'"{name}"')


def test_no_context_and_no_dockerfile(pybuild: Pybuild, tmp_path: Path) -> None:
    """A missing folder, a file in its place, a folder without a Dockerfile, a Dockerfile that is a folder."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd/Dockerfile").mkdir(parents=True)
    for name, word in (
        ("nowhere", "nowhere"),
        ("file", "file"),
        ("empty", "Dockerfile"),
        ("odd", "Dockerfile"),
    ):
        _check(pybuild.build(tmp_path / name, code=1), pybuild, word)


def test_dockerfile_of_zeros(pybuild: Pybuild, write: Write) -> None:
    """Bytes that are no text are an error like any other."""
    context = write("FROM scratch\n")
    noise = [random.Random(seed).randbytes(4096) for seed in range(8)]
    for data in (bytes(1000), b"\xff\xfe\x00F", *noise, b"FROM " + b"x" * 100_000):
        (context / "Dockerfile").write_bytes(data)
        failed = pybuild.build(context, "--pull=never", code=1)

        count = failed.err.count("error[")

        # Lines of noise may each be a mistake; their number is the last line then.
        assert count == 1 or failed.err.endswith(f"\n{count} errors\n")
        assert "Traceback" not in failed.err


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def test_registry_without_the_image(pybuild: Pybuild, write: Write, registry: FakeRegistry) -> None:
    """A 404 is an error at the FROM line with the image's name."""
    context = write(f"# none there\nFROM {registry.host}/team/base:v1\nRUN true\n")

    _check(pybuild.build(context, code=1), pybuild, "Dockerfile:2", f"{registry.host}/team/base")


def test_registry_that_truncates(
    pybuild: Pybuild, write: Write, registry: FakeRegistry, tmp_path: Path
) -> None:
    """A layer that ends early every time is an error, and nothing of it is kept."""
    _push_base(registry, tmp_path)
    context = write(f"FROM {registry.host}/team/base:v1\nCOPY Dockerfile /x\n")
    registry.serves_ranges = False
    registry.truncate(r"GET .*/blobs/", 40, times=100)
    failed = pybuild.build(context, code=1)

    _check(failed, pybuild, f"{registry.host}/team/base")


def test_registry_that_lies(pybuild: Pybuild, write: Write, registry: FakeRegistry, tmp_path: Path) -> None:
    """A layer with other bytes than its digest says is refused."""
    _push_base(registry, tmp_path)
    registry.corrupt(r"GET .*/blobs/")
    failed = pybuild.build(write(f"FROM {registry.host}/team/base:v1\nCOPY Dockerfile /x\n"), code=1)

    _check(failed, pybuild, f"{registry.host}/team/base")


def test_registry_that_recovers(
    pybuild: Pybuild, write: Write, registry: FakeRegistry, tmp_path: Path
) -> None:
    """A blob that is cut off once is asked for again, and the build goes on."""
    _push_base(registry, tmp_path)
    registry.truncate(r"GET .*/blobs/", 40, times=1)
    pybuild.build(write(f"FROM {registry.host}/team/base:v1\nCOPY Dockerfile /x\n"), "-t", "pulled")

    assert pybuild.run("busybox", "echo", "pushed") == "pushed\n"
    assert_intact(pybuild.root)


def _push_base(registry: FakeRegistry, directory: Path) -> None:
    import io
    import tarfile

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = 5000
        tar.addfile(member, io.BytesIO(os.urandom(5000)))
    registry.push_image("team/base", "v1", [data.getvalue()], {})


@pytest.mark.parametrize("room_kib", [0, 300, 1400, 2600])
def test_full_disk(room_kib: int, pybuild: Pybuild, write: Write, base_store: Path, tmp_path: Path) -> None:
    """With too little space the error says so; with more of it the same store builds."""
    context = write("FROM busybox\nCOPY big /big\nRUN cat /big /big > /two\n", {"big": os.urandom(1 << 20)})
    small = tmp_path / "small"
    small.mkdir()
    # The file system lives in a mount namespace of its own and ends with it.
    script = f"""
        set -e
        mount -t tmpfs -o size=64m tmpfs {small}
        cp -a {base_store}/. {small}/
        used=$(df -k {small} | awk 'NR == 2 {{ print $3 }}')
        mount -o remount,size=$((used + {room_kib}))k {small}
        set +e
        {program()} build --progress plain {context}; echo "first $?"
        mount -o remount,size=64m {small}
        {program()} build --progress plain {context}; echo "second $?"
        ls {small}/tmp
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env={**pybuild.env, "PYBUILD_ROOT": str(small)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert done.stdout.splitlines() == ["first 1", "second 0"], done.stderr
    assert done.stderr.count("error[") == 1
    assert re.search("no space (is )?left", done.stderr, re.IGNORECASE)
    assert "Traceback" not in done.stderr


def test_store_that_cannot_be_used(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """A state directory that is a file, or lies on a read-only place, is named."""
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "file", Path("/proc/nowhere")):
        failed = pybuild("--root", root, "images", code=1)

        assert failed.err.count("error[") == 1
        assert str(root) in failed.err


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "nothing"], ["history", "nothing"], ["rmi", "nothing"], ["tag", "nothing", "x"],
        ["save", "-o", "/dev/null", "nothing"], ["rm", "nothing"], ["tag", "busybox", "BAD NAME"],
        ["load", "-i", "/etc/passwd"], ["load", "-i", "/no/such/file"], ["pull", "127.0.0.1:1/x"],
        ["parse", "/no/such/file"], ["inspect", "UPPER/CASE"], ["load", "-i", "/etc"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_other_commands_fail_well(words: list[str], pybuild: Pybuild) -> None:
    """Every command that cannot do what was asked says why in one error."""
    failed = pybuild(*words, code=1)

    _check(failed, pybuild)
