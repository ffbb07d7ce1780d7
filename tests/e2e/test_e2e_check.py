"""`pybuild check`, and what builds say of build checks and of several mistakes."""

from __future__ import annotations

import json

import pytest

from tests.support.cli import Pybuild
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

FINDING = "FROM busybox\nWORKDIR app\nCMD true\n"


def test_clean_file(pybuild: Pybuild, write: Write) -> None:
    """Exit code 0."""
    done = pybuild("check", write("FROM busybox\nWORKDIR /app\n"))

    assert done.out == "nothing found\n"


def test_findings(pybuild: Pybuild, write: Write) -> None:
    """Exit code 1, on standard output, and nothing was built."""
    done = pybuild("check", write(FINDING), code=1)

    assert "warning[WorkdirRelativePath]" in done.out
    assert done.out.endswith("2 warnings found\n")
    assert "busybox" in pybuild("images").out
    assert len(pybuild("images", "-q").out.split()) == 1


def test_build_with_check(pybuild: Pybuild, write: Write) -> None:
    """The same as `check`; Docker's spelling with a value works too."""
    context = write(FINDING)

    assert pybuild("build", "--check", context, code=1).out == pybuild("check", context, code=1).out
    assert pybuild("build", "--check=false", context).code == 0


def test_formats(pybuild: Pybuild, write: Write) -> None:
    """JSON is one document; annotations name the file as it is seen from here; others are refused."""
    context = write(FINDING)
    document = json.loads(pybuild("check", "--format", "json", context, code=1).out)
    annotations = pybuild("check", "--format", "github", context.name, cwd=context.parent, code=1).out

    assert [each["ruleName"] for each in document["warnings"]] == [
        "WorkdirRelativePath",
        "JSONArgsRecommended",
    ]
    assert annotations.startswith(f"::warning file={context.name}/Dockerfile,line=2,col=9,")
    assert "invalid-option" in pybuild("check", "--format", "xml", context, code=1).err


def test_options(pybuild: Pybuild, write: Write) -> None:
    """A target narrows the search, a build argument is seen, another file is read."""
    context = write(
        "FROM busybox AS one\nWORKDIR a\nFROM busybox\nARG P=b\nWORKDIR $P\n", {"other": "FROM busybox\n"}
    )

    assert "line 2" not in pybuild("check", "--target", "one", context, code=1).out
    assert "1 warning" in pybuild("check", "--target", "one", context, code=1).out
    assert "1 warning" in pybuild("check", "--build-arg", "P=/b", context, code=1).out
    assert "nothing" in pybuild("check", "-f", context / "other", context).out


def test_builds_show_findings(pybuild: Pybuild, write: Write) -> None:
    """Each once, where it is, and how many; the build goes on."""
    done = pybuild.build(write(FINDING))

    assert done.err.count("warning[WorkdirRelativePath]") == 1
    assert "Dockerfile:2:9" in done.err
    assert "2 warnings found by the build checks" in done.err


def test_error_directive_fails_the_build(pybuild: Pybuild, write: Write) -> None:
    """With the warnings, and the names of the rules."""
    done = pybuild.build(write(f"# check=error=true\n{FINDING}"), code=1)

    assert "warning[WorkdirRelativePath]" in done.err
    assert "lint violation found for rules: JSONArgsRecommended, WorkdirRelativePath" in done.err


def test_ignored_source(pybuild: Pybuild, write: Write) -> None:
    """The check and the error of the build name the rule, both at the word."""
    context = write(
        "FROM busybox\nCOPY here.txt gone.tmp /x/\n",
        {"here.txt": "", "gone.tmp": "", ".dockerignore": "*.tmp\n"},
    )
    checked = pybuild("check", context, code=1).out
    built = pybuild.build(context, code=1).err

    assert "warning[CopyIgnoredFile]" in checked
    for text in (checked, built[built.index("error[copy-source-missing]") :]):
        assert "Dockerfile:2:15" in text
        assert '"*.tmp", line 1 of .dockerignore' in text


def test_near_source(pybuild: Pybuild, write: Write) -> None:
    """A misspelt source is marked itself, not its line, with what was meant."""
    done = pybuild.build(write("FROM busybox\nCOPY a.txt b.txtt /x/\n", {"a.txt": "", "b.txt": ""}), code=1)

    assert 'COPY source "b.txtt" is not in the build context' in done.err
    assert "Dockerfile:2:12\n 2 | COPY a.txt b.txtt /x/\n   |            ^^^^^^\n" in done.err
    assert 'did you mean "b.txt"?' in done.err


def test_several_mistakes(pybuild: Pybuild, write: Write) -> None:
    """Each with its own excerpt; exit code 1."""
    done = pybuild.build(write("FROM busybox\nCOPPY a b\nEXPOSE 99999\nRUN --mout=x y\n"), code=1)

    assert [line for line in done.err.splitlines() if line.startswith("  --> ")] == [
        "  --> Dockerfile:2:1", "  --> Dockerfile:3:8", "  --> Dockerfile:4:5",
    ]  # fmt: skip
    assert done.err.endswith("3 errors\n")
