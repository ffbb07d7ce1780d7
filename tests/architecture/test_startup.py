"""What a command imports before it has done anything: by set, because a clock is no judge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = frozenset(
    "lark networkx rich zstandard asyncio ssl sqlite3 tarfile urllib3 msgspec isal concurrent xxhash".split()
)
_PROBE = "import sys, {module}; print(*sys.modules)"


def imported_by(module: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(module=module)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["builder", "builder.__main__", "builder.cli.app"])
def test_start_is_light(module: str) -> None:
    """The command table is there before any library that a command may need."""
    found = {name.partition(".")[0] for name in imported_by(module)}

    assert found & HEAVY == set()


def test_command_table_names_no_domain_module() -> None:
    """A command's module is imported when the command is run."""
    found = {name for name in imported_by("builder.cli.app") if name.startswith("builder.")}
    domain = {name for name in found if name.split(".")[1] not in ("cli", "core")}

    assert domain == set()


def test_builder_itself_imports_nothing() -> None:
    """``import builder`` is for the version."""
    assert {name for name in imported_by("builder") if name.startswith("builder")} == {"builder"}


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("builder.core.image", "builder.store builder.fs lark networkx"),
        ("builder.llb.definition", "json builder.store builder.fs"),
        ("builder.solver.solver", "networkx sqlite3 builder.store"),
        ("builder.cache.sqlite", "sqlite3 urllib3 msgspec"),
        ("builder.store.interface", "sqlite3 xxhash zstandard"),
        ("builder.store.database", "zstandard isal urllib3"),
        (
            "builder.engine.build",
            "csv builder.exporter.pack builder.fs.editor builder.fs.tar builder.ops.owner builder.sandbox",
        ),
        ("builder.cli.build", "csv builder.engine.build"),
        ("builder.engine.assemble", "networkx lark urllib3 ssl msgspec zstandard"),
    ],
)
def test_libraries_are_imported_late(module: str, forbidden: str) -> None:
    """A module leads to a slow library only in the functions that need it."""
    assert imported_by(module) & set(forbidden.split()) == set()
