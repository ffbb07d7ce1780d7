"""Layers made of members, and hostile ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from builder.fs.tar import TarMember
from builder.fs.tarwrite import TarWriter

Part = tuple[TarMember, bytes]
NONE: Mapping[str, bytes] = {}


def file(
    name: str,
    data: bytes = b"data",
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime_ns: int = 0,
    xattrs: Mapping[str, bytes] = NONE,
) -> Part:
    return TarMember(name, "file", mode, uid, gid, len(data), mtime_ns, xattrs=xattrs), data


def directory(
    name: str,
    mode: int = 0o755,
    uid: int = 0,
    gid: int = 0,
    mtime_ns: int = 0,
    xattrs: Mapping[str, bytes] = NONE,
) -> Part:
    return TarMember(name, "dir", mode, uid, gid, 0, mtime_ns, xattrs=xattrs), b""


def symlink(name: str, target: str) -> Part:
    return TarMember(name, "symlink", 0o777, link=target), b""


def hardlink(name: str, target: str) -> Part:
    return TarMember(name, "hardlink", 0o644, link=target), b""


def node(name: str, kind: str, device: tuple[int, int] = (0, 0), mode: int = 0o666) -> Part:
    return TarMember(name, kind, mode, device=device), b""


def archive(parts: Iterable[Part]) -> bytes:
    written: list[bytes] = []
    writer = TarWriter(written.append)
    for member, data in parts:
        writer.add(member, data)
    writer.finish()
    return b"".join(written)


# What no layer may hold, or may hold only to do harm.
HOSTILE = {
    "leads-up": [file("../outside/canary")],
    "leads-up-later": [file("a/../../outside/canary")],
    "dot-dot": [directory("..")],
    "root-symlink": [symlink(".", "../outside")],
    "root-symlink-slash": [symlink("/", "../outside")],
    "root-file": [file("./")],
    "root-through-dots": [symlink("a/..", "../outside")],
    "empty-name": [file("")],
    "link-loop": [symlink("a", "b"), symlink("b", "a"), file("a/x")],
    "link-to-itself": [symlink("a", "a"), file("a/x")],
    "long-chain": [
        *(symlink(f"l{number}", f"l{number + 1}") for number in range(50)),
        directory("l50"),
        file("l0/x"),
    ],
    "hardlink-up": [hardlink("x", "../outside/canary")],
    "hardlink-missing": [hardlink("x", "nothing")],
    "hardlink-self": [hardlink("x", "x")],
    "hardlink-root": [hardlink("x", "/")],
    "hardlink-directory": [directory("d"), hardlink("x", "d")],
    "hardlink-lower-directory": [hardlink("x", "lowdir")],
    "hardlink-under-itself": [directory("d"), file("d/f"), hardlink("d", "d/f")],
    "hardlink-deleted": [file(".wh.lowfile"), hardlink("x", "lowfile")],
    "whiteout-dot": [file(".wh..")],
    "whiteout-dots": [file(".wh...")],
    "whiteout-nothing": [file(".wh.")],
    "whiteout-dots-below": [directory("d"), file("d/.wh...")],
    "below-a-whiteout": [file("d/.wh.x/y")],
    "opaque-below-loop": [symlink("a", "a"), file("a/.wh..wh..opq")],
    "file-as-parent": [file("a"), file("a/b")],
    "device-zero": [node("x", "char", (0, 0))],
    "device-huge": [node("x", "block", (1 << 20, 5))],
    "long-component": [file("n" * 256)],
    "bad-capability": [file("x", xattrs={"security.capability": b"rubbish"})],
    "empty-symlink": [symlink("x", "")],
}


def confined(outside: Path) -> dict[str, list[Part]]:
    """Layers that are fine as such, and try to get at ``outside`` on the host."""
    away, up = str(outside), "../" * 20 + str(outside).lstrip("/")
    return {
        "absolute": [file(f"{away}/canary", b"dead")],
        "symlink-then-write": [symlink("e", away), file("e/canary", b"dead"), file("e/new")],
        "symlink-up-then-write": [symlink("e", up), file("e/canary", b"dead"), directory("e/sub", 0o777)],
        "symlink-chain": [symlink("a", "b"), symlink("b", away), file("a/canary", b"dead")],
        "symlink-then-metadata": [symlink("e", away), directory("e/", 0o777, uid=5, mtime_ns=10**9)],
        "symlink-leaf-file": [symlink("e", f"{away}/canary"), file("e", b"dead")],
        "symlink-leaf-device": [symlink("e", f"{away}/canary"), node("e", "fifo")],
        "symlink-whiteout": [symlink("e", away), file("e/.wh.canary"), file("e/.wh..wh..opq")],
        "symlink-hardlink": [symlink("e", f"{away}/canary"), hardlink("x", "e"), file("x", b"dead")],
        "symlink-parent-device": [symlink("e", away), node("e/null", "char", (1, 3))],
        "dir-to-symlink": [directory("d"), file("d/x"), symlink("d", away), file("d/canary", b"dead")],
        "dir-to-symlink-deep": [file("d/e/f"), symlink("d/e", away), file("d/e/canary", b"dead")],
        "lower-symlink": [file("host/canary", b"dead"), file("host/.wh.canary")],
        "lower-symlink-hardlink": [file("host/canary", b"own"), hardlink("x", "host/canary")],
    }
