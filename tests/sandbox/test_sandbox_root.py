"""What a program in a sandbox sees: the root, mounts, /proc, /sys and /dev, and what hostile images try."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from builder.core.mount import Mount
from builder.sandbox.launch import SandboxFailed

pytestmark = pytest.mark.sandbox


def test_writes_go_to_the_upper(box):
    """What a program writes and removes is in the upper directory, nothing of the set-up is."""
    (box.root / "old").write_text("old")
    assert box.shell("echo new > /new; rm /old; mkdir /d").code == 0

    assert sorted(os.listdir(box.upper)) == ["d", "new", "old"]
    assert (box.upper / "new").read_text() == "new\n"
    assert stat.S_ISCHR((box.upper / "old").stat().st_mode)
    assert (box.upper / "d").stat().st_mode & 0o7777 == 0o755


def test_upper_can_be_mounted_again(box):
    """A second sandbox over the same upper goes on where the first one stopped."""
    box.shell("echo 1 > /n")

    assert box.run("cat", "/n").out == "1\n"


def test_many_lowers(box):
    """450 lower directories with long names, colons and commas; the topmost wins."""
    lowers = []
    for number in range(450):
        lower = box.directory / f"{number:03d},:{'x' * 200}"
        lower.mkdir()
        (lower / "which").write_text(str(number))
        lowers.append(lower)
    spec = box.spec("cat", "/which")._replace(mounts=(box.overlay(*lowers, box.root, box.mount_points),))

    assert box.run_spec(spec).out == "0"


def test_lowers_without_upper_are_read_only(box):
    """An overlay without an upper directory, of one lower or of two, cannot be written."""
    for name in ("proc", "sys", "dev"):
        (box.root / name).mkdir()
    for lowers in ((box.root,), (box.root, box.mount_points)):
        mount = Mount("overlay", "", "/", tuple(f"lowerdir+={lower}" for lower in lowers))
        outcome = box.run_spec(box.spec("touch", "/x")._replace(mounts=(mount,)))
        assert (outcome.code, "Read-only file system" in outcome.err) == (1, True)


def test_mount_by_the_old_call(box):
    """The way for kernels without ``lowerdir+`` gives the same mount."""
    import subprocess
    import sys

    code = f"""
