"""Control groups: which hierarchies there are, what is written where, and what a killed process leaves."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.core.limits import InvalidLimit, Limits
from builder.sandbox.cgroup import Cgroups, CgroupUnusable, Unenforced, sweep
from builder.sandbox.hierarchies import Hierarchy, find_hierarchies

ALL = frozenset({"memory", "cpu", "cpuset", "pids"})
LIMITS = Limits(memory=64 << 20, nano_cpus=1_500_000_000, cpu_shares=512, cpuset_cpus="0-1", pids=9)

_V1 = """\
30 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
34 30 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
_V1_MEMBERSHIP = "3:name=systemd:/init\n2:memory:/a/b\n1:cpu,cpuacct:/\n0::/init\n"


def test_hierarchies_of_v1() -> None:
    """By controller, each with this process's own directory; v2 without controllers is none."""
    assert find_hierarchies(mountinfo=_V1, membership=_V1_MEMBERSHIP) == [
        Hierarchy("/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", False, frozenset({"cpu"})),
        Hierarchy("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/a/b", False, frozenset({"memory"})),
    ]


def test_hierarchy_of_a_container() -> None:
    """A mount that shows a part of the hierarchy only: paths count from there, or are not seen."""
    line = "32 30 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"

    for path, own in (("/docker/abc/x", "/sys/fs/cgroup/memory/x"), ("/other", "/sys/fs/cgroup/memory")):
        (found,) = find_hierarchies(mountinfo=line, membership=f"2:memory:{path}\n")
        assert own == found.own


def test_hierarchy_of_v2(tmp_path: Path) -> None:
    """Its controllers are those of its root; v1 takes away the ones that it has."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    unified = f"34 30 0:32 / {tmp_path} rw,relatime - cgroup2 cgroup2 rw\n"
    hybrid = "32 30 0:30 / /memory rw - cgroup cgroup rw,memory\n" + unified

    assert find_hierarchies(mountinfo=unified, membership="0::/me\n") == [
        Hierarchy(str(tmp_path), f"{tmp_path}/me", True, ALL)
    ]
    assert [h.controllers for h in find_hierarchies(mountinfo=hybrid, membership="2:memory:/\n0::/\n")] == [
        frozenset({"memory"}),
        ALL - {"memory"},
    ]


def test_a_path_with_blanks_and_one_that_leads_out() -> None:
    """mountinfo's escapes are read; a group above the visible root is not followed."""
    line = "32 30 0:30 / /my\\040cgroups rw - cgroup cgroup rw,memory\n"
    (found,) = find_hierarchies(mountinfo=line, membership="2:memory:/../../x\n")

    assert (found.mount, found.own) == ("/my cgroups", "/my cgroups")


class Files:
    """What was written to control files; those in ``refused`` fail."""

    def __init__(self, **refused: int) -> None:
        self.written: dict[str, str] = {}
        self._refused = {name.replace("_", ".", 1): number for name, number in refused.items()}

    def __call__(self, directory: str, file: str, text: str) -> None:
        if file in self._refused:
            raise OSError(self._refused[file], os.strerror(self._refused[file]))
        self.written[file] = text


Make = Callable[..., Cgroups]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """``make(files, is_v2=)``: groups in a directory that stands for the root of a hierarchy."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "cgroup.subtree_control").write_text("cpu cpuset memory pids\n")

    def make(files: Files, *, is_v2: bool, controllers: frozenset[str] = ALL - {"cpuset"}) -> Cgroups:
        hierarchy = Hierarchy(str(root), str(root), is_v2, controllers)
        return Cgroups(str(tmp_path / "records"), hierarchies=[hierarchy], write=files)

    return make


def test_v1(make: Make) -> None:
    """The files of v1; memory and swap together are twice the memory."""
    files = Files()
    group = make(files, is_v2=False).make(LIMITS)

    assert files.written == {
        "memory.limit_in_bytes": "67108864",
        "memory.memsw.limit_in_bytes": "134217728",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "150000",
        "cpu.shares": "512",
        "pids.max": "9",
    }
    assert group.unenforced == [Unenforced("--cpuset-cpus", "this machine has no control groups for it")]


def test_v2(make: Make) -> None:
    """The files of v2, where swap counts apart and shares are weights."""
    files = Files()
    group = make(files, is_v2=True, controllers=ALL).make(LIMITS)

    assert files.written == {
        "memory.max": "67108864",
        "memory.swap.max": "67108864",
        "cpu.max": "150000 100000",
        "cpu.weight": "20",
        "cpuset.cpus": "0-1",
        "pids.max": "9",
    }
    assert group.unenforced == []


@pytest.mark.parametrize(
    ("limits", "v1", "v2"),
    [
        (Limits(cpu_quota=20_000), ("100000", "20000"), "20000 100000"),
        (Limits(cpu_period=50_000, cpu_quota=20_000), ("50000", "20000"), "20000 50000"),
        (Limits(cpu_period=50_000), ("50000", "-1"), "max 50000"),
    ],
)
def test_period_and_quota(make: Make, limits: Limits, v1: tuple[str, str], v2: str) -> None:
    """Microseconds as they are given; a period alone limits nothing."""
    old, new = Files(), Files()
    make(old, is_v2=False).make(limits)
    make(new, is_v2=True).make(limits)

    assert {"cpu.cfs_period_us": v1[0], "cpu.cfs_quota_us": v1[1]} == old.written
    assert {"cpu.max": v2} == new.written


@pytest.mark.parametrize(
    ("swap", "v1", "v2"),
    [(-1, "-1", "max"), (64 << 20, "67108864", "0"), (96 << 20, "100663296", "33554432")],
)
def test_swap(swap: int, v1: str, v2: str, make: Make) -> None:
    """--memory-swap counts both; v2 wants the swap alone; -1 is any."""
    limits = Limits(memory=64 << 20, memory_swap=swap)
    old, new = Files(), Files()
    make(old, is_v2=False).make(limits)
    make(new, is_v2=True).make(limits)

    assert (v1, v2) == (old.written["memory.memsw.limit_in_bytes"], new.written["memory.swap.max"])


def test_what_is_not_enforced_is_said(make: Make) -> None:
    """A file that is missing or write-protected; not a limit that nobody asked for."""
    files = Files(memory_max=errno.EROFS, pids_max=errno.ENOENT)
    group = make(files, is_v2=True).make(Limits(memory=64 << 20, pids=9))
    missing = Files(**{"memory_swap.max": errno.ENOENT})
    silent = make(missing, is_v2=True).make(Limits(memory=64 << 20))

    assert group.unenforced == [
        Unenforced("--memory", "the control groups are not writable here"),
        Unenforced("--pids-limit", "the kernel was built without it"),
    ]
    assert silent.unenforced == []


def test_a_value_that_the_kernel_refuses(make: Make, tmp_path: Path) -> None:
    """It is the user's error, and leaves no group."""
    with pytest.raises(InvalidLimit, match="--pids-limit"):
        make(Files(pids_max=errno.EINVAL), is_v2=True).make(Limits(pids=9))

    assert list((tmp_path / "root").glob("pybuild-*")) == []


