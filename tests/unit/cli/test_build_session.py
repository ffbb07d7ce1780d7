"""--secret and --ssh: how they are read."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from builder.cli.build_session import read_secrets, read_ssh
from builder.core.errors import PybuildError
from builder.engine.session import SecretSource, SshSource, UsedSecrets, open_session


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"of the file")
    return path


def value(text: str, environ: dict[str, str]) -> bytes | None:
    sources = read_secrets([text], environ)
    with open_session(sources, (), UsedSecrets()) as session:
        (loader,) = session.secrets.values()
        return loader()


@pytest.mark.parametrize(
    "text", ["id=a,src={}", "id=a,source={}", "id=a,type=file,src={}", "ID=a,SRC={}", "src={},id=a", "id={}"]
)
def test_files(text: str, file: Path) -> None:
    """src, or an id that is no variable's name."""
    assert b"of the file" == value(text.format(file), {})


@pytest.mark.parametrize(
    "text", ["id=a,env=VAR", "id=a,type=env,env=VAR", "id=a,type=env,src=VAR", "id=VAR", "id=VAR,type=env"]
)
def test_variables(text: str) -> None:
    """env, type=env with src, or an id that is a variable's name."""
    assert b"of the variable" == value(text, {"VAR": "of the variable"})


def test_variable_that_is_not_set() -> None:
    """The secret is not there; whether that matters is the step's business."""
    assert value("id=a,env=VAR", {}) is None


def test_last_of_an_id_counts(file: Path) -> None:
    """As in Docker."""
    (source,) = read_secrets([f"id=a,src={file}", "id=a,env=VAR"], {"VAR": "x"})

    assert SecretSource("a", None, b"x") == source


def test_values_do_not_show() -> None:
    """Not in what is printed of the value by accident."""
    assert "hidden" not in repr(read_secrets(["id=a,env=VAR"], {"VAR": "hidden"}))


@pytest.mark.parametrize(
    "text",
    ["", "a", "src={}", "id=a,src=/nowhere", "id=nowhere", "id=a,what=x", "id=a,type=tar,src={}",
     "id=a,src={},env=VAR", "id=a,type=file"],
)  # fmt: skip
def test_wrong_secrets(text: str, file: Path) -> None:
    """Refused before anything runs."""
    with pytest.raises(PybuildError, match="--secret") as caught:
        read_secrets([text.format(file)], {"VAR": "x"})

    assert "invalid-option" == caught.value.code


def test_agents(tmp_path: Path, file: Path) -> None:
    """The caller's agent, a socket, keys."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        given = ["default", f"a={path}", f"b={file},{file}", f"={path}"]
        environ = {"SSH_AUTH_SOCK": str(path)}
        sources = read_ssh(given[:3], environ)

        assert (
            SshSource("default", path, ()), SshSource("a", path, ()), SshSource("b", None, (file, file))
        ) == sources  # fmt: skip
        assert (SshSource("default", path, ()),) == read_ssh(given[3:], {})
        with pytest.raises(PybuildError, match="stands alone"):
            read_ssh([f"a={path},{file}"], {})
        with pytest.raises(PybuildError, match="given twice"):
            read_ssh(["default", "default"], environ)


@pytest.mark.parametrize("text", ["default", "a=", "a=/nowhere"])
def test_wrong_agents(text: str) -> None:
    """No agent, no such file."""
    with pytest.raises(PybuildError, match="--ssh") as caught:
        read_ssh([text], {})

    assert "invalid-option" == caught.value.code


def test_agent_that_does_not_answer(file: Path) -> None:
    """Told when a step needs it."""
    with (
        open_session((), [SshSource("a", file, ())], UsedSecrets()) as session,
        pytest.raises(PybuildError) as caught,
    ):
        session.ssh["a"].connect()

    assert "agent-unavailable" == caught.value.code
