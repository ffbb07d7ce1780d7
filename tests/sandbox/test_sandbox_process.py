"""What a program in a sandbox is and has: ids, capabilities, descriptors, environment, exit codes."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from builder.core.mount import Mount
from builder.sandbox.launch import SandboxFailed
from builder.sandbox.spec import InvalidSandbox

pytestmark = pytest.mark.sandbox

_DEFAULT_CAPABILITIES = "00000000a80425fb"  # what `docker run` shows


def _status(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _, value in pairs}


def test_program_is_pid_1_of_its_namespace(box):
    """The program itself is pid 1 and sees no process but its own."""
    assert box.shell("echo $$ /proc/[0-9]*").lines == ["1 /proc/1"]


def test_exit_codes(box):
    """An exit code comes back as it is, a signal as 128+N."""
    codes = [box.shell(script).code for script in ("exit 0", "exit 7", "exit 255")]

    assert codes == [0, 7, 255]
    process, out = box.start("sleep", "1000")
    process.signal(signal.SIGKILL)
    assert process.wait() == 137
    os.close(out)


def test_capabilities_of_root(box):
    """Root has Docker's fourteen capabilities, inheritable and ambient are empty, setuid programs work."""
    status = _status(box.run("cat", "/proc/self/status").out)

    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert status[name] == _DEFAULT_CAPABILITIES
    assert status["CapInh"] == status["CapAmb"] == "0" * 16
    assert status["NoNewPrivs"] == "0"


def test_capabilities_of_a_user(box):
    """A user has no capability; the bounding set stays for setuid programs."""
    status = _status(box.run("cat", "/proc/self/status", user="1234").out)

    assert status["CapPrm"] == status["CapEff"] == status["CapInh"] == status["CapAmb"] == "0" * 16
    assert status["CapBnd"] == _DEFAULT_CAPABILITIES


def test_privileged_keeps_everything(box):
    """With is_privileged all capabilities stay, nothing is masked and /sys is writable."""
    mine = _status(Path("/proc/self/status").read_text())["CapEff"]
    outcome = box.run("sh", "-c", "cat /proc/self/status; mount", is_privileged=True)

    assert _status(outcome.out)["CapEff"] == mine
    assert "sysfs on /sys type sysfs (rw" in outcome.out
    assert "/proc/keys" not in outcome.out


def test_descriptors(box):
    """Only 0, 1 and 2 are open; stdin is /dev/null."""
    assert box.run("ls", "/proc/self/fd").lines == ["0", "1", "2", "3"]  # 3 is the listing's own
    assert box.run("readlink", "/proc/self/fd/0").lines == ["/dev/null"]
    assert box.run("cat").out == ""


def test_descriptors_that_the_caller_leaks_stay_out(box):
    """An inheritable descriptor of the caller does not reach a program."""
    leak = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(leak, True)

    assert box.run("ls", "/proc/self/fd").lines == ["0", "1", "2", "3"]
    os.close(leak)


def test_stdin(box):
    """A stdin that the caller gives is read to its end."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"hello\n")
    os.close(write_end)
    out = os.memfd_create("out")
    process = box.launcher.spawn(box.spec("cat"), stdin=read_end, stdout=out, stderr=2)
    os.close(read_end)
    process.wait_started()

    assert process.wait() == 0
    assert os.pread(out, 100, 0) == b"hello\n"
    os.close(out)


def test_environment_is_the_specs(box, monkeypatch):
    """Nothing of the caller's environment is seen, HOME is added, and a HOME of the spec is kept."""
    monkeypatch.setenv("LEAK", "1")

    assert sorted(box.run("env", env=("A=1", "B=x=y")).lines) == ["A=1", "B=x=y", "HOME=/"]
    assert box.run("env", env=("HOME=/there",)).lines == ["HOME=/there"]


def test_bytes_survive(box):
    """Arguments and environment are bytes, UTF-8 or not."""
    outcome = box.run("sh", "-c", 'printf %s "$0$A" | wc -c', "ä\udcff", env=("A=\udcff\udcfe",))

    assert outcome.out.strip() == "5"


def test_umask_signals_session(box):
    """umask is 022, no signal is ignored or blocked, and the program leads its session."""
    status = _status(box.run("cat", "/proc/self/status").out)

    assert status["Umask"] == "0022"
    assert status["SigIgn"] == status["SigBlk"] == "0" * 16
    assert box.shell("cat /proc/self/stat").out.split()[5] == "1"


def test_sigpipe_kills(box):
    """`yes | head` ends as it does in a shell: SIGPIPE has its default action."""
    outcome = box.shell("{ yes; echo $? >&2; } | head -n 1")

    assert outcome.out == "y\n"
    assert outcome.err.strip() == "141"


