"""Options about the processes of a build or container: each has an effect that is not the default's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import BUG, Pybuild, finish
from tests.support.processes import assert_no_orphan
from tests.support.registry import FakeRegistry
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_EATER = 'x=0123456789abcdef; while [ ${#x} -lt 80000000 ]; do x="$x$x"; done; echo ${#x}'


def _out(pybuild: Pybuild, context: Path, *options: str) -> str:
    """What the file /out of the built image holds."""
    pybuild.build(context, "-t", "made", *options)
    return pybuild.run("made", "cat", "/out")


def _is_enforced(err: str, option: str) -> bool:
    """Whether this machine let us; if not, that was said."""
    return f"{option} is not enforced" not in err


def test_add_host(pybuild: Pybuild, write: Write) -> None:
    """--add-host adds lines in the given order; a new address is no new step, a new name is."""
    context = write("FROM busybox\nRUN cat /etc/hosts > /out\n")
    plain = _out(pybuild, context)
    hosts = _out(
        pybuild, context, "--add-host", "db:10.0.0.1", "--add-host=v6=[::5]", "--add-host", "h:host-gateway"
    )
    moved = pybuild.build(
        context, "--add-host", "db:10.0.0.2", "--add-host=v6:::6", "--add-host", "h:host-gateway"
    )
    renamed = pybuild.build(context, "--add-host", "other:10.0.0.1")

    assert hosts == plain + "10.0.0.1\tdb\n::5\tv6\n127.0.0.1\th\n"
    assert "CACHED" in {state for name, state in moved.steps.items() if "RUN" in name}
    assert "DONE" in {state for name, state in renamed.steps.items() if "RUN" in name}
    assert "10.0.0.1" not in pybuild.run("made", "cat", "/etc/hosts")
    assert (
        "10.0.0.9\tx\n"
        in pybuild("run", "--rm", "--add-host", "x:10.0.0.9", "busybox", "cat", "/etc/hosts").out
    )


def test_ulimit(pybuild: Pybuild, write: Write) -> None:
    """--ulimit sets soft and hard limits; what cannot be raised is an error with its name."""
    context = write("FROM busybox\nRUN ulimit -n > /out; ulimit -Hn >> /out\n")
    plain = _out(pybuild, context)
    limited = _out(pybuild, context, "--ulimit", "nofile=100:200")
    above = int(Path("/proc/sys/fs/nr_open").read_text()) + 1
    failed = pybuild.build(context, f"--ulimit=nofile={above}", code=1)

    assert (plain != limited, limited) == (True, "100\n200\n")
    assert f"ulimit nofile={above}" in failed.err
    assert pybuild("run", "--rm", "--ulimit", "nofile=77", "busybox", "sh", "-c", "ulimit -n").out == "77\n"


def test_shm_size(pybuild: Pybuild, write: Write) -> None:
    """--shm-size is the size of /dev/shm."""
    context = write("FROM busybox\nRUN grep -o ' /dev/shm .*size=[0-9]*k' /proc/mounts > /out\n")

    assert "size=65536k" in _out(pybuild, context)
    assert "size=1024k" in _out(pybuild, context, "--shm-size", "1m")
    assert "size=2048k" in pybuild("run", "--rm", "--shm-size=2m", "busybox", "cat", "/proc/mounts").out


def test_memory(pybuild: Pybuild, write: Write) -> None:
    """--memory ends a step that wants more, and the error says so; a later build without it is not cached."""
    context = write(f"FROM busybox\nRUN {_EATER} > /out\n")
    limited = pybuild.build(context, "--memory", "16m", code=None)
    container = pybuild("run", "--rm", "-m", "16m", "busybox", "sh", "-c", _EATER, code=None)

    if _is_enforced(limited.err, "--memory"):
        assert limited.code == 1
        assert "out of memory: exit code: 137" in limited.err
        assert "16 MiB" in limited.err
        assert container.code == 137
        assert "16 MiB" in container.err
    assert _out(pybuild, context) == "134217728\n"


def test_memory_is_no_identity(pybuild: Pybuild, write: Write) -> None:
    """A step that was made under a limit is cached for a build under another."""
    context = write("FROM busybox\nRUN true\n")
    pybuild.build(context, "--memory", "64m", "--pids-limit", "50", "--cpus", "0.5", "--cpu-shares", "100")
    again = pybuild.build(context, "--memory=32m", "--memory-swap=-1")

    assert "CACHED" in {state for name, state in again.steps.items() if "RUN" in name}


def test_a_killed_process_that_the_step_survives(pybuild: Pybuild, write: Write) -> None:
    """It is a warning at the step's line."""
    built = pybuild.build(write(f"FROM busybox\nRUN sh -c '{_EATER}'; true\n"), "--memory", "16m")

    if _is_enforced(built.err, "--memory"):
        assert "killed for lack of memory" in built.err


