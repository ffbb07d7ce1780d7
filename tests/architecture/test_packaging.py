"""The wheel and the sdist: complete, and working where nothing else of ours is."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import builder
from hatch_build import PACKAGES

ROOT = Path(__file__).parents[2]


def _run(*words: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Its output; on failure the test shows both streams."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYBUILD", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd, env={**clean, **(environment or {})}, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _package_of(programs: Path, directory: Path) -> Path:
    code = "import builder; print(builder.__file__)"
    return Path(_run(programs / "python", "-c", code, cwd=directory).strip()).parent


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sdist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", directory, cwd=ROOT)
    (built,) = directory.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory, cwd=ROOT)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel and, behind it, our dependencies."""
    return _install(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for an editable install of the checkout."""
    return _install(tmp_path_factory.mktemp("editable"), "--no-build-isolation", "--editable", ROOT)


def _install(home: Path, *what: str | Path) -> Path:
    venv.create(home, with_pip=False)
    packages = home / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    # Only a folder of modules: an editable install of ours in there is a .pth, which Python reads in
    # its own site-packages and not in this one.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    _run(
        sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "--no-deps", "--no-index",
        "--quiet", *what, cwd=home,
    )  # fmt: skip
    return home / "bin"


def test_wheel_holds_the_package_and_its_grammar(wheel: Path) -> None:
    """Every module, table and page, the grammar and the fetched libraries; nothing else."""
    package = Path(builder.__file__).parent
    kinds = ("*.py", "*.json", "*.filter", "*.html", "*.css", "*.js")
    modules = {f"builder/{path.relative_to(package)}" for kind in kinds for path in package.rglob(kind)}
    libraries = {f"builder/_assets/{wanted.name}" for found in PACKAGES for wanted in found.files}
    names = {name for name in _names(wheel) if ".dist-info/" not in name}

    assert modules | libraries | {"builder/_grammar/dockerfile.lark"} == names


def test_wheel_carries_license_and_command(wheel: Path) -> None:
    """Its metadata has the license's text, the version of the package, and the command."""
    with zipfile.ZipFile(wheel) as archive:
        info = f"pybuild_engine-{builder.__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()

        assert (ROOT / "LICENSE").read_bytes() == archive.read(f"{info}/licenses/LICENSE")
        assert "pybuild = builder.__main__:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert f"Version: {builder.__version__}" in metadata


def test_sdist_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    """What is published as source is enough to build the package, without Git."""
    # tarfile of Debian's Python 3.11.2 has no filters yet, and later ones warn without.
    _run("tar", "-xzf", sdist, cwd=tmp_path)
    source = tmp_path / sdist.name.removesuffix(".tar.gz")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "out", cwd=source)
    (rebuilt,) = (tmp_path / "out").glob("*.whl")

    assert _names(wheel) == _names(rebuilt)


def test_installed_command_parses(installed: Path, tmp_path: Path) -> None:
    """The command of an installed wheel reads a Dockerfile: its grammar is found inside the package."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY a b /c/\n")
    parsed = _run(installed / "pybuild", "parse", cwd=tmp_path)

    assert installed.parent in _package_of(installed, tmp_path).parents
    assert '"cmd": "COPY"' in parsed


def test_editable_command_parses(editable: Path, tmp_path: Path) -> None:
    """The command of an editable install runs the checkout, and finds the grammar beside the package."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY a b /c/\n")
    parsed = _run(editable / "pybuild", "parse", cwd=tmp_path)

    assert _package_of(editable, tmp_path) == ROOT / "builder"
    assert '"cmd": "COPY"' in parsed


def test_installed_command_bootstraps(installed: Path, tmp_path: Path) -> None:
    """The command of an installed wheel makes a base image, from this machine alone."""
    environment = {"PYBUILD_ROOT": str(tmp_path / "root")}
    made = _run(installed / "pybuild", "bootstrap", "base", cwd=tmp_path, environment=environment)
    listed = _run(installed / "pybuild", "images", "--no-trunc", cwd=tmp_path, environment=environment)

    assert made.startswith("base:latest sha256:")
    assert made.split()[1] in listed
