"""RUN --mount, from the command line to the image."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from tests.support.cli import BUG, Pybuild, finish
from tests.support.images import layer_names, read_archive
from tests.support.stores import Write

pytestmark = pytest.mark.e2e


def _tree(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]


def test_context_is_shown_and_not_touched(pybuild: Pybuild, write: Write) -> None:
    """A private copy: writes are refused or dropped, ignored files are not there, the folder stays."""
    context = write(
        "FROM busybox\nRUN --mount=target=/r --mount=target=/w,rw --mount=source=d/f,target=/f,rw"
        " ! touch /r/x && touch /w/x && rm /w/d/f && echo more >> /f && cat /f > /said && ls /r >> /said\n"
        "RUN --mount=target=/w cat /w/d/f >> /said\n",
        {"d/f": "text\n", "hidden": "", ".dockerignore": "hidden\n.dockerignore\n"},
    )
    pybuild.build(context, "-t", "x")

    assert ["text", "more", "Dockerfile", "d", "text"] == pybuild.run("x", "cat", "/said").split()
    assert "text\n" == (context / "d/f").read_text()
    assert not (context / "x").exists()


def test_bind_counts_by_content(pybuild: Pybuild, write: Write) -> None:
    """Another content runs the step, another time or another file elsewhere does not."""
    text = (
        "FROM busybox AS made\nARG how\nRUN echo $how > /how; echo same > /same\n"
        "FROM busybox\nRUN --mount=source=a,target=/a --mount=from=made,source=/same,target=/s cp /a /b\n"
    )
    context = write(text, {"a": "1", "other": "1"})
    pybuild.build(context, "--build-arg", "how=1")
    write(text, {"other": "2"})
    os.utime(context / "a", (5, 5))
    again = pybuild.build(context, "--build-arg", "how=2")
    write(text, {"a": "2"})
    changed = pybuild.build(context, "--build-arg", "how=2")

    assert "CACHED" == next(state for name, state in again.steps.items() if "cp /a" in name)
    assert "DONE" == next(state for name, state in changed.steps.items() if "cp /a" in name)


def test_missing_sources(pybuild: Pybuild, write: Write) -> None:
    """Of the context with a near name, of a stage, and an ignored one with its rule."""
    for flags, word in (
        ("source=tecst", 'did you mean "text"?'),
        ("from=busybox,source=/nowhere", '"/nowhere" is not in the stage or image'),
        ("source=hidden", 'excluded by "hidden"'),
    ):
        context = write(
            f"FROM busybox\nRUN --mount={flags},target=/x true\n",
            {"text": "", "hidden": "", ".dockerignore": "hidden"},
        )
        failed = pybuild.build(context, code=1)

        assert "mount source" in failed.err
        assert word in failed.err
        assert BUG not in failed.err


def test_links_of_a_source_end_in_its_tree(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """A stage, and a context, whose source is a link to the host's root (CVE-2024-1753)."""
    (tmp_path / "canary").touch()
    context = write(
        "FROM busybox AS evil\nRUN ln -s / /link && ln -s ../../../../../.. /up\nFROM busybox\n"
        "RUN --mount=from=evil,source=/link,target=/a,rw --mount=from=evil,source=/up,target=/b"
        f" --mount=source=c,target=/c,rw ls /a /b /c > /said; touch /a/new; ls -d {tmp_path}/canary; true\n"
        "RUN --mount=from=evil,target=/a ! test -e /a/new\n"
    )
    (context / "c").symlink_to("/")
    pybuild.build(context, "-t", "x")
    said = pybuild.run("x", "cat", "/said").split()

    assert said.count("bin") == 2
    assert "Dockerfile" in said
    assert "canary" not in said
    assert not Path("/new").exists()