def test_pids_limit(pybuild: Pybuild, write: Write) -> None:
    """--pids-limit bounds the processes of one step."""
    context = write("FROM busybox\nRUN sleep 0 & sleep 0 & sleep 0 & wait\n")
    limited = pybuild.build(context, "--pids-limit", "2", code=None)
    pybuild.build(context)

    if _is_enforced(limited.err, "--pids-limit"):
        assert limited.code == 1
        assert "can't fork" in limited.err


def test_cpuset(pybuild: Pybuild, write: Write) -> None:
    """--cpuset-cpus says where a step runs; a processor that is not there is an error."""
    context = write("FROM busybox\nRUN grep Cpus_allowed_list /proc/self/status > /out\n")
    built = pybuild.build(context, "-t", "set", "--cpuset-cpus", "0")

    if _is_enforced(built.err, "--cpuset-cpus"):
        assert pybuild.run("set", "cat", "/out").split()[1] == "0"
        failed = pybuild.build(context, "--no-cache", "--cpuset-cpus", "4000", code=1)
        assert "--cpuset-cpus" in failed.err


def test_memory_nodes(pybuild: Pybuild, write: Write) -> None:
    """--cpuset-mems says where a step's memory is; a node that is not there is an error."""
    context = write("FROM busybox\nRUN grep Mems_allowed_list /proc/self/status > /out\n")
    built = pybuild.build(context, "-t", "set", "--cpuset-mems", "0")

    if _is_enforced(built.err, "--cpuset-mems"):
        assert pybuild.run("set", "cat", "/out").split()[1] == "0"
        failed = pybuild.build(context, "--no-cache", "--cpuset-mems", "60", code=1)
        assert "--cpuset-mems" in failed.err


def test_period_and_quota(pybuild: Pybuild, write: Write) -> None:
    """--cpu-quota in each --cpu-period is what the group of a step gets; --cpus says it another way."""
    context = write("FROM busybox\nRUN i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done\n")
    built = pybuild.build(context, "--cpu-period", "50000", "--cpu-quota", "20000")
    refused = pybuild.build(context, "--cpu-quota", "20000", "--cpus", "1", code=1)

    assert built.steps
    assert "--cpus excludes --cpu-period and --cpu-quota" in refused.err


def test_jobs(pybuild: Pybuild, write: Write) -> None:
    """With --jobs 1 a step begins when the one before it is over."""
    both = "".join(
        f"FROM busybox AS {name}\nRUN --mount=type=cache,id=j,target=/j"
        f" mkdir /j/here && rmdir /j/here && touch /{name}\n"
        for name in "abcd"
    )
    context = write(both + "FROM busybox\n" + "".join(f"COPY --from={name} /{name} /\n" for name in "abcd"))

    assert pybuild.build(context, "--jobs", "1").steps


def test_cgroup_parent(pybuild: Pybuild, write: Write) -> None:
    """--cgroup-parent is another step; a slice of systemd is refused by name."""
    context = write("FROM busybox\nRUN true\n")
    pybuild.build(context)
    failed = pybuild.build(context, "--cgroup-parent", "user.slice", code=1)

    assert "--cgroup-parent" in failed.err


def test_groups_of_a_killed_build(pybuild: Pybuild, write: Write, known: set[int]) -> None:
    """What a killed build leaves of control groups is gone after the next command."""
    context = write("FROM busybox\nRUN echo begun; sleep 1000\n")
    building = pybuild.start("build", "--progress=plain", "--pids-limit", "50", context)
    records = pybuild.root / "cgroups-v1"
    assert building.stderr is not None
    said = line = b""
    while b"begun" not in line or b"RUN" in line:
        said += (line := building.stderr.readline())
        assert line, "the build ended"
    has_record = records.is_dir() and any(records.iterdir())
    building.kill()
    finish(building)
    assert_no_orphan(known)
    pybuild("images")

    assert has_record or not _is_enforced(said.decode(), "--pids-limit")
    assert not records.is_dir() or list(records.iterdir()) == []


