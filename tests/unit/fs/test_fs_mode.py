"""The values of --chmod."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.fs.mode import InvalidMode, ModeChange


@pytest.mark.parametrize("text", ["0644", "4755", "7", "00700", "0"])
def test_octal_replaces_everything(text: str) -> None:
    """An octal mode is the mode, of files and of directories."""
    change = ModeChange.parse(text)

    assert int(text, 8) == change.apply(0o7777, is_directory=False)
    assert int(text, 8) == change.apply(0o000, is_directory=True)


SYMBOLIC = [
    "u=rwX,go=rX", "a+x", "+x", "go-rwx", "u+s", "g=u", "o=g-w", "a=", "u=r,g=w,o=x", "+X", "ug+rw,o-x",
    "a-s", "-", "=r", "u=rw+x", "+t", "o=", "g+s,u-w",
]  # fmt: skip


@pytest.mark.parametrize("text", SYMBOLIC)
@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o000, 0o777, 0o4751])
def test_symbolic_is_chmod(tmp_path: Path, text: str, mode: int) -> None:
    """Files get what chmod(1) gives them with umask 0."""
    path = tmp_path / "file"
    path.write_text("")
    path.chmod(mode)
    subprocess.run(["chmod", text, str(path)], check=True, umask=0)

    assert oct(path.stat().st_mode & 0o7777) == oct(ModeChange.parse(text).apply(mode, is_directory=False))


@pytest.mark.parametrize(("text", "expected"), [("u=rwX,go=rX", 0o755), ("a-x", 0o600), ("+X", 0o711)])
def test_directories_take_the_big_x(text: str, expected: int) -> None:
    """X is execute for a directory, whatever its mode was."""
    assert expected == ModeChange.parse(text).apply(0o600, is_directory=True)


@pytest.mark.parametrize(
    "text", ["", "8", "0888", "17777", "rwx", "u=q", "u", "u+x,", ",", "u=rwug", "0o644"]
)
def test_anything_else_is_an_error(text: str) -> None:
    """What chmod(1) would not take is told with the text."""
    with pytest.raises(InvalidMode) as caught:
        ModeChange.parse(text)

    assert caught.value.code == "invalid-mode"
