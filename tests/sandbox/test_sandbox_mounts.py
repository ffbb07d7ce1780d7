"""Mounts of one process beside its root: secrets, parts of a tree that others change, writable overlays."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from builder.core.mount import Mount
from builder.sandbox.launch import SandboxFailed
from builder.sandbox.spec import SandboxSpec

pytestmark = pytest.mark.sandbox


def _run(box, spec: SandboxSpec, **secrets: tuple) -> tuple[int, str, str]:
    out, err = os.memfd_create("out"), os.memfd_create("err")
    process = box.launcher.spawn(spec, stdout=out, stderr=err, **secrets)
    process.wait_started()
    code = process.wait()
    return code, os.pread(out, 100_000, 0).decode(), os.pread(err, 100_000, 0).decode()


def _with(box, script: str, *mounts: Mount) -> SandboxSpec:
    spec = box.spec("sh", "-c", script)
    return spec._replace(mounts=(*spec.mounts, *mounts))


def test_secret_is_a_file_in_memory(box):
    """Its bytes, mode and owner; it cannot be written or executed, and the spec does not have it."""
    options = ("ro", "nosuid", "nodev", "noexec", "mode=440", "uid=5", "gid=6")
    spec = _with(
        box,
        "cat /run/s; stat -c '%a %u %g %s' /run/s; grep ' /run/s ' /proc/mounts; echo x > /run/s; env",
        Mount("secret", "0", "/run/s", options),
    )
    code, out, err = _run(box, spec, secrets=(b"canary\n",), secret_env=("TOKEN=kanarie",))

    assert code == 0
    assert out.startswith("canary\n440 5 6 7\ntmpfs /run/s tmpfs ro,nosuid,nodev,noexec")
    assert "TOKEN=kanarie" in out
    assert "Read-only file system" in err
    assert b"canary" not in spec.encode()
    assert "kanarie" not in repr(spec)


def test_large_secret(box):
    """As large as a secret may be: the request goes through a memory file then."""
    spec = _with(box, "wc -c < /run/s", Mount("secret", "0", "/run/s", ("ro", "mode=400", "uid=0", "gid=0")))
    _, out, _ = _run(box, spec, secrets=(b"x" * (500 << 10),))

    assert out.strip() == str(500 << 10)


def test_subpath_is_found_inside(box, tmp_path):
    """Links in it, absolute ones and those with too many dots, end inside of the directory."""
    (tmp_path / "cache/etc").mkdir(parents=True)
    (tmp_path / "cache/etc/x").write_text("inside")
    for name, text in (("up", "../../../../etc"), ("root", "/etc"), ("magic", "/proc/self/root/etc")):
        (tmp_path / "cache" / name).symlink_to(text)
    for name, expected in (("etc", 0), ("up", 0), ("root", 0)):
        code, out, _ = _run(
            box, _with(box, "cat /m/x", Mount("bind", str(tmp_path / "cache"), "/m", (f"subpath={name}",)))
        )

        assert (expected, "inside") == (code, out)
    with pytest.raises(SandboxFailed, match="openat2"):
        box.run("true", mounts=(Mount("bind", str(tmp_path / "cache"), "/m", ("subpath=magic",)),))


def test_subpath_that_is_swapped_meanwhile(box, tmp_path):
    """A holder of the same directory who exchanges it for a link shows nobody the host (CVE-2024-23651)."""
    cache, host = tmp_path / "cache", tmp_path / "host"
    (cache / "sub").mkdir(parents=True)
    host.mkdir()
    (host / "canary").touch()
    (cache / "link").symlink_to(host)
    is_over = threading.Event()

    def swap() -> None:
        while not is_over.is_set():
            os.rename(cache / "sub", cache / "aside")
            os.rename(cache / "link", cache / "sub")
            os.rename(cache / "sub", cache / "link")
            os.rename(cache / "aside", cache / "sub")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(30):
            outcome = _outcome(box, cache)
            assert "canary" not in outcome
    finally:
        is_over.set()
        thread.join()


def _outcome(box, cache: Path) -> str:
    try:
        return _run(box, _with(box, "ls -a /m", Mount("bind", str(cache), "/m", ("subpath=sub",))))[1]
    except SandboxFailed:
        return ""


def test_overlay_takes_flags(box, tmp_path):
    """Nodes do not open on a writable copy of a tree either."""
    place = tmp_path / "tree"
    for name in ("lower", "upper", "work"):
        (place / name).mkdir(parents=True)
    options = (
        f"lowerdir+={place}/lower",
        f"upperdir={place}/upper",
        f"workdir={place}/work",
        "nodev",
    )
    _, out, _ = _run(
        box, _with(box, "grep ' /m ' /proc/mounts; touch /m/x", Mount("overlay", "overlay", "/m", options))
    )

    assert "nodev" in out
    assert (place / "upper/x").exists()
    assert not (place / "lower/x").exists()