import os
from builder.sandbox import mounting, syscalls
pid, _ = syscalls.clone(syscalls.CLONE_NEWNS)
if pid == 0:
    syscalls.mount(None, b"/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    os.chdir("/proc/self/fd")
    names = {[str(box.root), str(box.mount_points), str(box.upper), str(box.directory / "work")]!r}
    first, second, upper, work = (b"%d" % os.open(name, os.O_PATH) for name in names)
    places = [b"upperdir=" + upper, b"workdir=" + work]
    fd = mounting.legacy_overlay([first, second], places, [b"volatile"])
    os.close(os.open("made", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    print(os.path.exists(f"/proc/self/fd/{{fd}}/bin/sh"), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(root)}, check=True, capture_output=True
    )

    assert done.stdout == b"True\n"
    assert os.listdir(box.upper) == ["made"]


def test_kernel_file_systems(box):
    """/proc, /sys and /dev are what `docker run` shows."""
    mounts = {}
    for line in box.run("cat", "/proc/mounts").lines:
        _, target, kind, options, *_ = line.split()
        mounts[target] = (kind, set(options.split(",")))

    assert mounts["/proc"] == ("proc", {"rw", "nosuid", "nodev", "noexec", "relatime"})
    assert mounts["/sys"] == ("sysfs", {"ro", "nosuid", "nodev", "noexec", "relatime"})
    assert mounts["/dev"][1] >= {"rw", "nosuid", "size=65536k", "mode=755"}
    assert mounts["/dev/pts"][1] >= {"gid=5", "mode=620", "ptmxmode=666", "noexec", "nosuid"}
    assert mounts["/dev/shm"][1] >= {"size=65536k", "nosuid", "nodev", "noexec"}
    assert mounts["/dev/mqueue"][0] == "mqueue"
    for path in ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"):
        assert "ro" in mounts[path][1]


def test_devices(box):
    """/dev has the OCI set and works."""
    outcome = box.shell("cd /dev; ls; stat -c '%n %t,%T %a' null tty; echo x > null; head -c 2 zero | wc -c")
    names = outcome.lines[: outcome.lines.index("zero") + 1]

    assert names == ("fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split())
    assert "null 1,3 666" in outcome.lines
    assert "tty 5,0 666" in outcome.lines
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == 0o666


def _disk():
    """Major and minor number of a disk of this machine."""
    numbers = [line.split()[:2] for line in Path("/proc/partitions").read_text().splitlines()[2:]]
    assert numbers, "this machine shows no disk"
    return int(numbers[0][0]), int(numbers[0][1])


def test_device_nodes_that_a_step_makes(box):
    """Where a group decides, Docker's devices open and no disk; else no node that a step made opens."""
    major, minor = _disk()
    outcome = box.shell(
        f"mknod /zero c 1 5 && mknod /dev/mine c 1 5 && mknod /disk b {major} {minor} && stat -c %t,%T /zero;"
        "cat /disk | head -c 1 || true; head -c 1 /zero | wc -c; head -c 1 /dev/mine | wc -c;"
        "head -c 2 /dev/zero | wc -c"
    )
    has_group = "pybuild-devices-" in Path(f"/proc/{box.launcher.pid}/cgroup").read_text()

    assert outcome.lines == ["1,5", *(["1", "1"] if has_group else ["0", "0"]), "2"]
    assert "disk" in outcome.err
    assert ("Operation not permitted" if has_group else "Permission denied") in outcome.err


def test_device_nodes_that_others_bring(box, tmp_path):
    """A disk's node of an image or of a folder that is mounted does not open, in whatever group it runs."""
    for directory in (box.root, tmp_path):
        os.mknod(directory / "disk", stat.S_IFBLK | 0o666, os.makedev(*_disk()))
    script = "cat /disk /here/disk | head -c 1"
    outcome = box.shell(script, mounts=(Mount("bind", str(tmp_path), "/here"),))

    assert outcome.out == ""
    assert outcome.err.count("disk") == 2
    assert "denied" in outcome.err or "not permitted" in outcome.err


def test_privileged_has_all_devices(box):
    """The group of the others does not hold it: a node without a driver is looked for, and not refused."""
    script = "mknod /nowhere c 0 1; cat /nowhere"

    assert "No such device" in box.shell(script, is_privileged=True).err


def test_group_of_devices_goes_with_the_launcher(box):
    """Nothing is left of it."""
    from builder.sandbox.launch import Launcher

    with Launcher() as mine:
        box.launcher = mine
        box.run("true")
        lines = Path(f"/proc/{mine.pid}/cgroup").read_text().splitlines()
        name = f"pybuild-devices-{mine.pid}"
        was_there = any(line.endswith(f"/{name}") for line in lines)
        assert was_there == bool(list(Path("/sys/fs/cgroup").glob(f"**/{name}")))

    assert list(Path("/sys/fs/cgroup").glob(f"**/{name}")) == []


def test_masks(box):
    """Masked files are empty, masked directories have nothing in them, and /proc/sys cannot be written."""
    script = "cat /proc/keys /proc/timer_list; ls /sys/firmware /proc/acpi | grep -v : ; true"
    assert box.shell(script).out.strip() == ""

    outcome = box.shell("echo 1 > /proc/sys/kernel/panic; touch /sys/x")
    assert outcome.err.count("Read-only file system") == 2


def test_no_host_mount_is_left(box):
    """The old root is gone: no mount of the host is in the list and /proc/1/root is the new root."""
    targets = [line.split()[1] for line in box.run("cat", "/proc/mounts").lines]

    assert targets.count("/") == 1
    assert not [t for t in targets if not t.startswith(("/proc", "/sys", "/dev")) and t != "/"]


def test_host_sees_no_mount(box):
    """Nothing is mounted in the caller's namespace while a sandbox runs."""
    process, out = box.start("sh", "-c", "echo ready; cat /dev/zero > /dev/null")
    assert os.read(out, 100) == b"ready\n"
    mounts = Path("/proc/self/mountinfo").read_text()
    process.signal(9)
    process.wait()
    os.close(out)

    assert str(box.directory) not in mounts


def test_binds(box, tmp_path):
    """Binds of directories and files, writable and read-only; missing targets are made and told."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").write_text("text")
    mounts = (
        Mount("bind", str(data), "/mnt/rw"),
        Mount("bind", str(data), "/mnt/ro", ("ro", "rec")),
        Mount("bind", str(data / "file"), "/mnt/file", ("ro",)),
        Mount("tmpfs", "", "/mnt/tmp", ("size=1m", "mode=1777", "nosuid")),
    )
    spec = box.spec(
        "sh", "-c", "cat /mnt/file; echo > /mnt/rw/new; touch /mnt/ro/x /mnt/file; ls -ld /mnt/tmp"
    )
    out, err = os.memfd_create("out"), os.memfd_create("err")
    process = box.launcher.spawn(spec._replace(mounts=(*spec.mounts, *mounts)), stdout=out, stderr=err)
    process.wait_started()
    process.wait()

    assert os.pread(out, 100, 0).startswith(b"textdrwxrwxrwt")
    assert os.pread(err, 1000, 0).count(b"Read-only file system") == 2
    assert (data / "new").exists()
    made = [path for path, _, _ in process.stubs]
    assert made == [b"/mnt", b"/mnt/rw", b"/mnt/ro", b"/mnt/file", b"/mnt/tmp"]


def test_recursive_bind_shows_mounts_below(box):
    """``rec`` brings what is mounted below the source."""
    outcome = box.run("ls", "/host/pts/ptmx", mounts=(Mount("bind", "/dev", "/host", ("rec", "ro")),))
    plain = box.run("ls", "/host/pts/ptmx", mounts=(Mount("bind", "/dev", "/host", ("ro",)),))

    assert (outcome.code, plain.code) == (0, 1)


def test_read_only_root(box, tmp_path):
    """The root can be read-only while mounts in it, made where the root lacks them, are not."""
    mount = Mount("bind", str(tmp_path), "/mnt/deep")
    outcome = box.run("sh", "-c", "touch /mnt/deep/ok; touch /no", mounts=(mount,), is_read_only=True)

    assert (tmp_path / "ok").exists()
    assert "Read-only file system" in outcome.err


def test_working_directory(box):
    """A missing working directory is made, 0755 and root's; ``..`` and links stay inside."""
    (box.root / "link").symlink_to("/../../made")

    assert box.run("pwd", cwd="/a/b", user="1234").lines == ["/a/b"]
    assert (box.upper / "a/b").stat().st_mode & 0o7777 == 0o755
    assert (box.upper / "a/b").stat().st_uid == 0
    assert box.run("pwd", cwd="/link/../../..").lines == ["/"]
    assert box.run("pwd", cwd="/link/x").lines == ["/made/x"]


@pytest.mark.parametrize(
    "path", ["/proc/self/fd/7", "/proc/self/fd/7/../..", "/proc/1/root", "/proc/self/cwd"]
)
def test_working_directory_in_proc(box, path):
    """A working directory through a link of a process is refused, before and behind a link of the image."""
    (box.root / "link").symlink_to(path)
    for cwd in (path, "/link"):
        with pytest.raises(SandboxFailed) as caught:
            box.run("pwd", cwd=cwd)
        assert caught.value.exit_code == 125


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_links_in_place_of_kernel_file_systems(box, tmp_path, name):
    """An image whose /proc, /sys or /dev is a link or a file is refused, and the target stays untouched."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (box.root / name).symlink_to(victim)
    with pytest.raises(SandboxFailed, match=f"symbolic link.*/{name}"):
        box.run("true")
    (box.root / name).unlink()
    (box.root / name).write_text("")
    with pytest.raises(SandboxFailed, match=f"directory.*/{name}"):
        box.run("true")

    assert list(victim.iterdir()) == []


def test_missing_kernel_directories_are_made(box):
    """Over a root without /proc, /sys and /dev the sandbox works all the same."""
    spec = box.spec("ls", "/")._replace(mounts=(box.overlay(box.root),))

    assert set(box.run_spec(spec).lines) >= {"proc", "sys", "dev"}


def test_mount_targets_stay_inside(box, tmp_path):
    """A target behind links, absolute and relative, ends inside the new root and is made there."""
    source = tmp_path / "resolv.conf"
    source.write_text("nameserver 192.0.2.1\n")
    victim = tmp_path / "victim"
    victim.write_text("host")
    texts = (str(victim), "../../../../../../run/resolve/stub.conf", "../run/dangling")
    for text in texts:
        (box.root / "etc/resolv.conf").unlink(missing_ok=True)
        (box.root / "etc/resolv.conf").symlink_to(text)
        mount = Mount("bind", str(source), "/etc/resolv.conf", ("ro",))
        assert box.run("cat", "/etc/resolv.conf", mounts=(mount,)).out == "nameserver 192.0.2.1\n"

    assert victim.read_text() == "host"


@pytest.mark.parametrize("text", ["/proc/self/fd/3", "/proc/sys/kernel/hostname", "/proc/version", "loop"])
def test_mount_targets_in_proc(box, tmp_path, text):
    """A target that a link leads into /proc, or in circles, is refused."""
    (tmp_path / "file").write_text("x")
    (box.root / "etc/loop").symlink_to("loop")
    (box.root / "etc/hosts").symlink_to(text)
    with pytest.raises(SandboxFailed):
        box.run("true", mounts=(Mount("bind", str(tmp_path / "file"), "/etc/hosts", ("ro",)),))


def test_directory_over_file(box, tmp_path):
    """A directory cannot be bound on a file, nor a file on a directory."""
    (box.root / "file").write_text("")
    (tmp_path / "source").write_text("")
    with pytest.raises(SandboxFailed, match="not a directory"):
        box.run("true", mounts=(Mount("bind", str(tmp_path), "/file"),))
    with pytest.raises(SandboxFailed, match="is a directory"):
        box.run("true", mounts=(Mount("bind", str(tmp_path / "source"), "/etc"),))


def test_hostile_dev(box, tmp_path):
    """A mount of the user on /dev neither changes what masks are made of nor holds up the start."""
    (tmp_path / "null").symlink_to("/proc/sys/kernel/core_pattern")
    assert box.run("cat", "/proc/keys", mounts=(Mount("bind", str(tmp_path), "/dev"),)).out == ""

    (tmp_path / "null").unlink()
    os.mkfifo(tmp_path / "null")
    outcome = box.run("readlink", "/proc/self/fd/0", mounts=(Mount("bind", str(tmp_path), "/dev"),))
    assert outcome.code == 0


def test_without_mknod(box):
    """Where device nodes cannot be made the host's are shown."""
    import subprocess
    import sys

    code = f"""
from builder.core.mount import Mount
from builder.sandbox import capabilities, syscalls
from builder.sandbox.launch import Launcher
from builder.sandbox.spec import SandboxSpec
syscalls.prctl(syscalls.PR_CAPBSET_DROP, capabilities.NAMES.index("MKNOD"))
with Launcher() as launcher:
    args = ("sh", "-c", "echo x > /dev/null && stat -c %t,%T /dev/zero && head -c 2 /dev/zero | wc -c")
    spec = SandboxSpec(args=args, mounts=(Mount(*{tuple(box.overlay())!r}),))
    process = launcher.spawn(spec, stdout=1, stderr=2)
    process.wait_started()
    process.wait()
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(root)}, check=True, capture_output=True
    )

    assert done.stdout.split() == [b"1,5", b"2"]
