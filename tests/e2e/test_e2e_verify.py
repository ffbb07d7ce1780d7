"""`verify`: what builds the same twice, and for what does not, the path and the step."""

from __future__ import annotations

import os

import pytest

from tests.support.cli import Outcome, Pybuild
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

ENV = {"SOURCE_DATE_EPOCH": "1600000000"}
_ONCE = "head -c 8 /dev/urandom | od -An -tx1 | tr -d ' '"


def _below(outcome: Outcome, step: str) -> list[str]:
    """The lines under the one layer that this step made."""
    lines = outcome.out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("layer ") and step in line)
    rest = lines[at + 1 :]
    return rest[: next((i for i, line in enumerate(rest) if not line.startswith("  ")), len(rest))]


def _verify(pybuild: Pybuild, context: object, *options: str, code: int = 0, **more: object) -> Outcome:
    return pybuild("verify", "--progress", "plain", *options, str(context), code=code, **more)  # type: ignore[arg-type]  # as given


def test_reproducible_project(pybuild: Pybuild, write: Write) -> None:
    """Nobody gave an epoch, which the verdict says; every step ran twice, and nothing is left of it."""
    context = write(
        "FROM busybox AS made\nRUN echo built > /made && umask > /umask\n"
        "FROM busybox\nWORKDIR /srv\nCOPY . .\nCOPY --from=made /made /umask /from/\nRUN rm /etc/group\n",
        {"a/b": "1"},
    )
    before = pybuild("images", "-aq").out
    outcome = _verify(pybuild, context)

    assert "identical: sha256:" in outcome.out
    assert "SOURCE_DATE_EPOCH=0 (assumed" in outcome.out
    assert 2 == outcome.err.count("RUN rm /etc/group\n")
    assert before == pybuild("images", "-aq").out
    assert [] == os.listdir(pybuild.root / "tmp")


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("RUN date > /built", "  /built: content"),
        (f"RUN {_ONCE} > /random", "  /random: content"),
        (f"RUN mkdir /d && cd /d && touch x$({_ONCE})", "missing from the first build"),
        ("RUN touch /f && chmod $(date +%s | tail -c 4 | tr 89 01) /f", "  /f: mode"),
        (f"RUN ln -s $({_ONCE}) /link", "  /link: target"),
        (f"RUN mkfifo /p && chown $(printf %d 0x$({_ONCE} | cut -c1-6)) /p", "  /p: owner"),
    ],
)
def test_what_differs_is_told_with_its_step(pybuild: Pybuild, write: Write, step: str, line: str) -> None:
    """The path, in what it differs, and the line that made it; the steps beside it are not named."""
    context = write(f"FROM busybox\nRUN echo same > /same\n{step}\nRUN echo same > /above\n")
    outcome = _verify(pybuild, context, code=1)

    assert any(found.endswith(line) for found in _below(outcome, step.removeprefix("RUN ")))
    assert 1 == outcome.out.count("layer ")
    assert "error[not-reproducible]" in outcome.err
    assert "more than times" in outcome.err


def test_times_that_are_not_rewritten(pybuild: Pybuild, write: Write) -> None:
    """With an epoch that is given, and no --rewrite-timestamp, times are those of the steps."""
    context = write("FROM busybox\nRUN touch /f\n")
    outcome = _verify(pybuild, context, code=1, env=ENV)

    assert "  /f: mtime" in _below(outcome, "touch /f")
    assert "only in times" in outcome.err
    assert "--rewrite-timestamp" in outcome.err
    assert "identical" in _verify(pybuild, context, "--rewrite-timestamp", env=ENV).out


def test_against_an_image(pybuild: Pybuild, write: Write) -> None:
    """At the epoch that it was built with, which nobody needs to repeat; a changed file is found."""
    context = write("FROM busybox\nCOPY f /f\nRUN touch /g\n", {"f": "1"})
    pybuild.build(context, "-t", "app", "--rewrite-timestamp", env=ENV)
    same = _verify(pybuild, context, "-t", "app")
    (context / "f").write_text("2")
    other = _verify(pybuild, context, "-t", "app", code=1)

    assert "identical" in same.out
    assert "SOURCE_DATE_EPOCH=1600000000" in same.out
    assert ["  /f: content"] == _below(other, "COPY f /f")


def test_against_an_image_without_epoch(pybuild: Pybuild, write: Write) -> None:
    """Times cannot agree, and what to do is said; what is more than a time comes first."""
    context = write("FROM busybox\nRUN touch /a /b /c /d /e\nCOPY z /z\n", {"z": "1"})
    pybuild.build(context, "-t", "app")
    times = _verify(pybuild, context, "-t", "app", code=1)
    (context / "z").chmod(0o600)
    modes = _verify(pybuild, context, "-t", "app", code=1)

    assert _below(times, "touch")[0].endswith(": mtime")
    assert "built without SOURCE_DATE_EPOCH" in times.err
    assert "only in times" in times.err
    assert "  /z: mode" in _below(modes, "COPY z /z")
    assert "more than times" in modes.err


def test_what_cannot_be_verified(pybuild: Pybuild, write: Write) -> None:
    """Standard input, an image that is not there, and a build that fails, with its own error."""
    context = write("FROM busybox\nRUN echo no && false\n")

    assert "error[not-repeatable]" in pybuild("verify", "-", code=1, input=b"FROM busybox\n").err
    assert "error[image-not-found]" in _verify(pybuild, context, "-t", "nothing", code=1).err
    failed = _verify(pybuild, context, code=1)
    assert "RUN echo no && false" in failed.err
    assert "not-reproducible" not in failed.err