def test_mount_points_stay_out_of_the_layer(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Neither they nor their parents; what the step puts beside them does."""
    flags = "--mount=type=cache,target=/a/b/c --mount=type=tmpfs,target=/usr/x"
    flags += " --mount=type=secret,id=s,target=/etc/s"
    (pybuild.home / "s").write_text("x")
    pybuild.build(
        write(f"FROM busybox\nRUN {flags} touch /a/b/c/y /usr/x/y\nRUN {flags} touch /a/b/kept\n"),
        "-t", "x", "--secret", f"id=s,src={pybuild.home}/s",
    )  # fmt: skip
    image = read_archive(pybuild.save("x", tmp_path / "x.tar"))
    first, second = (sorted(name.strip("/") for name in layer_names(layer)) for layer in image.layers[-2:])

    assert ([], ["a", "a/b", "a/b/kept"]) == (first, second)


def test_links_for_mount_points(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """A step that leaves a link in a mount point's way deletes nothing outside (CVE-2024-23652)."""
    (tmp_path / "victim/b").mkdir(parents=True)
    context = write(
        "FROM busybox\nRUN --mount=type=cache,target=/a/b"
        f" mv /a /moved && ln -s {tmp_path}/victim /a && ln -s /etc /e\n"
        "RUN --mount=type=tmpfs,target=/e/t --mount=type=cache,target=/a/b touch /e/t/x\n"
        "RUN ! test -e /etc/t\n"
    )
    pybuild.build(context)

    assert (tmp_path / "victim/b").is_dir()


def test_cache_outlives_builds(pybuild: Pybuild, write: Write) -> None:
    """By id; without the step's cache too, unless it has a mode or owner; never in the image."""
    text = (
        "FROM busybox\nRUN --mount=type=cache,target=/c echo x >> /c/n; wc -l < /c/n > /plain\n"
        "RUN --mount=type=cache,id=/c,target=/d,mode=0700 echo x >> /d/n; wc -l < /d/n > /moded\n"
        "RUN --mount=type=cache,id=/c,target=/e cat /e/n | wc -l > /same\n"
    )
    context = write(text)
    for expected in (["1", "1", "1"], ["2", "1", "2"]):
        pybuild.build(context, "-t", "x", "--no-cache")

        assert expected == pybuild.run("x", "cat", "/plain", "/moded", "/same").split()
    assert "" == pybuild.run("x", "sh", "-c", "ls -d /c /d /e 2>/dev/null; true")


def test_cache_content_mode_and_owner(pybuild: Pybuild, write: Write) -> None:
    """First content from a stage, with its owners; uid and mode of the directory itself."""
    context = write(
        "FROM busybox AS seed\nRUN mkdir -p /s/in && echo hello > /s/in/f && chown 7:8 /s/in/f\n"
        "FROM busybox\n"
        "RUN --mount=type=cache,target=/c,from=seed,source=/s/in,uid=5,mode=0700"
        " --mount=type=cache,target=/p,id=plain --mount=type=cache,target=/o,id=plain,ro"
        " stat -c '%a %u %g' /c /c/f /p > /said; cat /c/f >> /said;"
        " touch /p/x; ls /o >> /said; ! touch /o/y\n"
        "RUN --mount=type=cache,id=plain,source=sub,target=/c true || true\n"
    )
    failed = pybuild.build(context, code=1)
    assert "subpath" in failed.err
    write(context.joinpath("Dockerfile").read_text().rpartition("RUN")[0])
    pybuild.build(context, "-t", "x")

    assert ["700 5 0", "644 7 8", "755 0 0", "hello", "x"] == pybuild.run("x", "cat", "/said").splitlines()


def test_new_cache_belongs_to_who_writes_there(pybuild: Pybuild, write: Write) -> None:
    """It has owner and mode of the directory below it; without one it is the step's user's."""
    context = write(
        "FROM busybox\nRUN mkdir -m 2770 /home/app && chown 5:6 /home/app && mkdir /said && chmod 777 /said\n"
        "USER 7:8\n"
        "RUN --mount=type=cache,target=/home/app --mount=type=cache,target=/new/dir"
        " --mount=type=cache,target=/given,id=given,uid=9"
        " stat -c '%a %u %g' /home/app /new/dir /given > /said/it\n"
    )
    pybuild.build(context, "-t", "x")

    assert ["2770 5 6", "755 7 8", "755 9 0"] == pybuild.run("x", "cat", "/said/it").splitlines()


def _both(sharing: str, meet: str) -> str:
    return (
        "".join(
            f"FROM busybox AS {name}\nRUN --mount=type=cache,id=c,target=/c,sharing={sharing}"
            f" {meet} && echo {name} > /{name}\n"
            for name in "ab"
        )
        + "FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )


def test_locked_cache_has_one_step_at_a_time(pybuild: Pybuild, write: Write) -> None:
    """Each finds that nobody is in, though both could run at once."""
    work = "for i in 1 2 3 4 5 6 7 8 9; do ls -R /bin > /dev/null; done"
    meet = f"test ! -e /c/in && touch /c/in && {{ {work}; }} && rm /c/in"
    done = pybuild.build(write(_both("locked", meet)))

    assert 2 == sum("DONE" == state for name, state in done.steps.items() if "RUN" in name)


def test_shared_cache_has_both(pybuild: Pybuild, write: Write) -> None:
    """Two steps meet in it: each waits for the other's file."""
    meet = "mkfifo /c/p 2> /dev/null; if mkdir /c/first; then echo hi > /c/p; else cat /c/p; fi"
    pybuild.build(write(_both("shared", meet)))


def test_waiting_is_said(pybuild: Pybuild, write: Write) -> None:
    """The step's output names who holds the cache, at once."""
    meet = "if mkfifo /c/p; then cat /c/p; fi"
    context = write(f"FROM busybox\nRUN --mount=type=cache,id=c,target=/c,sharing=locked {meet}\n")
    build = ("build", "--no-cache", "--progress", "plain", context)
    first = pybuild.start(*build)
    while not (found := list((pybuild.root / "caches-v1").glob("*/0/data/p"))):
        assert first.poll() is None
    second = pybuild.start(*build)
    assert second.stderr is not None
    said = b""
    while b"waiting for" not in said:
        said = second.stderr.readline()
        assert said
    found[0].write_text("go\n")

    assert (
        f'waiting for the cache mount "c", which is in use by pid {first.pid}, [stage-0 2/2] RUN'
        in said.decode()
    )
    assert [0, 0] == [finish(first).code, finish(second).code]


def test_secret_leaves_no_trace(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Neither in the store, logs, image and its description, nor in another step's /proc."""
    canary = "kanarienvogel-4711"
    (pybuild.home / "file").write_text(canary)
    meet = "mkfifo /c/p /c/q 2> /dev/null; true"
    context = write(
        f"FROM busybox AS base\nRUN --mount=type=cache,id=c,target=/c {meet}\n"
        "FROM base AS one\nRUN --mount=type=cache,id=c,target=/c"
        " --mount=type=secret,id=f --mount=type=secret,id=e,env=E"
        " test $(cat /run/secrets/f) = $E && echo > /c/p && cat /c/q > /dev/null && echo ok > /one\n"
        "FROM base AS two\nRUN --mount=type=cache,id=c,target=/c cat /c/p > /dev/null;"
        " cat /proc/*/environ /proc/*/cmdline /proc/mounts > /seen; ls -la /run >> /seen 2>&1; echo > /c/q\n"
        "FROM busybox\nCOPY --from=one /one /\nCOPY --from=two /seen /\n"
    )
    given = ("--secret", f"id=f,src={pybuild.home}/file", "--secret", "id=e,env=CANARY")
    done = pybuild.build(context, "-t", "x", *given, env={"CANARY": canary})
    archive = pybuild.save("x", tmp_path / "x.tar")
    said = [done.err, done.out, pybuild("inspect", "x").out, pybuild("history", "--no-trunc", "x").out]

    assert not [text for text in said if canary in text]
    assert canary.encode() not in archive.read_bytes()
    assert [] == [path for path in _tree(pybuild.root) if canary.encode() in path.read_bytes()]
    assert "CACHED" in pybuild.build(context, *given, env={"CANARY": "another"}).steps.values()


def test_secret_options(pybuild: Pybuild, write: Write) -> None:
    """Mode, owner, target; without the secret there is no file, and its variable is empty."""
    (pybuild.home / "file").write_text("s3")
    context = write(
        "FROM busybox\nUSER 5\nRUN --mount=type=secret,id=a,target=/x/y,mode=0440,uid=5,gid=6"
        " --mount=type=secret,id=b"
        " --mount=type=secret,id=c,env=C stat -c '%a %u %g' /x/y > /tmp/said; cat /x/y >> /tmp/said;"
        ' ls /run/secrets/b || echo "${C-unset}." >> /tmp/said\n'
    )
    pybuild.build(context, "-t", "x", "--secret", f"id=a,src={pybuild.home}/file")

    assert "440 5 6\ns3.\n" == pybuild.run("x", "cat", "/tmp/said")


@pytest.mark.parametrize(
    ("flags", "given", "code"),
    [
        ("type=secret,id=a,required", (), "secret-missing"),
        ("type=secret,id=a,env=A,required", (), "secret-missing"),
        ("type=secret,id=a", ("--secret", "id=a,src=large"), "unusable-secret"),
        ("type=secret,id=a,env=A", ("--secret", "id=a,src=nul"), "unusable-secret"),
        ("type=ssh,required", (), "agent-missing"),
        ("type=secret,id=a", ("--secret", "id=a,src=nowhere"), "invalid-option"),
    ],
)
def test_refused_secrets(
    flags: str, given: tuple[str, ...], code: str, pybuild: Pybuild, write: Write
) -> None:
    """Each with its code, and without its value."""
    context = write(f"FROM busybox\nRUN --mount={flags} true\n", {"large": "x" * 512_001, "nul": "vogel\0"})
    failed = pybuild.build(context, *given, code=1, cwd=context)

    assert f"error[{code}]" in failed.err
    assert "vogel" not in failed.err
    assert BUG not in failed.err


def test_agent_is_reached(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """The socket is there, with its owner and mode, and leads to the caller's agent; no part of the key."""
    address = tmp_path / "agent"
    context = write(
        "FROM busybox\nRUN --mount=type=ssh,uid=5,mode=0660 stat -c '%a %u %F' $SSH_AUTH_SOCK > /said\n"
        "RUN --mount=type=ssh,id=other echo $SSH_AUTH_SOCK >> /said;"
        " ls $SSH_AUTH_SOCK || echo none >> /said\n"
    )
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(address))
        agent.listen()
        pybuild.build(context, "-t", "x", "--ssh", "default", env={"SSH_AUTH_SOCK": str(address)})
    said = pybuild.run("x", "cat", "/said").splitlines()

    assert "660 5 socket" == said[0]
    assert ["/run/buildkit/ssh_agent.0", "none"] == said[-2:]
    assert "CACHED" in pybuild.build(context).steps.values()


_AGENT = """\
#!{python}
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[sys.argv.index("-a") + 1])
listener.listen()
print("listening", flush=True)
while True:
    client, _ = listener.accept()
    client.close()
"""


def _program(directory: Path, name: str, text: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text)
    (directory / name).chmod(0o755)


def test_keys_get_an_agent(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """It is started for the build, holds the keys, and ends with it; what is wrong with them is said."""
    context = write("FROM busybox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK\n", {"key": "a key"})
    tools = tmp_path / "tools"
    path = {"PATH": f"{tools}:/usr/bin:/bin"}
    _program(tools, "ssh-agent", _AGENT.format(python=sys.executable))
    _program(tools, "ssh-add", "#!/bin/sh\necho bad key >&2; exit 1\n")
    refused = pybuild.build(context, "--ssh", f"default={context}/key", env=path, code=1)
    _program(tools, "ssh-add", '#!/bin/sh\ntest "$1" = -- && test -S "$SSH_AUTH_SOCK" && grep -q key "$2"\n')
    pybuild.build(context, "--ssh", f"default={context}/key", env=path)

    assert "error[agent-unavailable]" in refused.err
    assert "bad key" in refused.err


def test_keys_without_ssh(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """A machine that lacks the program: the error names it."""
    context = write("FROM busybox\nRUN --mount=type=ssh true\n", {"key": "a key"})
    failed = pybuild.build(context, "--ssh", f"default={context}/key", env={"PATH": str(tmp_path)}, code=1)

    assert "error[agent-unavailable]" in failed.err
    assert "ssh-agent" in failed.err
