"""A shell inside a step: before it, after it, and in what a failed one left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.cli import Outcome, Pybuild
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_DOCKERFILE = """\
FROM busybox AS other
RUN echo of the other > /other
FROM busybox
WORKDIR /work
ARG GIVEN=none
ENV WHO=me
COPY file /file
RUN --mount=from=other,target=/mnt --mount=type=secret,id=word \\
    echo one > /one
USER nobody
RUN echo part > /tmp/part; [ -e /file ] && false
"""


@pytest.fixture
def failed(pybuild: Pybuild, write: Write) -> Path:
    """A project whose last step fails, built once."""
    context = write(_DOCKERFILE, {"file": "text\n", "word": "hush"})
    outcome = pybuild.build(
        context, "--secret", f"id=word,src={context / 'word'}", "--build-arg", "GIVEN=yes", code=1
    )
    assert "error[step-failed]" in outcome.err
    return context


def shell(pybuild: Pybuild, *words: str | Path, command: str, code: int = 0) -> str:
    return pybuild("shell", *words, "-c", command, code=code).out


def test_what_a_failed_step_left(pybuild: Pybuild, failed: Path) -> None:
    """Its files, with its user, folder, variables and arguments; and its exit code is ours."""
    said = shell(pybuild, "11", command="cat /tmp/part; whoami; pwd; echo $WHO $GIVEN; cat /one /file")
    assert said.split("\n") == ["part", "nobody", "/work", "me yes", "one", "text", ""]
    shell(pybuild, "11", command="exit 7", code=7)
    # Nothing of it stays.
    shell(pybuild, "11", command="echo more >> /tmp/part")
    assert shell(pybuild, "latest", "11", command="cat /tmp/part") == "part\n"


def test_before_and_after(pybuild: Pybuild, failed: Path) -> None:
    """The same step, as it found the files and as it left them; a COPY has the variables of its stage."""
    assert (
        shell(pybuild, "7", command="cat /file; echo $WHO; ls /one 2> /dev/null || pwd")
        == "text\nme\n/work\n"
    )
    assert shell(pybuild, "7", "--before", command="ls /file 2> /dev/null || echo none") == "none\n"
    assert shell(pybuild, "2", command="cat /other") == "of the other\n"


def test_mounts(pybuild: Pybuild, failed: Path) -> None:
    """Trees of other stages, and secrets that are given again."""
    secret = f"id=word,src={failed / 'word'}"
    command = "cat /mnt/other /run/secrets/word"

    assert shell(pybuild, "8", "--secret", secret, command=command) == "of the other\nhush"


def test_a_cached_build_and_an_older_dockerfile(pybuild: Pybuild, failed: Path, write: Write) -> None:
    """Steps that nobody looked at have their files, and a build has the Dockerfile that it had."""
    context = write("FROM busybox\nRUN echo 1 > /a\nRUN echo 2 > /b\n", name="two")
    pybuild.build(context)
    pybuild.build(context)
    assert shell(pybuild, "2", command="ls -d /a /b 2> /dev/null; true") == "/a\n"

    write("FROM busybox\nRUN echo other > /c\n", name="two")
    assert shell(pybuild, "latest", "3", command="cat /a /b") == "1\n2\n"
    assert shell(pybuild, "latest~2", "11", command="cat /tmp/part") == "part\n"


def test_refusals(pybuild: Pybuild, failed: Path, write: Write) -> None:
    """No such step, several of them, a step that never ran, and files that were pruned."""

    def refused(*words: str) -> str:
        return pybuild("shell", *words, "-c", "true", code=1).err

    assert "error[step-not-found]" in refused("99")
    assert "error[step-ambiguous]" in refused("RUN")
    pybuild.build(write("FROM busybox\nRUN false\nRUN echo never\n", name="early"), code=1)
    assert "error[step-gone]" in refused("3")
    pybuild("prune", "-f", "--filter", "type=failed-step")
    assert "error[step-gone]" in refused("2")
    assert "error[build-not-found]" in refused("nope", "2")
    pybuild("build", "-", input=b"FROM busybox\nRUN echo > /x\n")
    assert "error[build-not-repeatable]" in refused("2")


def test_on_fail(pybuild: Pybuild, write: Write) -> None:
    """A shell at once, which reads what is typed; nothing kept; or kept, as usual."""
    context = write("FROM busybox\nENV WHO=me\nRUN echo part > /part; false\n")

    def build(how: str, typed: bytes = b"") -> Outcome:
        return pybuild.build(context, "--on-fail", how, code=1, input=typed)

    def kept() -> int:
        return len(os.listdir(pybuild.root / "failed-v1"))

    outcome = build("shell", b"cat /part; echo $WHO\n")
    assert outcome.out == "part\nme\n"
    assert "error[step-failed]" in outcome.err
    assert kept() == 1
    build("drop")
    assert kept() == 1
    build("keep")
    assert kept() == 2
    assert "error[invalid-option]" in build("ask").err