def test_hostname(box):
    """The hostname is the sandbox's own."""
    assert box.run("hostname", hostname="elsewhere").lines == ["elsewhere"]
    assert os.uname().nodename != "elsewhere"


def test_network_none(box):
    """Without a network there is lo and nothing else, and it is up."""
    outcome = box.shell("ls /sys/class/net; ip addr show lo", network="none")

    assert outcome.lines[0] == "lo"
    assert "LOOPBACK,UP" in outcome.out
    assert "127.0.0.1/8" in outcome.out
    assert [line for line in outcome.lines if line.startswith(("1:", "2:"))] == outcome.lines[1:2]


def test_network_host(box):
    """With the host's network the interfaces are the host's."""
    names = box.run("ls", "/proc/self/net/dev_snmp6").lines
    assert sorted(names) == sorted(os.listdir("/proc/self/net/dev_snmp6"))


def test_users_of_the_image(box):
    """USER's table: passwd gives group, home and supplementary groups, an explicit group replaces them."""
    (box.root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n1234:x:7:7::/odd:\n"
    )
    (box.root / "etc/group").write_text("root:x:0:\nwheel:x:10:root,ann\nusers:x:100:ann\naudio:x:29:ann\n")
    script = "id -u; id -g; grep Groups: /proc/self/status; echo $HOME"
    expected = {
        "": ["0", "0", "0 10", "/root"],
        "root": ["0", "0", "0 10", "/root"],
        "ann": ["1000", "100", "10 29 100", "/home/ann"],
        "1000": ["1000", "100", "10 29 100", "/home/ann"],
        "ann:wheel": ["1000", "10", "10", "/home/ann"],
        "ann:5": ["1000", "5", "5", "/home/ann"],
        "1234": ["1234", "0", "0", "/"],
        "1234:77": ["1234", "77", "77", "/"],
    }
    actual = {}
    for user in expected:
        uid, gid, groups, home = box.shell(script, user=user).lines
        actual[user] = [uid, gid, " ".join(groups.split()[1:]), home]

    assert actual == expected


@pytest.mark.parametrize(("user", "what"), [("nobody", "user"), ("0:nogroup", "group")])
def test_unknown_users(box, user, what):
    """A name that the image does not have is an error of its own."""
    with pytest.raises(SandboxFailed) as caught:
        box.run("true", user=user)

    assert caught.value.reason == "user"
    assert f"unable to find {what}" in caught.value.message


def test_user_file_that_never_ends(box):
    """A passwd file that is a pipe or a device is refused, not waited for."""
    os.mkfifo(box.root / "etc/passwd")
    with pytest.raises(SandboxFailed, match="not a regular file"):
        box.run("true", user="ann")


def test_programs_that_cannot_run(box):
    """127: no such program; 126: there, and not to be executed; the texts are runc's."""
    (box.root / "script").write_text("echo hi\n")
    (box.root / "script").chmod(0o755)
    (box.root / "orphan").write_text("#!/nope\n")
    (box.root / "orphan").chmod(0o755)
    (box.root / "plain").write_text("x")
    expected = {
        "nope": (127, 'exec: "nope": executable file not found in $PATH'),
        "/nope": (127, 'exec: "/nope": stat /nope: no such file or directory'),
        "/plain": (126, 'exec: "/plain": permission denied'),
        "/bin": (126, 'exec: "/bin": is a directory'),
        "/script": (126, "exec /script: exec format error"),
        "/orphan": (127, "exec /orphan: no such file or directory"),
    }
    actual = {}
    for program in expected:
        with pytest.raises(SandboxFailed) as caught:
            box.run(program)
        assert caught.value.reason == "exec"
        actual[program] = (caught.value.exit_code, caught.value.message)

    assert actual == expected


def test_program_lookup(box):
    """PATH of the spec decides, a name with a slash is relative to the working directory."""
    (box.root / "opt").mkdir()
    (box.root / "opt/tool").write_text("#!/bin/sh\necho tool\n")
    (box.root / "opt/tool").chmod(0o755)

    assert box.run("tool", env=("PATH=/nowhere:/opt",)).out == "tool\n"
    assert box.run("./tool", cwd="/opt").out == "tool\n"
    with pytest.raises(SandboxFailed):
        box.run("tool", env=("PATH=.:",), cwd="/opt")


def test_failed_set_up_is_125(box):
    """A mount whose source is missing is a failed set-up, and the message names it."""
    with pytest.raises(SandboxFailed, match="/no/such/source") as caught:
        box.run("true", mounts=(Mount("bind", "/no/such/source", "/mnt"),))

    assert (caught.value.reason, caught.value.exit_code) == ("setup", 125)


