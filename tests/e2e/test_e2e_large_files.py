"""Dockerfiles at the bounds: they work, or fail well, within a bounded time and memory."""

from __future__ import annotations

import json

import pytest

from tests.support.cli import Pybuild
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

# CPU seconds and bytes, several times what it takes, and far from what a quadratic reader would need.
BOUNDED = ["prlimit", "--cpu=60", f"--data={200 << 20}"]


def test_longest_line(pybuild: Pybuild, write: Write) -> None:
    """65,535 bytes in a line are read, also of a here-document; one more is an error with its line."""
    for before, after in (("FROM scratch\n", "\n"), ("FROM scratch\nCOPY <<E /f\n", "\nE\n")):
        start = "LABEL a=" if "<<" not in before else ""
        longest = start + "x" * (65_535 - len(start))
        pybuild.build(write(before + longest + after), prefix=BOUNDED)
        failed = pybuild.build(write(before + longest + "x" + after), code=1, prefix=BOUNDED)

        assert "greater than max allowed size of 65535" in failed.err
        assert f"--> Dockerfile:{before.count(chr(10)) + 1}" in failed.err


def test_ten_thousand_lines(pybuild: Pybuild, write: Write) -> None:
    """Of instructions, of one continued instruction, and of a here-document."""
    labels = "".join(f"LABEL l{number}={number}\n" for number in range(10_000))
    continued = "ENV \\\n" + "".join(f"  v{number}={number} \\\n" for number in range(9_999)) + "  end=1\n"
    document = "COPY <<E /f\n" + "a line\n" * 10_000 + "E\n"
    context = write(f"FROM scratch\n{labels}{continued}{document}")
    pybuild.build(context, "-t", "large", prefix=BOUNDED)
    config = pybuild.inspect("large")["Config"]

    assert len(config["Labels"]) == 10_000
    assert len([value for value in config["Env"] if value.startswith("v")]) == 9_999
    assert len(json.loads(pybuild("parse", context / "Dockerfile", "--format", "json").out)) == 10_003


def test_thousand_stages(pybuild: Pybuild, write: Write) -> None:
    """In one chain, beside each other, and most of them for nothing."""
    chain = "FROM scratch AS s0\n" + "".join(
        f"FROM s{number - 1} AS s{number}\nLABEL l{number}=x\n" for number in range(1, 1_000)
    )
    pybuild.build(write(chain), "-t", "chain", prefix=BOUNDED)
    unused = "".join(f"FROM scratch AS u{number}\nCOPY no-such-file /\n" for number in range(999))
    built = pybuild.build(write(unused + "FROM scratch\nLABEL a=b\n"), prefix=BOUNDED)

    assert len(pybuild.inspect("chain")["Config"]["Labels"]) == 999
    assert "no-such-file" not in built.err


def test_hundred_stages_are_read_by_one(pybuild: Pybuild, write: Write) -> None:
    """Each is built once."""
    stages = "".join(f"FROM scratch AS s{number}\nCOPY <<E /{number}\nx\nE\n" for number in range(100))
    copies = "".join(f"COPY --from=s{number} /{number} /\n" for number in range(100))
    built = pybuild.build(write(f"{stages}FROM scratch\n{copies}"), prefix=BOUNDED)

    steps = [state for name, state in built.steps.items() if not name.startswith("[internal]")]
    assert ["DONE"] * 200 == steps


@pytest.mark.parametrize("depth", [100, 100_000])
def test_nested_substitutions(depth: int, pybuild: Pybuild, write: Write) -> None:
    """A hundred levels work; what is deeper than anybody means is refused, in a line and over several."""
    nested = "${a:-" * depth + "end" + "}" * depth
    lines = "\\\n".join(nested[start : start + 60_000] for start in range(0, len(nested), 60_000))
    code = 0 if depth == 100 else 1
    built = pybuild.build(
        write(f"FROM scratch\nLABEL deep={lines}\n"), "-t", "deep", code=code, prefix=BOUNDED
    )

    if code:
        assert built.err.count("error[") == 1
        assert "--> Dockerfile:2" in built.err
    else:
        assert pybuild.inspect("deep")["Config"]["Labels"] == {"deep": "end"}
