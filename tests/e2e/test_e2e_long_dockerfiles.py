"""Dockerfiles of a size that nobody writes by hand: read and built in bounded memory and processor time."""

from __future__ import annotations

import json

import pytest

from tests.support.cli import Pybuild
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

# Whoever gets slower than linear runs into these, not into a clock.
LIMITS = ["prlimit", f"--data={150 << 20}", "--cpu=20"]


def nested(depth: int) -> str:
    return "${a:-" * depth + "x" + "}" * depth


LONG = {
    "longest line": ("LABEL a=" + "x" * (65_535 - len("LABEL a=")) + "\n", 2),
    "longest line of a heredoc": (f"COPY <<E /x\n{'x' * 65_535}\nE\n", 2),
    "ten thousand lines": ("".join(f"LABEL k{n}=v\n" for n in range(10_000)), 10_001),
    "thousands of heredocs": ("COPY <<E /x\n\nE\n" * 4_000, 4_001),
    "as many heredocs as a line takes": ("RUN " + "<<E " * 13_000 + "\n" + "E\n" * 13_000, 2),
    "long heredoc": ("COPY <<E /x\n" + "line\n" * 100_000 + "E\n", 2),
    "continuations": ("RUN true \\\n" + "x \\\n" * 100_000 + "y\n", 2),
    "continued pairs": ("LABEL a=b \\\n" + "x=y \\\n" * 20_000 + "z=w\n", 2),
    "comments between continuations": ("LABEL a=b \\\n" + "#\n" * 100_000 + "c=d\n", 2),
    "a hundred nested": (f"LABEL a={nested(100)}\n", 2),
    "a shell's own nesting": (f"RUN echo {nested(10_000)}\n", 2),
}


@pytest.mark.parametrize(("lines", "count"), LONG.values(), ids=LONG.keys())
def test_is_read(lines: str, count: int, pybuild: Pybuild, write: Write) -> None:
    """Every instruction is there, and a check finds nothing."""
    context = write(f"FROM scratch\n{lines}")
    parsed = pybuild("parse", context / "Dockerfile", prefix=LIMITS)
    pybuild("check", context, prefix=LIMITS)

    assert count == len(json.loads(parsed.out))


TOO_LONG = {
    "line": ("LABEL a=" + "x" * (65_536 - len("LABEL a=")) + "\n", "max allowed size of 65535", 2),
    "line of a heredoc": (f"COPY <<E /x\n{'x' * 65_536}\nE\n", "max allowed size of 65535", 3),
    "nesting": (f"LABEL a={nested(101)}\n", 'more than 100 "${" in one another', 2),
    "deep nesting": (f"LABEL a={nested(10_000)}\n", 'more than 100 "${" in one another', 2),
    "nesting in a heredoc": (f"COPY <<E /x\n{nested(10_000)}\nE\n", 'more than 100 "${" in one another', 2),
    "brackets": ("RUN " + "[" * 60_000 + "\n", "must be comprised of strings only", 2),
}


@pytest.mark.parametrize(("lines", "message", "line"), TOO_LONG.values(), ids=TOO_LONG.keys())
def test_is_too_long(lines: str, message: str, line: int, pybuild: Pybuild, write: Write) -> None:
    """Beyond a limit there is one error, which says where."""
    context = write(f"FROM scratch\n{lines}")
    checked = pybuild("check", context, code=1, prefix=LIMITS)
    built = pybuild("build", context, code=1, prefix=LIMITS)

    for shown in (checked.out + checked.err, built.err):
        assert message in shown
        assert f"Dockerfile:{line}" in shown
        assert "Traceback" not in shown
    assert built.err.count("error[") == 1


def test_a_thousand_stages_upon_each_other(pybuild: Pybuild, write: Write) -> None:
    """All of them are needed, by FROM and by COPY --from, and each is built once."""
    stages = ["FROM scratch AS s0\nCOPY Dockerfile /f0\n"]
    for n in range(1, 1000):
        base = "scratch" if n % 10 else f"s{n - 1}"
        stages.append(f"FROM {base} AS s{n}\nCOPY --from=s{n - 1} /f{n - 1} /f{n}\n")
    context = write("".join(stages))
    pybuild("check", context, prefix=LIMITS)
    built = pybuild("build", "--progress", "plain", context, prefix=LIMITS)

    copied = [name for name, state in built.steps.items() if "COPY" in name and state == "DONE"]
    assert len(copied) == 1000


def test_a_thousand_stages_that_nobody_needs(pybuild: Pybuild, write: Write) -> None:
    """Only the last one is built."""
    stages = "".join(f"FROM scratch AS s{n}\nCOPY Dockerfile /f{n}\n" for n in range(999))
    context = write(f"{stages}FROM scratch\nCOPY Dockerfile /last\n")
    pybuild("check", context, prefix=LIMITS)
    built = pybuild("build", "--progress", "plain", context, prefix=LIMITS)

    assert ["[stage-999 1/1] COPY Dockerfile /last"] == [name for name in built.steps if "COPY" in name]
