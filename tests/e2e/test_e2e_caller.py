"""What the caller happens to be like must not get into layers."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.cli import Pybuild
from tests.support.images import read_archive
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_DOCKERFILE = """\
FROM busybox
COPY . /copied
ADD file /added/deep/file
WORKDIR /made/by/workdir
COPY <<EOF /inline/text
words
EOF
RUN <<EOF
set -e
touch /new
mkdir /dir
umask > /umask
ulimit -a > /limits
env | sort > /env
pwd > /pwd
grep Sig[^Q] /proc/self/status > /signals
id > /id
cat /proc/self/oom_score_adj > /oom
ls /proc/self/fd > /fds
EOF
"""


class _Caller(NamedTuple):
    name: str
    before: Callable[[], object] | None = None
    env: dict[str, str] = {}  # noqa: RUF012 (never written)
    prefix: Sequence[str] = ()


def _deleted_directory() -> None:
    os.mkdir("/tmp/pybuild-gone-" + str(os.getpid()))
    os.chdir("/tmp/pybuild-gone-" + str(os.getpid()))
    os.rmdir("/tmp/pybuild-gone-" + str(os.getpid()))


def _ignored_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


def _blocked_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD})


def _few_files() -> None:
    """The soft limit only: a lower hard limit could not be raised again without CAP_SYS_RESOURCE."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


_CALLERS = [
    _Caller("umask-077", lambda: os.umask(0o077)),
    _Caller("umask-0", lambda: os.umask(0)),
    _Caller("locale-C", env={"LANG": "C", "LC_ALL": "C"}),
    _Caller("locale-german", env={"LC_ALL": "de_DE.ISO-8859-1", "LANGUAGE": "de"}),
    _Caller("closed-stdin", lambda: os.close(0)),
    _Caller("nice", lambda: os.nice(7)),
    _Caller("few-files", _few_files),
    _Caller("no-core", lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0))),
    _Caller("deleted-cwd", _deleted_directory),
    _Caller("ignored-signals", _ignored_signals),
    _Caller("blocked-signals", _blocked_signals),
    _Caller("environment", env={"FOO": "leak", "http_proxy": "http://127.0.0.1:1", "TMPDIR": "/nowhere"}),
    _Caller("time-zone", env={"TZ": "Pacific/Auckland", "SOURCE_DATE_EPOCH": ""}),
    _Caller("new-session", os.setsid),
    _Caller("extra-descriptor", lambda: os.dup2(os.open("/etc/passwd", os.O_RDONLY), 77)),
]  # fmt: skip


def _context(write: Write) -> Path:
    """With names and contents in no encoding, and modes that a umask would change."""
    context = write(_DOCKERFILE, {"file": "file", "sub/other": "other", ".dockerignore": "Dockerfile\n"})
    with open(os.fsencode(context) + b"/caf\xe9 \xff\n", "wb") as file:
        file.write(b"bytes")
    os.chmod(context / "file", 0o666)
    os.chmod(context / "sub", 0o777)
    return context


@pytest.mark.parametrize("caller", _CALLERS, ids=lambda caller: caller.name)
def test_caller_does_not_leak(caller: _Caller, pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """The image of an odd caller is the image of a plain one, times aside."""
    context = _context(write)
    pybuild.build(context, "-t", "plain")
    pybuild.build(
        context, "--no-cache", "-t", "odd", env=caller.env, before=caller.before, prefix=caller.prefix
    )
    plain, odd = (read_archive(pybuild.save(name, tmp_path / f"{name}.tar")) for name in ("plain", "odd"))

    for path in ("umask", "limits", "env", "pwd", "signals", "id", "oom", "fds"):
        assert (path, plain.text(path)) == (path, odd.text(path))
    assert plain.tree() == odd.tree()
    assert plain.description == odd.description


def test_caller_does_not_leak_into_the_cache(pybuild: Pybuild, write: Write) -> None:
    """After a plain build every odd caller finds every step in the cache, and gets the same id."""
    context = _context(write)
    first = pybuild.build(context)
    for caller in _CALLERS:
        again = pybuild.build(context, env=caller.env, before=caller.before, prefix=caller.prefix)

        assert (caller.name, first.image) == (caller.name, again.image)


def test_copied_modes_are_those_of_the_context(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """A umask takes nothing from COPY, WORKDIR, ADD and RUN, and the user's owners do not travel."""
    context = _context(write)
    os.chown(context / "file", 1234, 1234)
    pybuild.build(context, "-t", "modes", before=lambda: os.umask(0o077))
    tree = read_archive(pybuild.save("modes", tmp_path / "modes.tar")).tree()

    modes = {
        path: oct(tree[path].mode)
        for path in ("copied/file", "copied/sub", "made/by", "added/deep", "new", "dir")
    }
    assert modes == {
        "copied/file": "0o666", "copied/sub": "0o777", "made/by": "0o755", "added/deep": "0o755",
        "new": "0o644",        "dir": "0o755",
    }  # fmt: skip
    assert {(0, 0)} == {node.owner for node in tree.values()}


def test_clock_set_back(pybuild: Pybuild, write: Write) -> None:
    """Files and records that seem to be of the future are no reason to run or to fail."""
    context = write("FROM busybox\nCOPY file /file\nRUN cp /file /copy\n", {"file": "one"})
    future = 4_000_000_000
    os.utime(context / "file", (future, future))
    first = pybuild.build(context)
    second = pybuild.build(context)
    (context / "file").write_text("two")
    os.utime(context / "file", (future, future))
    third = pybuild.build(context, "-t", "third")

    assert first.image == second.image
    assert first.image != third.image
    assert pybuild.run("third", "cat", "/copy") == "two"