def test_no_cache_filter(pybuild: Pybuild, write: Write) -> None:
    """--no-cache-filter runs the steps of the stages it names, and of no other."""
    context = write(
        "FROM busybox AS one\nRUN echo 1\nFROM busybox AS two\nRUN echo 2\nCOPY --from=one /bin /b\n"
    )
    pybuild.build(context)
    built = pybuild.build(context, "--no-cache-filter", "ONE,none")
    both = pybuild.build(context, "--no-cache", "--no-cache-filter=one", code=1)

    states = {name.partition("] ")[2]: state for name, state in built.steps.items()}
    assert (states["RUN echo 1"], states["RUN echo 2"]) == ("DONE", "CACHED")
    assert 'no stage is called "none"' in built.err
    assert "exclude each other" in both.err


def test_build_arg_file(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """--build-arg-file has an argument on each line; --build-arg counts more; a missing file is an error."""
    context = write("FROM busybox\nARG A=0\nARG B=0\nARG C=0\nARG D=0\nRUN echo $A $B $C $D > /out\n")
    (tmp_path / "args").write_text("# a comment\n\nA=1=1\r\nB=2\nC\n")
    built = pybuild.build(
        context, "-t", "args", "--build-arg", "B=3", "--build-arg-file", tmp_path / "args", env={"C": "c"}
    )
    failed = pybuild.build(context, "--build-arg-file=none", code=1)

    assert pybuild.run("args", "cat", "/out") == "1=1 3 c 0\n"
    assert "not consumed" not in built.err
    assert '"none"' in failed.err


def test_insecure(pybuild: Pybuild, write: Write) -> None:
    """RUN --security=insecure needs --allow, and then may what a plain RUN may not."""
    context = write(
        "FROM busybox\nUSER 99\nRUN --security=insecure grep CapEff /proc/self/status > /tmp/out; mount\n"
    )
    refused = pybuild.build(context, code=1)
    host = pybuild.build(context, "--allow", "network.host", code=1)
    allowed = pybuild.build(context, "-t", "insecure", "--allow=security.insecure")

    assert "security.insecure is not allowed" in refused.err
    assert "RUN --security=insecure" in refused.err
    assert "not allowed" in host.err
    assert "sysfs on /sys type sysfs (rw" in allowed.err
    assert int(pybuild.run("insecure", "cat", "/tmp/out").split()[1], 16) >> 21 & 1


def test_security_options(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """A filter by default, none or another on demand, for steps and containers; the key stays the same."""
    context = write("FROM busybox\nRUN unshare -m true && echo unshared || grep Seccomp: /proc/self/status\n")
    profile = tmp_path / "profile.json"
    rule = '{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}'
    profile.write_text(f'{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}')
    usual = pybuild.build(context)
    again = pybuild.build(context, "--security-opt", "seccomp=unconfined")
    fixed = pybuild.build(
        context, "--no-cache", "--security-opt=no-new-privileges", "--security-opt=seccomp=unconfined"
    )

    assert "Seccomp:\t2" in usual.err
    assert "CACHED" in again.err
    assert "Seccomp:\t0" in fixed.err  # CAP_SYS_ADMIN is still missing
    shown = ("busybox", "grep", "-E", "Seccomp:|NoNewPrivs", "/proc/self/status")
    assert pybuild.run("--security-opt", "seccomp=unconfined", *shown).split() == [
        "NoNewPrivs:",
        "0",
        "Seccomp:",
        "0",
    ]
    assert pybuild.run("--security-opt", f"seccomp={profile}", *shown).split()[-1] == "2"
    assert pybuild.run("--security-opt", "no-new-privileges:true", *shown).split()[1] == "1"


@pytest.mark.parametrize(
    ("script", "option", "said"),
    [
        (
            "while :; do echo on; sleep 0.1; done",
            "--step-timeout=1s",
            "error[step-timed-out]: the step took longer than 1s",
        ),
        ("exec >&- 2>&-; sleep 1000", "--silence-timeout=500ms", "the step printed nothing for 500ms"),
        ("sleep 1000 & wait", "--timeout=1s", "error[build-timed-out]: the build took longer than 1s"),
    ],
)
def test_time_limits(pybuild: Pybuild, write: Write, script: str, option: str, said: str) -> None:
    """A step that hangs is ended with all that it started, and the error names the option."""
    context = write(f"FROM busybox\nRUN true\nRUN {script}\n")
    failed = pybuild.build(context, "-t", "made", option, code=1)

    assert said in failed.err
    assert option.partition("=")[0] in failed.err
    assert "RUN true\n" in failed.err
    assert pybuild.build(write("FROM busybox\nRUN true\n"), "--timeout=1h", "--step-timeout=1h").steps == {
        "[1/2] FROM docker.io/library/busybox:latest": "CACHED",
        "[2/2] RUN true": "CACHED",
    }


def test_network_host_needs_no_consent(pybuild: Pybuild, write: Write) -> None:
    """RUN --network=host is what every RUN has here; --allow network.host is taken all the same."""
    context = write("FROM busybox\nRUN --network=host true\n")
    pybuild.build(context)
    pybuild.build(context, "--allow", "network.host")


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("--allow=device", "--allow device"),
        ("--allow=all", '"all"'),
        ("--timeout=10", '"10"'),
        ("--step-timeout=-1s", '"-1s"'),
        ("--silence-timeout=soon", '"soon"'),
        ("--security-opt=label=disable", '"label=disable"'),
        ("--security-opt=seccomp=none.json", '"none.json"'),
        ("--add-host=db", '"db"'),
        ("--add-host=db:nowhere", '"nowhere"'),
        ("--ulimit=files=1", '"files"'),
        ("--ulimit=nofile=2:1", "nofile=2:1"),
        ("--shm-size=big", '"big"'),
        ("--memory=1m", "memory limit"),
        ("--memory-swap=64m", "--memory"),
        ("--cpus=none", '"none"'),
        ("--cpu-shares=x", '"x"'),
        ("--cpuset-cpus=all", '"all"'),
        ("--pids-limit=some", '"some"'),
    ],
)
def test_wrong_values(option: str, part: str, pybuild: Pybuild, write: Write) -> None:
    """An error that quotes what is wrong; nothing was built."""
    failed = pybuild.build(write("FROM busybox\nRUN true\n"), "-t", "made", option, code=1)

    assert part in failed.err
    assert BUG not in failed.err
    pybuild("inspect", "made", code=1)


