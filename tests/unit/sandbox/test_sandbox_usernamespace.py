"""What ids a user may have in a namespace of its own, and what is said where it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.sandbox import usernamespace
from builder.sandbox.usernamespace import IdRange, NotMapped, mapping, maps_of, subordinate


def test_ids_lent_by_name_and_by_number(tmp_path: Path) -> None:
    """Lines of the user, in their order; comments, other users and nonsense are passed over."""
    file = tmp_path / "subuid"
    file.write_text("# ids\nann:100000:65536\nbob:5:5\n1000:300000:10\nann:x:1\nann:7\n\nann:9:0\n")

    assert subordinate(file, "ann", 1000) == [(100_000, 65_536), (300_000, 10)]


@pytest.mark.parametrize("text", [None, "", "bob:100000:65536\n"])
def test_nothing_lent(tmp_path: Path, text: str | None) -> None:
    """The message names the file and the user, the hint the command."""
    file = tmp_path / "subuid"
    if text is not None:
        file.write_text(text)
    with pytest.raises(NotMapped, match=f"{file} lends ann no ids") as caught:
        subordinate(file, "ann", 1000)

    assert "usermod --add-subuids" in caught.value.hint
    assert "ann" in caught.value.hint


def test_root_is_the_caller_and_ids_follow() -> None:
    """Without gaps inside, whatever lies between them outside."""
    assert mapping(1000, [(100_000, 10), (500, 5)]) == [
        IdRange(0, 1000, 1),
        IdRange(1, 100_000, 10),
        IdRange(11, 500, 5),
    ]


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package that has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotMapped, match="newuidmap is not installed") as caught:
        maps_of(1000, 1000, files=tmp_path)

    assert "uidmap" in caught.value.hint


def test_a_user_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number stands for it, as in containers that set any."""
    for name in usernamespace.PROGRAMS:
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text("54321:7:8\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    maps = maps_of(54321, 5, files=tmp_path)

    assert maps.users == [IdRange(0, 54321, 1), IdRange(1, 7, 8)]
    assert maps.groups == [IdRange(0, 5, 1), IdRange(1, 7, 8)]
    assert os.geteuid() == 0  # nothing was entered
