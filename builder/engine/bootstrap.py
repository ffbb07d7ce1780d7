"""`bootstrap`: a small base image from this machine alone, with no registry."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.image import History, ImageConfig
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.engine.assemble import Engine
from builder.exporter.image import finish_image
from builder.exporter.layers import Layers

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What a Dockerfile's RUN lines take for granted; those that this machine lacks are left out.
_TOOLS = (
    "sh [ awk basename bash cat chgrp chmod chown cmp comm cp cut date dd df diff dirname du echo env expr"
    " false find fold grep gunzip gzip head hostname id install join kill ln ls md5sum mkdir mkfifo mknod"
    " mktemp mv nl nproc od paste printenv printf ps pwd readlink realpath rm rmdir sed seq sha1sum sha256sum"
    " sha512sum sleep sort split stat stty sync tac tail tar tee test timeout touch tr true truncate tty"
    " uname uniq wc which who whoami xargs yes"
).split()
_REQUIRED = ("sh", "cat", "cp", "ls", "mkdir", "rm")

_DIRECTORIES = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "sys": 0o755,
    "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "var": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n"
    "nobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\nstaff:x:50:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


class NoTools(PybuildError):
    """Not even a shell is here to make an image of."""

    kind = Kind.UNAVAILABLE
    code = "no-tools"


def bootstrap(engine: Engine, name: str) -> tuple[Reference, Digest, str]:
    """Make and tag the image; its name, its id, and in words what it was made of."""
    reference = Reference.parse(name).with_default_tag()
    active = engine.snapshots.prepare("")
    try:
        root = active.upper
        for directory, mode in _DIRECTORIES.items():
            os.mkdir(root / directory)
            os.chmod(root / directory, mode)
        for path, text in _FILES.items():
            (root / path).write_text(text)
            os.chmod(root / path, 0o644)
        busybox = _static_busybox()
        if busybox is not None:
            origin = f"busybox of {busybox}"
            _install_busybox(root, busybox)
        else:
            origin = f"{_install_host_tools(root)} tools of this machine"
        snapshot = engine.snapshots.commit(active, created_at=time.time())
    finally:
        engine.snapshots.discard(active)
    config = ImageConfig(
        platform=Platform.host(),
        env=(f"PATH={_PATH}",),
        cmd=("sh",),
        history=(History(created_by=f"pybuild bootstrap: {origin}", comment="pybuild"),),
    )
    with Layers(engine.snapshots, engine.content) as layers:
        data = finish_image(config, engine.snapshots.chain(snapshot.name), layers)
    image = engine.content.put(data)
    with engine.database.transaction():
        engine.images.add(image, snapshot.name, created_at=time.time())
        engine.images.tag(reference, image)
    return reference, image, origin


def _static_busybox() -> Path | None:
    found = shutil.which("busybox", path=_PATH)
    if found is None:
        return None
    path = Path(found).resolve()
    return None if _libraries(path) else path


def _install_busybox(root: Path, busybox: Path) -> None:
    _copy(busybox, root / "bin/busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            os.symlink("busybox", root / "bin" / applet)


def _install_host_tools(root: Path) -> int:
    """Copy tools and their libraries to the places that they have here; how many tools."""
    tools = {tool: Path(found) for tool in _TOOLS if (found := shutil.which(tool, path=_PATH))}
    lacking = [tool for tool in _REQUIRED if tool not in tools]
    if lacking:
        raise NoTools(
            f'this machine has no "{lacking[0]}" to make an image of',
            hint="install busybox-static, or pull a base image",
        )
    homes: dict[Path, str] = {}  # a program once, whatever number of names it has
    for tool, path in tools.items():
        real = path.resolve()
        target = root / "bin" / tool
        if real in homes:
            os.symlink(homes[real], target)
            continue
        homes[real] = tool
        _copy(real, target)
        for library in _libraries(real):
            _copy_library(root, library)
    for program in ("bin/sh", "bin/env"):
        if (root / program).exists():
            os.symlink(f"/{program}", root / "usr" / program)
    return len(tools)


def _libraries(program: Path) -> list[Path]:
    """The shared objects that a program loads, its loader included; none for a static one or a script."""
    with open(program, "rb") as file:
        if file.read(4) != b"\x7fELF":
            return []
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return []
    return list(_paths(listed.stdout.splitlines()))


def _paths(lines: Iterable[str]) -> Iterable[Path]:
    """From lines like ``libc.so.6 => /lib/libc.so.6 (0x…)`` and ``/lib64/ld-linux.so.2 (0x…)``."""
    for line in lines:
        word = line.partition("=>")[2].strip() or line.strip()
        path = word.partition(" ")[0]
        if path.startswith("/"):
            yield Path(path)


def _copy_library(root: Path, library: Path) -> None:
    target = root / str(library).lstrip("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(library.resolve(), target)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    os.chmod(target, 0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)