def test_foreign_platform(pybuild: Pybuild, write: Write) -> None:
    """RUN for a processor that is neither this one nor emulated is refused before the first step."""
    plain = write("FROM scratch\nCOPY Dockerfile /\nRUN true\n", name="plain")
    refused = pybuild.build(plain, "--platform", "linux/mips64le", code=1)
    assert "linux/mips64le" in refused.err
    assert "qemu-mips64el" in refused.err
    assert refused.steps == {}


def test_pull_policies(pybuild: Pybuild, write: Write) -> None:
    """missing asks once, always every time, never not even the first time."""
    with FakeRegistry() as registry:
        registry.push_image("app", "1", [], {"config": {"Env": ["A=1"]}})
        context = write(f"FROM {registry.host}/app:1\nLABEL a=b\n")
        never = pybuild.build(context, "--pull=never", code=1)
        at_first = len(registry.requests)
        pybuild.build(context)
        fetched = len(registry.requests)
        pybuild.build(context)
        pybuild.build(context, "--pull=never")
        missing = len(registry.requests)
        pybuild.build(context, "--pull")
        always = len(registry.requests)

    assert registry.host in never.err
    assert at_first == 0 < fetched
    assert missing == fetched < always


def test_run_read_only(pybuild: Pybuild) -> None:
    """run --read-only write-protects the root; --privileged gives all capabilities."""
    pybuild("run", "--rm", "busybox", "touch", "/x")
    failed = pybuild("run", "--rm", "--read-only", "busybox", "touch", "/x", code=1)
    script = "grep CapEff /proc/self/status"
    plain = pybuild("run", "--rm", "busybox", "sh", "-c", script).out
    privileged = pybuild("run", "--rm", "--privileged", "busybox", "sh", "-c", script).out

    assert "Read-only file system" in failed.err
    assert plain != privileged
