"""What runs in a container: Docker's merge of the image's config and the caller's flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.core.errors import Unsupported
from builder.core.image import ImageConfig
from builder.core.mount import Mount
from builder.core.platform import Platform
from builder.executor.interface import ProcessSpec
from builder.runtime.spec import DEFAULT_PATH, InvalidVolume, NoCommand, RunOptions, bind_mounts, process_of

LINUX = Platform("linux", "amd64")
SHELL = ("/bin/sh", "-c")
Argv = tuple[str, ...]


def process(image: ImageConfig | None = None, **options: object) -> ProcessSpec:
    return process_of(
        image or ImageConfig(platform=LINUX, cmd=("sh",)),
        RunOptions(**options),  # type: ignore[arg-type]  # for tests
        hostname="box",
        environ={"HOME": "/home/me", "EMPTY": ""},
    )


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, ("cmd", "arg"), ("cmd", "arg")),
        (None, (*SHELL, "cmd"), (*SHELL, "cmd")),
        (("ep",), None, ("ep",)),
        (("ep", "x"), ("cmd", "arg"), ("ep", "x", "cmd", "arg")),
        (("ep",), (*SHELL, "cmd"), ("ep", *SHELL, "cmd")),
        ((*SHELL, "ep"), None, (*SHELL, "ep")),
        ((*SHELL, "ep"), ("cmd",), (*SHELL, "ep", "cmd")),  # sh takes "cmd" as $0: it is ignored
        ((), ("cmd",), ("cmd",)),
        (("ep",), (), ("ep",)),
    ],
)
def test_entrypoint_and_cmd(entrypoint: Argv | None, cmd: Argv | None, expected: Argv) -> None:
    """Docker's table of ENTRYPOINT and CMD: the entrypoint, followed by the command."""
    assert process(ImageConfig(platform=LINUX, entrypoint=entrypoint, cmd=cmd)).args == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"command": ["other", "1"]}, ("ep", "other", "1")),
        ({"entrypoint": "new"}, ("new",)),
        ({"entrypoint": "new", "command": ["1"]}, ("new", "1")),
        ({"entrypoint": "", "command": ["1"]}, ("1",)),
    ],
)
def test_what_the_caller_says_goes_first(options: dict[str, object], expected: Argv) -> None:
    """Arguments replace CMD and keep ENTRYPOINT; a new entrypoint drops both."""
    assert process(ImageConfig(platform=LINUX, entrypoint=("ep",), cmd=("cmd",)), **options).args == expected


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (ImageConfig(platform=LINUX), {}),
        (ImageConfig(platform=LINUX, entrypoint=(), cmd=()), {}),
        (ImageConfig(platform=LINUX, entrypoint=("ep",), cmd=("cmd",)), {"entrypoint": ""}),
    ],
)
def test_nothing_to_run(image: ImageConfig, options: dict[str, object]) -> None:
    """Without any command there is an error that says what to do."""
    with pytest.raises(NoCommand) as caught:
        process(image, **options)

    assert caught.value.message == "no command specified"
    assert caught.value.hint is not None


def test_environment_is_merged_by_name() -> None:
    """The caller's goes over the image's, the image's over the defaults, in order of first mention."""
    image = ImageConfig(platform=LINUX, cmd=("sh",), env=("PATH=/bin", "A=image", "B=image", "EQ=x=y"))
    env = process(image, env=["B=caller", "C=caller", "HOME", "EMPTY"]).env

    assert env == (
        "PATH=/bin", "HOSTNAME=box", "A=image", "B=caller", "EQ=x=y", "C=caller", "HOME=/home/me", "EMPTY=",
    )  # fmt: skip


def test_default_environment() -> None:
    """An image without any environment gets Docker's PATH; a terminal gets a TERM."""
    assert process().env == (f"PATH={DEFAULT_PATH}", "HOSTNAME=box")
    assert process(is_terminal=True).env == (f"PATH={DEFAULT_PATH}", "HOSTNAME=box", "TERM=xterm")


def test_name_that_the_caller_does_not_have() -> None:
    """-e NAME without such a variable takes the image's away, as in Docker."""
    image = ImageConfig(platform=LINUX, cmd=("sh",), env=("A=image", "B=image"))

    assert process(image, env=["A"]).env == (f"PATH={DEFAULT_PATH}", "HOSTNAME=box", "B=image")


def test_place_and_user() -> None:
    """Working directory and user are the image's unless given; user "" is root."""
    image = ImageConfig(platform=LINUX, cmd=("sh",), working_dir="/srv", user="app")
    plain, given = process(image), process(image, working_dir="/tmp", user="")

    assert (plain.cwd, plain.user) == ("/srv", "app")
    assert (given.cwd, given.user) == ("/tmp", "")
    assert process().cwd == "/"


@pytest.mark.parametrize(
    ("text", "target", "options"),
    [
        ("{here}:/data", "/data", ("rec",)),
        ("{here}:/data:rw", "/data", ("rec",)),
        ("{here}:/data:ro", "/data", ("rec", "ro")),
        ("{here}/:/data/", "/data", ("rec",)),
        ("{here}/../{name}://a//b/../c", "/a/c", ("rec",)),
    ],
)
def test_bind_mounts(tmp_path: Path, text: str, target: str, options: tuple[str, ...]) -> None:
    """SOURCE:TARGET[:ro|rw] is a recursive bind of an absolute path."""
    volume = text.format(here=tmp_path, name=tmp_path.name)

    assert bind_mounts([volume]) == [Mount("bind", str(tmp_path), target, options)]


def test_relative_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source with a slash, or "." alone, is relative to where the caller is."""
    monkeypatch.chdir(tmp_path)

    assert [m.source for m in bind_mounts([".:/a", "./sub:/b", "..:/c"])] == [
        str(tmp_path), str(tmp_path / "sub"), str(tmp_path.parent),
    ]  # fmt: skip


def test_missing_source_is_made(tmp_path: Path) -> None:
    """As Docker does with -v; a single file is mounted as a file."""
    (tmp_path / "file").touch()
    bind_mounts([f"{tmp_path}/a/b:/a", f"{tmp_path}/file:/f"])

    assert (tmp_path / "a/b").is_dir()
    assert (tmp_path / "file").is_file()


@pytest.mark.parametrize(
    "volume", ["", ":", "/data", "/a:", ":/a", "/a:b", "/a:/b:ro:x", "/tmp:/", "/tmp:/x/.."]
)
def test_impossible_volume(volume: str) -> None:
    """What is no volume is refused with the form that one has."""
    with pytest.raises(InvalidVolume) as caught:
        bind_mounts([volume])

    assert caught.value.hint is not None


def test_two_volumes_in_one_place() -> None:
    """The second would hide the first."""
    with pytest.raises(InvalidVolume):
        bind_mounts(["/tmp:/data", "/usr:/data/"])


@pytest.mark.parametrize("volume", ["name:/data", "/tmp:/data:z", "/tmp:/data:ro,Z", "/tmp:/data:cached"])
def test_unbuilt_volume(volume: str) -> None:
    """Named volumes and labels are understood and refused, never ignored."""
    with pytest.raises(Unsupported):
        bind_mounts([volume])
