"""Hostile layers: refused or confined, with a canary outside that must live."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_ground import LOWER, Ground
from layer_trees import Node, view

from builder.fs.apply import apply_layer
from builder.fs.diff import write_layer
from builder.fs.limits import ArchiveLimit, BadArchive, Limits
from builder.fs.tree import StackedTree
from builder.fs.upper import DeviceDenied, OwnerDenied
from tests.support.layers import HOSTILE, Part, archive, confined, directory, file, hardlink, node, symlink

# Owners, devices and trusted attributes take root.
pytestmark = pytest.mark.sandbox


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    yield Ground(tmp_path)
    # Python's own rmtree, which pytest uses, does not get to the bottom of some of these trees.
    subprocess.run(["rm", "-rf", str(tmp_path / "upper")], check=True)


@pytest.mark.parametrize("parts", HOSTILE.values(), ids=HOSTILE)
def test_hostile_layers_are_refused(ground: Ground, parts: list[Part]) -> None:
    """BadArchive, and not a byte outside has changed."""
    ground.below({"lowdir": Node("dir", 0o755), "lowfile": Node("file")})

    with pytest.raises(BadArchive):
        ground.apply(*parts)


@pytest.mark.parametrize("name", confined(Path("/")))
def test_links_never_lead_outside(ground: Ground, name: str) -> None:
    """Absolute names and links mean the image's root: the layer applies, the host is untouched."""
    ground.below({"host": Node("symlink", payload=str(ground.outside))})
    ground.apply(*confined(ground.outside)[name])

    for path in ground.view():
        assert not os.path.samefile(ground.outside, os.path.dirname(ground.upper / path))


def test_a_hard_link_through_a_link_needs_a_file_in_the_image(ground: Ground) -> None:
    """The host's file behind a lower symbolic link is not there."""
    ground.below({"host": Node("symlink", payload=str(ground.outside))})

    with pytest.raises(BadArchive, match="missing"):
        ground.apply(hardlink("x", "host/canary"))


@pytest.mark.parametrize(
    ("parts", "limits"),
    [
        ([file("a"), file("b"), file("c")], Limits(entries=2)),
        ([file("a", bytes(900)), file("b", bytes(900))], Limits(total_size=1000)),
        ([file("/".join("d" * 3000))], Limits()),
    ],
)
def test_limits_hold(ground: Ground, parts: list[Part], limits: Limits) -> None:
    """Entries, bytes and path lengths are bounded."""
    with pytest.raises(ArchiveLimit):
        ground.apply(*parts, limits=limits)


def test_links_cannot_add_up_to_endless_paths(ground: Ground) -> None:
    """A chain of links each a long path below the one before ends in an error, not in a full disk."""
    deep = "/".join("d" * 1000)
    parts = [symlink(f"{'l/' * number}l", deep) for number in range(9)]

    with pytest.raises(BadArchive):
        ground.apply(*parts, file("l/" * 9 + "x"))


def test_depth_is_fine(ground: Ground) -> None:
    """Two thousand directories in one path need no two thousand descriptors."""
    path = "/".join("d" * 2000)
    ground.apply(file(f"{path}/x"), file("y"))
    parts: list[bytes] = []

    assert write_layer(str(ground.upper), parts.append).entries == 2002


def test_odd_names(ground: Ground) -> None:
    """Newlines, invalid UTF-8 and names of 255 bytes are names like any other."""
    names = ["a\nb", "\udcff\udcfe", "n" * 255, " ", "-rf", "a\\b", ".wh", "..."]
    ground.apply(*(file(f"d/{name}") for name in names))

    assert sorted(names) == sorted(os.listdir(ground.upper / "d"))


class Refusing:
    """Stands for a host that does not let us call one function of os."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
        def refuse(*_arguments: object, **_options: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, name, refuse)


def test_whiteouts_that_cannot_be_made(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what the host lacks."""
    ground.below(LOWER)
    Refusing(monkeypatch, "mknod", errno.EPERM)

    with pytest.raises(DeviceDenied, match='"f"'):
        ground.apply(file(".wh.f"))


def test_devices_that_cannot_be_made_are_counted(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a user namespace device nodes are left out, as in containerd, and reported."""
    Refusing(monkeypatch, "mknod", errno.EPERM)

    assert ground.apply(node("dev/null", "char", (1, 3)), file("x")).skipped == 1


def test_owners_that_are_not_mapped(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the ids."""
    Refusing(monkeypatch, "fchown", errno.EINVAL)

    with pytest.raises(OwnerDenied, match="user 0 and group 0"):
        ground.apply(file("x"))


def test_a_full_disk_is_the_hosts_trouble(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC is not blamed on the archive, and no descriptor is left behind."""
    before = len(os.listdir("/proc/self/fd"))
    Refusing(monkeypatch, "write", errno.ENOSPC)

    with pytest.raises(OSError, match="No space left"):
        ground.apply(file("x"))
    assert before == len(os.listdir("/proc/self/fd"))


def test_truncation_anywhere(ground: Ground) -> None:
    """A layer cut at any block applies in part or fails cleanly, and leaves no descriptor open."""
    data = archive([directory("d"), file("d/x", bytes(3000)), hardlink("y", "d/x"), file("z", b"1")])
    before = len(os.listdir("/proc/self/fd"))
    failed = 0
    for cut in range(0, len(data), 512):
        upper = ground.root / f"cut{cut}"
        upper.mkdir()
        try:
            apply_layer(io.BytesIO(data[:cut]), str(upper))
        except BadArchive:
            failed += 1

    assert failed == 7
    assert before == len(os.listdir("/proc/self/fd"))


PATHS = st.lists(
    st.sampled_from(["a", "b", "c", "..", ".", "", "host", ".wh.a", ".wh..wh..opq"]), max_size=4
).map("/".join)
PARTS = st.one_of(
    st.builds(file, PATHS),
    st.builds(directory, PATHS),
    st.builds(symlink, PATHS, st.one_of(PATHS, st.just("/../../outside"), st.just("../../../outside"))),
    st.builds(hardlink, PATHS, PATHS),
    st.builds(lambda name: node(name, "fifo"), PATHS),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts=st.lists(PARTS, max_size=10))
def test_random_layers_stay_inside(parts: list[Part]) -> None:
    """Whatever the names and their order: applied or refused, and the canary lives; the view is readable."""
    with tempfile.TemporaryDirectory() as scratch:
        ground = Ground(Path(scratch))
        ground.below(
            {**LOWER, "host": Node("symlink", payload=str(ground.outside)), "a": Node("symlink", payload="x")}
        )
        try:
            ground.apply(*parts)
        except BadArchive:
            return
        written: list[bytes] = []
        assert ground.lower is not None
        write_layer(str(ground.upper), written.append, parent=StackedTree([str(ground.lower)]))
        again = ground.root / "again"
        again.mkdir()
        apply_layer(io.BytesIO(b"".join(written)), str(again), StackedTree([str(ground.lower)]))

        assert ground.view() == view(again, ground.lower)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The process keeps its working directory and umask whatever a layer says."""
    before = os.getcwd()
    yield
    mask = os.umask(0)
    os.umask(mask)

    assert (before, 0o022) == (os.getcwd(), mask)