def test_nonsense_is_refused_before_it_is_sent(box):
    """NUL characters, relative paths and unknown networks never reach the launcher."""
    for values in ({"env": ("A\0=1",)}, {"env": ("A",)}, {"cwd": "x"}, {"network": "mars"}):
        with pytest.raises(InvalidSandbox):
            box.run("true", **values)


def test_background_processes_die_with_the_program(box):
    """When pid 1 ends, everything that it left behind is gone at once: the pipe it held is closed."""
    process, out = box.start("sh", "-c", "sleep 1000 & sleep 1000 & echo ready")

    assert process.wait() == 0
    assert os.read(out, 100) == b"ready\n"
    assert os.read(out, 100) == b""
    os.close(out)


def test_kill_takes_the_whole_tree(box):
    """KILL to the main process ends everything below it, sessions of their own included."""
    process, out = box.start("sh", "-c", "busybox setsid sleep 1000 & sleep 1000 & echo ready; sleep 1000")
    assert os.read(out, 100) == b"ready\n"
    process.signal(signal.SIGKILL)

    assert process.wait() == 137
    assert os.read(out, 100) == b""
    os.close(out)


def test_signal_after_the_end(box):
    """A signal to what is gone does nothing."""
    process, out = box.start("true")
    process.wait()
    process.signal(signal.SIGTERM)

    assert process.wait() == 0
    os.close(out)


def test_sixteen_at_once(box, launcher):
    """Sandboxes of many threads run side by side: each waits for all others to have started."""
    read_end, write_end = os.pipe()
    barrier = threading.Barrier(17)
    codes: list[int] = []

    def run() -> None:
        spec = box.spec("cat", mounts=())._replace(mounts=(Mount("bind", str(box.root), "/"),))
        process = launcher.spawn(spec, stdin=read_end, stdout=2, stderr=2)
        process.wait_started()
        barrier.wait()
        codes.append(process.wait())

    for name in ("proc", "sys", "dev"):
        (box.root / name).mkdir()
    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    barrier.wait()
    os.close(write_end)
    for thread in threads:
        thread.join()
    os.close(read_end)

    assert codes == [0] * 16


def test_large_environment(box):
    """What does not fit a packet of the socket goes another way."""
    env = tuple(f"V{number}={'x' * 1000}" for number in range(500))

    assert len(box.run("env", env=env).lines) == 501


def test_host_interpreter_cannot_be_written(box, launcher):
    """The interpreter that a step reaches by /proc/self/exe lies on a read-only mount."""
    launcher.start()

    assert os.statvfs(f"/proc/{launcher.pid}/exe").f_flag & os.ST_RDONLY


def test_caller_without_standard_streams_or_directory(box, launcher, tmp_path):
    """A closed stdin, an ignored SIGPIPE, a umask and a deleted working directory do not reach a program."""
    import subprocess
    import sys

    gone = tmp_path / "gone"
    gone.mkdir()
    script = tmp_path / "caller.py"
    out = tmp_path / "out"
    mounts = box.overlay()
    script.write_text(f"""
import os, signal
from builder.core.mount import Mount
from builder.sandbox.launch import Launcher
from builder.sandbox.spec import SandboxSpec
os.rmdir({str(gone)!r})
for fd in (0, 1, 2):
    os.close(fd)
os.umask(0o077)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with Launcher() as launcher:
    fd = os.open({str(out)!r}, os.O_CREAT | os.O_WRONLY)
    mount = Mount(*{tuple(mounts)!r})
    args = ("sh", "-c", "pwd; umask; grep SigIgn /proc/self/status; readlink /proc/self/fd/0")
    process = launcher.spawn(SandboxSpec(args=args, mounts=(mount,)), stdout=fd, stderr=fd)
    process.wait_started()
    os._exit(process.wait())
""")
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, script], cwd=gone, env={"PYTHONPATH": str(root)}, check=False)

    assert done.returncode == 0
    assert out.read_text().split() == ["/", "0022", "SigIgn:", "0" * 16, "/dev/null"]


def test_lacking_privileges_are_named(launcher):
    """Without CAP_SYS_ADMIN the error says which capability is missing."""
    import subprocess
    import sys

    root = Path(__file__).parents[2]
    code = """
from builder.sandbox import capabilities, syscalls
from builder.sandbox.launch import Launcher, SandboxUnavailable
syscalls.capset(0, 0, 0)
try:
    Launcher().start()
except SandboxUnavailable as error:
    print(error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "CAP_SYS_ADMIN" in done.stdout
