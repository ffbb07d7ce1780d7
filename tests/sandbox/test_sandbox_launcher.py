"""The launcher program: what it imports, how it ends, terminals, and use by hand."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from builder.sandbox import launcher as launcher_program
from builder.sandbox.launch import Launcher, LauncherLost

pytestmark = pytest.mark.sandbox

_ROOT = Path(__file__).parents[2]
_PROGRAM = str(launcher_program.__file__)


def _read_all(fd: int) -> bytes:
    """To the end; the end of a pty is EIO."""
    data = b""
    while True:
        try:
            piece = os.read(fd, 4096)
        except OSError:
            return data
        if not piece:
            return data
        data += piece


def test_modules(box):
    """The launcher imports a known handful of modules; more would cost every build and every step."""
    code = f"""
import sys
before = set(sys.modules)
sys.path.append({str(_ROOT)!r})
from builder.sandbox import child, launcher, serve
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], env={}, check=True, capture_output=True, text=True
    )
    known = (
        "__future__ _ctypes _socket _stat _struct builder ctypes ctypes._endian errno fcntl gc genericpath os"
        " os.path posixpath resource select stat struct types _collections_abc"
    )
    ours = {name for name in done.stdout.split() if name.startswith("builder.")}

    assert set(done.stdout.split()) - ours <= set(known.split())
    assert ours == {
        "builder.sandbox",
        *(
            f"builder.sandbox.{name}"
            for name in (
                "becoming", "capabilities", "child", "confinement", "devicerules", "devices", "launcher",
                "mounting", "operation", "places", "rootpath", "serve", "signals", "steps", "syscalls",
                "users",
            )
        ),
    }  # fmt: skip


def test_environment_of_the_launcher(launcher):
    """It has no environment, a session of its own, works in / and holds no descriptor of the caller."""
    leak = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(leak, True)
    with Launcher() as mine:
        mine.start()
        # The first answer comes after everything that a start does.
        _answer(mine)
        process = Path(f"/proc/{mine.pid}")

        assert (process / "environ").read_bytes() == b""
        assert os.readlink(process / "cwd") == "/"
        assert os.getsid(mine.pid) == mine.pid
        opened = {os.readlink(process / "fd" / fd) for fd in os.listdir(process / "fd")}
        assert "/etc/hostname" not in opened
    os.close(leak)


def _answer(launcher: Launcher) -> None:
    from builder.core.mount import Mount
    from builder.sandbox.launch import SandboxFailed
    from builder.sandbox.spec import SandboxSpec

    spec = SandboxSpec(args=("x",), mounts=(Mount("bind", "/nowhere", "/"),))
    with pytest.raises(SandboxFailed):
        launcher.spawn(spec, stdout=2, stderr=2).wait_started()


def test_close_kills_everything(box):
    """Closing the launcher ends what it started; waiting for that says so."""
    mine = Launcher()
    read_end, write_end = os.pipe()
    process = mine.spawn(box.spec("sleep", "1000"), stdout=write_end, stderr=2)
    os.close(write_end)
    process.wait_started()
    mine.close()

    assert _read_all(read_end) == b""
    with pytest.raises(LauncherLost):
        process.wait()
    os.close(read_end)


def test_lost_launcher(box):
    """When the launcher is killed its sandboxes die with it, and the caller hears of it."""
    mine = Launcher()
    read_end, write_end = os.pipe()
    process = mine.spawn(box.spec("sleep", "1000"), stdout=write_end, stderr=2)
    os.close(write_end)
    process.wait_started()
    os.kill(mine.pid, signal.SIGKILL)

    with pytest.raises(LauncherLost):
        process.wait()
    assert _read_all(read_end) == b""
    with pytest.raises(LauncherLost):
        mine.spawn(box.spec("true"), stdout=2, stderr=2)
    mine.close()
    os.close(read_end)


@pytest.mark.parametrize("forks", [False, True])
def test_killed_caller_leaves_nothing(box, forks):
    """kill -9 of the caller ends launcher and sandboxes, even while a fork of the caller lives on."""
    code = f"""
import os, sys
from builder.core.mount import Mount
from builder.sandbox.launch import Launcher
from builder.sandbox.spec import SandboxSpec
launcher = Launcher()
spec = SandboxSpec(args=("sh", "-c", "busybox setsid sleep 1000 & echo ready; sleep 1000"),
                   mounts=(Mount(*{tuple(box.overlay())!r}),))
process = launcher.spawn(spec, stdout=1, stderr=2)
process.wait_started()
if {forks} and os.fork() == 0:
    os.close(1)
    sys.stdin.read()
    os._exit(0)
process.wait()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(_ROOT)},
    ) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"ready\n"
        caller.send_signal(signal.SIGKILL)

        # Every process of the sandbox holds this pipe: its end is their end.
        assert caller.stdout.read() == b""
    assert str(box.directory) not in Path("/proc/self/mountinfo").read_text()


def test_started_by_a_thread_that_ends(box):
    """The launcher outlives the thread that first needed it."""
    import threading

    with Launcher() as mine:
        thread = threading.Thread(target=mine.start)
        thread.start()
        thread.join()
        process = mine.spawn(box.spec("true"), stdout=2, stderr=2)
        process.wait_started()

        assert process.wait() == 0


def test_terminal(box):
    """A pty becomes the controlling terminal: job control, its name, its size and ^C work."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    script = "tty; stty size; cat < /dev/tty; echo not reached"
    spec = box.spec("sh", "-c", f"trap : INT; sh -c '{script}'; echo $?", is_terminal=True)
    process = box.launcher.spawn(spec, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    process.wait_started()
    seen = b""
    while b"24 80" not in seen:
        seen += os.read(master, 4096)
    os.write(master, b"hello\n")
    while seen.count(b"hello") < 2:
        seen += os.read(master, 4096)
    os.write(master, b"\x03")
    seen += _read_all(master)
    process.wait()

    assert seen.startswith(b"/dev/console\r\n24 80\r\n")
    assert b"130" in seen
    assert b"not reached" not in seen
    os.close(master)


def test_describe(box):
    """``launcher.py --describe`` prints the plan of a recorded spec."""
    spec = box.spec("echo", "hi there", network="none", user="ann")
    done = subprocess.run(
        [sys.executable, "-I", "-S", _PROGRAM, "--describe"],
        input=spec.encode(),
        env={},
        check=True,
        capture_output=True,
    )
    lines = done.stdout.decode().splitlines()

    assert lines[0].startswith("make the root file system: overlay (")
    assert "bring up the loopback interface" in lines
    become = next(line for line in lines if line.startswith("become "))
    assert become.startswith('become user "ann" with the default capabilities, a seccomp filter of ')
    assert lines[-1] == "run 'echo' 'hi there'"


def test_run_by_hand(box):
    """``launcher.py --run`` carries out a recorded spec and ends with its exit code."""
    command = [sys.executable, "-I", "-S", _PROGRAM, "--run"]
    spec = box.spec("sh", "-c", "echo $$; exit 7")
    done = subprocess.run(command, input=spec.encode(), env={}, check=False, capture_output=True)
    failed = subprocess.run(
        command, input=box.spec("nope").encode(), env={}, check=False, capture_output=True
    )

    assert (done.returncode, done.stdout) == (7, b"1\n")
    assert (failed.returncode, b"executable file not found" in failed.stderr) == (127, True)
