"""The documents say what the program does, and the README's commands are the ones that are tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import builder
from builder.cli.app import COMMANDS, make_app
from builder.cli.build import UNBUILT
from builder.store.state import StateDir

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CLI = (ROOT / "docs/cli.md").read_text()
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][a-z-]*")


def _sections(text: str) -> dict[str, str]:
    """The text under each ``## title``; what comes before the first is under ""."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def _documented(section: str) -> set[str]:
    """The options in the first column of a section's tables."""
    rows = re.findall(r"^\| (`-[^|]*) \|", section, flags=re.MULTILINE)
    return {option for row in rows for option in _OPTION.findall(row)}


def _options(command: typer.core.TyperCommand | typer.core.TyperGroup) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("-")}


def _command_line(word: str) -> str:
    """The one line of the README's shell blocks that holds ``word``."""
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if word in line]
    assert len(lines) == 1, lines
    return lines[0]


def _links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text()):
            if "://" not in target:
                yield document, target


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented_and_no_other(name: str) -> None:
    """docs/cli.md has a section for each command, whose tables list just the options that it has."""
    group = typer.main.get_command(make_app(list(COMMANDS)))
    assert isinstance(group, typer.core.TyperGroup)
    command = group.commands[name]
    assert isinstance(command, typer.core.TyperCommand)

    assert _options(command) == _documented(_sections(CLI)[name])


def test_every_option_of_build_is_used_in_a_test() -> None:
    """Each has an end-to-end test or a case; what it changes is for that to say."""
    group = typer.main.get_command(make_app(["build"]))
    assert isinstance(group, typer.core.TyperGroup)
    places = [*ROOT.glob("tests/*/*.py"), *ROOT.glob("testdata/*/*/*.toml")]
    text = "\n".join(path.read_text() for path in places)
    unused = [
        parameter.opts
        for parameter in group.commands["build"].params
        if parameter.opts[0].startswith("-")
        and not any(f'"{name}"' in text or f'"{name}=' in text for name in parameter.opts)
    ]

    assert unused == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    """Each section of docs/cli.md shows its command in use."""
    examples = "".join(re.findall(r"```sh\n(.*?)```", _sections(CLI)[name], flags=re.DOTALL))

    assert f"pybuild {name}" in examples


def test_options_of_the_program_are_documented() -> None:
    """The options before the command's name stand at the top of docs/cli.md."""
    group = typer.main.get_command(make_app(list(COMMANDS)))
    assert isinstance(group, typer.core.TyperGroup)

    assert _options(group) == _documented(_sections(CLI)[""])


def test_no_command_is_documented_that_does_not_exist() -> None:
    """The sections of docs/cli.md are the commands, in the order of --help."""
    assert ["", *COMMANDS] == list(_sections(CLI))


def test_refused_options_are_listed_among_the_differences() -> None:
    """docs/differences.md names the options that `build` refuses, and no option that it has."""
    section = _sections((ROOT / "docs/differences.md").read_text())["Not built yet"]
    listed = re.search(r"refused by its name:\n\n(.*?)\n\n", section, flags=re.DOTALL)
    assert listed is not None

    assert sorted(UNBUILT) == sorted(re.findall(r"`(--[a-z-]+)`", listed[1]))


def test_continuous_integration_runs_the_readme_line() -> None:
    """.ci/run ends with the very line that the README gives for the tests."""
    script = (ROOT / ".ci/run").read_text().splitlines()

    assert _command_line("pytest") == script[-1]


def test_readme_commands_are_commands() -> None:
    """What follows `pybuild` in the README's line of installation is a command, and in order."""
    line = _command_line("pybuild bootstrap &&")

    used = re.findall(r"bin/pybuild (\w+)", line)

    assert used == ["bootstrap", "build", "run"]
    assert set(COMMANDS) >= set(used)


@pytest.mark.e2e
@pytest.mark.sandbox
def test_readme_example_builds_and_runs(tmp_path: Path) -> None:
    """What the README's line does after the installation gives a proverb and its chart."""
    commands = re.findall(r"\.venv/bin/(pybuild [^&]*)", _command_line("pybuild bootstrap &&"))
    environment = {**os.environ, "PYBUILD_ROOT": str(tmp_path / "root")}
    outputs = [
        subprocess.run(
            [sys.executable, "-m", "builder", *command.split()[1:]],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
        ).stdout
        for command in commands
    ]  # fmt: skip

    assert "nail" in commands[1]
    assert outputs[2].startswith("For want of a nail the shoe was lost,\n")
    assert "      want ####### 7\n" in outputs[2]


@pytest.mark.parametrize(("document", "target"), list(_links()), ids=str)
def test_links_lead_somewhere(document: Path, target: str) -> None:
    """A relative link in a document names a file of the repository."""
    assert (document.parent / target).exists()


def test_every_package_is_in_the_architecture() -> None:
    """docs/architecture.md has a row for each package."""
    packages = {path.parent.name for path in Path(builder.__file__).parent.glob("*/__init__.py")}

    assert packages == packages & set(re.findall(r"^\| `(\w+)` \|", ARCHITECTURE, flags=re.MULTILINE))


def test_every_bucket_of_the_store_is_in_the_architecture(tmp_path: Path) -> None:
    """The store's layout in docs/architecture.md lists what a new state directory holds."""
    with StateDir.open(tmp_path / "root") as state:
        present = {path.name for path in state.root.iterdir()}
        named = {path.name for path in (state.database, state.stat_cache, state.mountpoints)}

    missing = {name for name in present | named if not re.search(rf"^  {name}\b", ARCHITECTURE, re.MULTILINE)}

    assert set() == missing


def test_every_decision_is_listed_in_the_architecture() -> None:
    """Each page of docs/adr is linked, and has its three parts."""
    for page in sorted((ROOT / "docs/adr").glob("*.md")):
        assert f"(adr/{page.name})" in ARCHITECTURE
        assert list(_sections(page.read_text())) == ["", "Context", "Decision", "Consequences"]


@pytest.mark.parametrize("name", ["run", "tools"])
def test_scripts_of_continuous_integration_are_sound(name: str) -> None:
    """They are executable, and bash can read them."""
    script = ROOT / ".ci" / name
    subprocess.run(["bash", "-n", script], check=True)

    assert os.access(script, os.X_OK)
