"""Hostile archives, at every door through which an archive comes: nothing gets out, and nothing is left.

CVE-2026-28406, CVE-2021-29136, CVE-2026-42574, CVE-2026-50163, CVE-2025-4517 and their like: names and links
that lead outside, links in the place of the root, hard links to what lies outside, deletions through links.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from tests.support.cli import BUG, Outcome, write_project
from tests.support.driven import Driven
from tests.support.layers import HOSTILE, Part, archive, confined, directory, file, symlink
from tests.support.stores import copy_store

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]


class Ground:
    """The command, and a canary beside its store."""

    def __init__(self, command: Driven, place: Path) -> None:
        self.command = command
        self.place = place
        self.outside = place / "outside"
        self.outside.mkdir(mode=0o700)
        (self.outside / "canary").write_bytes(b"alive")
        (self.outside / "canary").chmod(0o600)
        for path in (self.outside / "canary", self.outside):
            os.utime(path, (1, 1))
        self.before = self.state()

    def state(self) -> list[object]:
        """Everything about the canary, and the names that lie beside the store."""
        shown: list[object] = [sorted(os.listdir(self.place)), sorted(os.listdir(self.outside))]
        for path in (self.outside, self.outside / "canary"):
            st = path.lstat()
            shown += [st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_mtime, os.listxattr(path)]
        return [*shown, (self.outside / "canary").read_bytes()]


@pytest.fixture
def ground(base_store: Path, tmp_path: Path) -> Ground:
    (tmp_path / "work").mkdir()
    root = copy_store(base_store, tmp_path / "store")
    return Ground(Driven(root, tmp_path / "home"), tmp_path)


def _image(*layers: bytes) -> bytes:
    """An archive of `docker save` with an image `evil`."""
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    names = [f"{number}.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": ["evil:latest"], "Layers": names}]
    files = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    files |= dict(zip(names, layers, strict=True))
    return archive([file(name, data) for name, data in files.items()])


def _loaded(ground: Ground, *layers: bytes) -> Outcome:
    """The image is there; then everything of it is unpacked."""
    saved = ground.place / "work/evil.tar"
    saved.write_bytes(_image(*layers))
    loaded = ground.command("load", "-i", saved, code=None)
    if loaded.code:
        return loaded
    context = write_project(ground.place / "work/from", "FROM busybox\nCOPY --from=evil / /out/\n")
    return ground.command("build", context, code=None)


def base_layer(ground: Ground, parts: list[Part]) -> Outcome:
    return _loaded(ground, archive(parts))


def upper_layer(ground: Ground, parts: list[Part]) -> Outcome:
    below = archive([directory("lowdir"), file("lowfile"), directory("d"), file("d/under")])
    return _loaded(ground, below, archive(parts))


def added(ground: Ground, parts: list[Part]) -> Outcome:
    files = {"evil.tar": archive(parts)}
    context = write_project(ground.place / "work/add", "FROM busybox\nADD evil.tar /out/\n", files)
    return ground.command("build", context, code=None)


def imported(ground: Ground, parts: list[Part]) -> Outcome:
    saved = ground.place / "work/import.tar"
    saved.write_bytes(archive(parts))
    done = ground.command("import", saved, "evil:latest", code=None)
    if done.code:
        return done
    return ground.command("export", "-o", ground.place / "work/out.tar", "evil", code=None)


def context(ground: Ground, parts: list[Part]) -> Outcome:
    stream = io.BytesIO(archive([file("Dockerfile", b"FROM scratch\nCOPY . /\n"), *parts]))
    with mock.patch.object(sys, "stdin", io.TextIOWrapper(stream)):
        return ground.command("build", "-", code=None)


DOORS: dict[str, Callable[[Ground, list[Part]], Outcome]] = {
    "base-layer": base_layer,
    "upper-layer": upper_layer,
    "ADD": added,
    "import": imported,
    "context": context,
}
# What is harmless there: names are taken as if the archive's root were all there is, as Docker does.
_HARMLESS = ["leads-up", "leads-up-later", "dot-dot", "hardlink-self"]
ACCEPTED = {"ADD": _HARMLESS, "context": _HARMLESS}


@pytest.mark.parametrize("door", DOORS)
def test_refused(ground: Ground, door: str) -> None:
    """An error with its code and exit code 1; the store works on."""
    accepted = []
    for name, parts in HOSTILE.items():
        outcome = DOORS[door](ground, parts)
        assert BUG not in outcome.err, f"{name}: {outcome.err}"
        assert ground.state() == ground.before, name
        if outcome.code == 0:
            accepted.append(name)
        else:
            assert (outcome.code, "error[" in outcome.err) == (1, True), f"{name}: {outcome.err}"
    ground.command("run", "--rm", "busybox", "true")

    assert accepted == ACCEPTED.get(door, [])


@pytest.mark.parametrize("door", DOORS)
def test_confined(ground: Ground, door: str) -> None:
    """Links that lead outside are taken as they are written, and mean the image's own root."""
    for name, parts in confined(ground.outside).items():
        outcome = DOORS[door](ground, parts)

        assert BUG not in outcome.err, f"{name}: {outcome.err}"
        assert ground.state() == ground.before, name
        assert outcome.code in (0, 1), name


def test_images_that_must_work(ground: Ground) -> None:
    """Links with more steps up than there are directories, a usr-merged root, no /tmp and no /etc/passwd."""
    busybox = Path("/bin/busybox").read_bytes()
    image = [
        directory("usr"),
        directory("usr/bin"),
        symlink("bin", "usr/bin"),
        file("usr/bin/busybox", busybox, mode=0o755),
        symlink("usr/bin/sh", "busybox"),
        directory("etc"),
        directory("etc/pki"),
        file("etc/pki/store", b"trusted"),
        directory("usr/lib"),
        symlink("usr/lib/cacerts", "../../../../../../etc/pki/store"),
        symlink("etc/resolv.conf", "../run/resolv.conf"),
        symlink("loop", "loop"),
    ]
    assert _loaded(ground, archive(image)).code == 0
    context = write_project(
        ground.place / "work/use",
        "FROM evil\nRUN busybox grep -c trusted /usr/lib/cacerts && busybox id && echo made > /bin/made\n"
        "COPY --from=evil /usr/lib/cacerts /copied\n",
    )
    ground.command("build", "-t", "made", context)
    ground.command("run", "--rm", "made", "busybox", "cat", "/usr/bin/made", "/copied")
