"""The shape of the house: who may import whom, which library has which door, and how large a room may be."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILDER = ROOT / "builder"

# Who may import whom; everyone may import itself and the standard library.
ALLOWED = {
    "core": "",
    "llb": "core",
    "fs": "core",
    "sandbox": "core",
    "store": "core fs",
    "executor": "core sandbox",
    "registry": "core store",
    "cache": "core store registry",
    "source": "core llb store registry fs",
    "solver": "core llb cache",
    "frontend": "core llb",
    "attest": "core llb fs",
    "ops": "core llb solver source executor store fs sandbox",
    "exporter": "core store fs registry",
    "runtime": "core store executor sandbox",
    "config": "core",
    "engine": "*",
    "cli": "core engine config runtime",
    "daemon": "core llb engine",
    "front": "core fs",
    "__main__": "front cli engine",
    "__init__": "",
}
# Seen by others through their interface module alone; only the engine names what implements it.
SERVICES = frozenset({"store", "executor", "registry", "source", "cache", "solver", "frontend"})
# Libraries, and who may open the door to each.
DOORS = {
    "lark": "frontend",
    "networkx": "solver",
    "zstandard": "fs",
    "isal": "fs",
    "xxhash": "fs front",
    "typer": "cli",
    "click": "cli",
    "rich": "cli",
    "urllib3": "registry",
    "msgspec": "store registry",
}
# `parse` shows what the parser reads: there is no engine between them.
EXCEPTIONS = {("cli/system.py", "builder.frontend.dockerfile")}
MAX_LINES = 500


def package_of(path: Path) -> str:
    first = path.relative_to(BUILDER).parts[0]
    return first.removesuffix(".py")


@cache
def modules() -> dict[Path, ast.Module]:
    found = {path: ast.parse(path.read_text()) for path in sorted(BUILDER.rglob("*.py"))}
    assert len(found) > 100
    return found


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and full module names, those inside functions included."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=str(module), level=0):
                for alias in node.names:
                    # "from builder import x" imports builder.x; "from builder.x import y" may do either.
                    yield node.lineno, f"{module}.{alias.name}"
            case ast.ImportFrom():
                yield node.lineno, "."
            case _:
                pass


def test_imports_point_down() -> None:
    """A package imports only those below it, and of a service only the interface."""
    wrong = []
    for path, tree in modules().items():
        here = package_of(path)
        allowed = ALLOWED[here].split()
        for line, name in imports(tree):
            parts = name.split(".")
            if parts[0] != "builder" or len(parts) < 2:
                continue
            there = parts[1]
            if there in (here, "__version__") or "*" in allowed:
                continue
            if any(path == BUILDER / file and name.startswith(f"{module}.") for file, module in EXCEPTIONS):
                continue
            is_hidden = there in SERVICES and parts[2:3] != ["interface"]
            if there not in allowed or is_hidden:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")

    assert wrong == []


def test_every_package_has_a_place() -> None:
    """A new package is given its layer before it is given code, and no layer allows what lies above it."""
    assert {package_of(path) for path in modules()} <= set(ALLOWED)
    order = list(ALLOWED)
    for package, below in ALLOWED.items():
        if package not in ("engine", "front", "__main__", "executor", "__init__"):
            assert all(order.index(name) < order.index(package) for name in below.split())


def test_doors() -> None:
    """Each library is imported by the packages that own it, and there is no library without an owner."""
    wrong = []
    for path, tree in modules().items():
        for line, name in imports(tree):
            library = name.split(".")[0]
            if library in sys.stdlib_module_names or library == "builder":
                continue
            if package_of(path) not in DOORS.get(library, "").split():
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {library}")

    assert wrong == []


def test_no_relative_imports() -> None:
    """An import says where from."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path, tree in modules().items()
        for line, name in imports(tree)
        if name == "."
    ]

    assert wrong == []


def test_no_async_below_the_daemon() -> None:
    """The core is synchronous: importing asyncio alone costs more than a cached build may."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in modules().items()
        if package_of(path) != "daemon"
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)
    ]
    wrong += [
        str(path.relative_to(ROOT))
        for path, tree in modules().items()
        if package_of(path) != "daemon" and any(name.split(".")[0] == "asyncio" for _, name in imports(tree))
    ]

    assert wrong == []


def test_modules_have_a_size() -> None:
    """A module of more than 500 lines has a seam that nobody looked for."""
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}

    assert {name: size for name, size in sizes.items() if size > MAX_LINES} == {}


def test_every_module_says_what_it_owns() -> None:
    """Packages and modules begin with a docstring, interfaces have one on every method."""
    wrong = [str(path.relative_to(ROOT)) for path, tree in modules().items() if not ast.get_docstring(tree)]
    for path, tree in modules().items():
        if path.name == "interface.py":
            wrong += [
                f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ]
    for directory in {path.parent for path in modules()}:
        assert (directory / "__init__.py").exists()

    assert wrong == []


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call | ast.Attribute):
            target = node.func if isinstance(node, ast.Call) else node
            yield node.lineno, ast.unparse(target)


def test_one_way_out() -> None:
    """Nothing below the command line prints, reads the environment, or exits."""
    forbidden = {
        "print", "input", "exit", "quit", "sys.exit", "os.environ", "os.environb", "os.getenv", "breakpoint",
    }  # fmt: skip
    # The launcher's two are programs of their own, started as such.
    exempt = {"config.py", "__main__.py", "sandbox/launcher.py", "sandbox/child.py"}
    wrong = []
    for path, tree in modules().items():
        name = str(path.relative_to(BUILDER))
        if package_of(path) in ("cli", "daemon") or name in exempt:
            continue
        wrong += [f"{name}:{line} {call}" for line, call in calls(tree) if call in forbidden]

    assert wrong == []


def test_doors_of_the_standard_library() -> None:
    """What only one package may do is done there: SQL in the store, and of rpm's database in attest."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, tree in modules().items()
        for line, name in imports(tree)
        if name.split(".")[0] == "sqlite3" and package_of(path) not in ("store", "fs", "front", "attest")
    ]

    assert wrong == []


def test_names_of_test_modules_are_unique() -> None:
    """Test directories are no packages, so two modules of one name would shadow each other."""
    counts = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))

    assert [name for name, count in counts.items() if count > 1] == []


def test_support_is_imported_by_its_full_name() -> None:
    """Tests name what they share: tests.support, not whatever the path makes of it."""
    wrong = []
    for path in (ROOT / "tests").rglob("*.py"):
        for line, name in imports(ast.parse(path.read_text())):
            if name == "." or name.split(".")[0] == "support":
                wrong.append(f"{path.relative_to(ROOT)}:{line}")

    assert wrong == []


def texts() -> Iterator[tuple[str, str]]:
    """What the repository holds, as far as it is text."""
    skipped = {"dist", "build", "node_modules"}
    for directory, names, files in os.walk(ROOT):
        names[:] = [n for n in names if not n.startswith(".") and n not in skipped and n != "__pycache__"]
        for file in files:
            path = Path(directory, file)
            try:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, FileNotFoundError, PermissionError, OSError):
                continue


def test_no_trace_of_a_workplace() -> None:
    """The repository knows neither where it lies nor which interpreter runs its tests."""
    places = {str(ROOT), sys.prefix, sys.base_prefix} - {"/", "/usr", "/usr/local", "/opt"}
    wrong = [
        f"{name} names {place}"
        for name, text in texts()
        for place in places
        if re.search(re.escape(place) + r"(?![\w-])", text)
    ]

    assert wrong == []