def test_v2_without_a_group_that_hands_down(tmp_path: Path) -> None:
    """Above the process's own group the first is taken that has the controllers; without one, it is said."""
    own = tmp_path / "slice/session"
    own.mkdir(parents=True)
    for directory, controllers in ((tmp_path, "cpu memory"), (tmp_path / "slice", "memory"), (own, "")):
        (directory / "cgroup.subtree_control").write_text(controllers)
        (directory / "cgroup.controllers").write_text("cpu memory")
    hierarchy = Hierarchy(str(tmp_path), str(own), True, frozenset({"cpu", "memory"}))

    assert str(tmp_path / "slice") == hierarchy.base({"memory"})
    assert str(tmp_path) == hierarchy.base({"cpu", "memory"})
    with pytest.raises(OSError, match="no group hands"):
        hierarchy.base({"pids"})


def test_no_hierarchy_at_all(tmp_path: Path) -> None:
    """Every limit is said not to be enforced; a parent that was asked for is an error."""
    cgroups = Cgroups(str(tmp_path), hierarchies=[])

    assert [option for option, _ in cgroups.make(LIMITS).unenforced] == [
        "--memory", "--cpus", "--cpu-shares", "--cpuset-cpus", "--pids-limit",
    ]  # fmt: skip
    with pytest.raises(CgroupUnusable, match="my/parent"):
        cgroups.make(Limits(), "my/parent")


def test_parent(make: Make, tmp_path: Path) -> None:
    """--cgroup-parent counts from the root, and cannot leave it."""
    (directory,) = make(Files(), is_v2=False).make(Limits(), "../a/./b").directories

    assert str(tmp_path / "root/a/b") == os.path.dirname(directory)


def test_memory_shortage(make: Make) -> None:
    """Nothing before the kernel has killed something; then the limit and the peak."""
    group = make(Files(), is_v2=True).make(Limits(memory=64 << 20))
    directory = Path(group.directories[0])
    (directory / "memory.events").write_text("oom 0\noom_kill 0\n")
    before = group.memory_shortage()
    (directory / "memory.events").write_text("oom 1\noom_kill 1\n")
    (directory / "memory.peak").write_text(f"{3 << 19}\n")

    assert before is None
    assert group.memory_shortage() == "it may have 64 MiB of memory, and had 1.5 MiB"


def test_groups_go_with_their_process(make: Make, tmp_path: Path) -> None:
    """``remove`` takes the group and those below it, ``close`` the record."""
    cgroups = make(Files(), is_v2=True)
    group, left = cgroups.make(Limits(pids=1)), cgroups.make(Limits(pids=1))
    os.mkdir(f"{group.directories[0]}/deep")
    group.remove()

    assert not os.path.exists(group.directories[0])
    cgroups.close()
    assert not os.path.exists(left.directories[0])
    assert list((tmp_path / "records").iterdir()) == []


def test_sweep(make: Make, tmp_path: Path) -> None:
    """What a killed process left goes; what a living one has stays."""
    living = make(Files(), is_v2=True)
    kept = living.make(Limits(pids=1)).directories[0]
    dead = tmp_path / "root/pybuild-0123456789ab-1"
    foreign = tmp_path / "root/pybuild-ffffffffffff-1"
    dead.mkdir()
    foreign.mkdir()
    (tmp_path / "records/0123456789ab").write_text(f"{tmp_path}/root\n{tmp_path}/gone\n")
    sweep(str(tmp_path / "records"))

    assert not dead.exists()
    assert foreign.exists()
    assert os.path.exists(kept)
    assert len(list((tmp_path / "records").iterdir())) == 1
    living.close()


def test_record_is_locked(make: Make, tmp_path: Path) -> None:
    """As long as its owner lives."""
    cgroups = make(Files(), is_v2=True)
    cgroups.make(Limits(pids=1))
    (record,) = (tmp_path / "records").iterdir()
    with open(record) as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    cgroups.close()
