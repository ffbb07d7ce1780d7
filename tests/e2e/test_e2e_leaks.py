"""A secret that a step leaves behind fails the build."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.stores import Write

pytestmark = [pytest.mark.e2e, pytest.mark.sandbox]

_TOKEN = "tok-4f9a8b7c6d5e"
_USE = "RUN --mount=type=secret,id=token"


@pytest.fixture
def secret(tmp_path: Path) -> tuple[str, str]:
    """The option that gives it."""
    (tmp_path / "token").write_text(f"{_TOKEN}\n")
    return "--secret", f"id=token,src={tmp_path}/token"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{_USE} mkdir -p /root && cp /run/secrets/token /root/.npmrc", 'the file "/root/.npmrc"'),
        (
            f"{_USE} (echo -n user:; cat /run/secrets/token) | base64 > /auth",
            'is in base64 in the file "/auth"',
        ),
        (f"{_USE},env=TOKEN echo token is $TOKEN", "the output"),
        (f"{_USE} true\nCOPY .npmrc /app/", 'the file "/app/.npmrc"'),
    ],
    ids=["file", "base64", "log", "copied"],
)
def test_a_leak(pybuild: Pybuild, write: Write, secret: tuple[str, str], line: str, said: str) -> None:
    """The error names secret, path, step and line; nothing is tagged, nothing of it is cached or logged."""
    context = write(f"FROM busybox\n{line}\nRUN true\n", {".npmrc": f"//npm/:_authToken={_TOKEN}"})
    failed = pybuild.build(context, "-t", "app", *secret, code=1)
    again = pybuild.build(context, "-t", "app", *secret, code=1)

    assert "error[secret-leaked]" in failed.err
    assert 'the secret "token" is' in failed.err
    assert said in failed.err
    assert line.splitlines()[-1][:20] in failed.err
    assert "error[secret-leaked]" in again.err
    assert pybuild("images", "-q").out.count("\n") == 1  # busybox
    logs = [path for path in pybuild.root.rglob("*.log") if _TOKEN in path.read_text()]
    assert logs == []


def test_a_proper_use(pybuild: Pybuild, write: Write, secret: tuple[str, str]) -> None:
    """What is only read leaves nothing, and a hash of it tells nothing."""
    context = write(f"FROM busybox\n{_USE} sha256sum /run/secrets/token > /sum && rm -f /run/x\n")
    pybuild.build(context, "-t", "app", *secret)
    again = pybuild.build(context, "-t", "app", *secret)

    assert _TOKEN not in pybuild.run("app", "cat", "/sum")
    assert "CACHED" in again.err
