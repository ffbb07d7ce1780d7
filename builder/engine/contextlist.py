"""`context ls`: what of a folder a build can read, and which ignore rule keeps out the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.core.errors import Kind, PybuildError
from builder.engine.context import ignore_rules
from builder.engine.inputs import ContextNotFound
from builder.engine.recorder import Recorder
from builder.fs.ignore import IgnoredTree, IgnoreRules, Rule
from builder.fs.tree import DirectoryTree, Entry, Tree

_NO_RULES = IgnoreRules(())


class NotInContext(PybuildError):
    """A path that is not below the build context, or not there."""

    kind = Kind.NOT_FOUND
    code = "not-in-context"


@dataclass(frozen=True, slots=True)
class IgnoreRule:
    """A line of an ignore file, as written."""

    text: str
    file: str
    line: int
    is_exception: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A path that is in; of a directory only if it is empty. Sizes are bytes."""

    path: str
    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A path that a rule keeps out, a directory with all that is below it."""

    path: str
    kind: str
    rule: IgnoreRule
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Folder:
    """What is in, in and below one directory."""

    path: str
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class ContextList:
    """``folders``: the largest first."""

    kept: tuple[Kept, ...]
    left_out: tuple[LeftOut, ...]
    folders: tuple[Folder, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a path is in; ``rule`` is the last that applies to it, None: none does."""

    path: str
    is_in: bool
    rule: IgnoreRule | None


def list_context(root: Path, file: Path | None, recorder: Recorder) -> ContextList:
    """Raises ContextNotFound, InvalidIgnoreRule."""
    lister = _Lister(DirectoryTree(_folder(root)), _rules(root, file, recorder))
    lister.walk("")
    folders = sorted(lister.folders.values(), key=lambda folder: (-folder.size, folder.path))
    return ContextList(tuple(lister.kept), tuple(lister.left_out), tuple(folders))


def decide(root: Path, file: Path | None, path: str, recorder: Recorder) -> Decision:
    """``path`` counts from the context, or is absolute. Raises NotInContext, and as ``list_context``."""
    folder = Path(_folder(root))
    rules = _rules(root, file, recorder)
    found = Path(path)
    if found.is_absolute():
        if not found.is_relative_to(folder):
            raise NotInContext(f'"{path}" is not in the build context', hint=f'that is "{folder}"')
        found = found.relative_to(folder)
    relative = "/".join(part for part in found.parts if part != ".")
    tree = DirectoryTree(str(folder))
    if ".." in found.parts or tree.lookup(relative) is None:
        raise NotInContext(f'there is no "{path}" in the build context', hint=f'that is "{folder}"')
    is_in = IgnoredTree(tree, rules).lookup(relative) is not None
    rule = rules.deciding(relative)
    return Decision(relative or ".", is_in, _shown(rule) if rule is not None else None)


class _Lister:
    def __init__(self, tree: Tree, rules: IgnoreRules) -> None:
        self._whole = tree
        self._rules = rules
        self._tree = IgnoredTree(tree, rules)
        self.kept: list[Kept] = []
        self.left_out: list[LeftOut] = []
        self.folders: dict[str, Folder] = {}

    def walk(self, directory: str) -> tuple[int, int]:
        """The number of files that are in, and their size."""
        kept = {entry.path for entry in self._tree.children(directory)}
        files = size = 0
        for entry in self._whole.children(directory):
            if entry.path not in kept:
                rule = self._rules.excluding(entry.path)
                assert rule is not None, "what is left out is left out by a rule"
                self.left_out.append(LeftOut(entry.path, entry.kind, _shown(rule), *self._count(entry)))
            elif entry.kind == "dir":
                below = self.walk(entry.path)
                files, size = files + below[0], size + below[1]
            else:
                self.kept.append(_kept(entry))
                files, size = files + 1, size + self.kept[-1].size
        if directory and not kept:
            self.kept.append(Kept(directory, "dir", 0))
        self.folders[directory or "."] = Folder(directory or ".", files, size)
        return files, size

    def _count(self, entry: Entry) -> tuple[int, int]:
        if entry.kind != "dir":
            return 1, _kept(entry).size
        counts = [self._count(child) for child in self._whole.children(entry.path)]
        return sum(files for files, _ in counts), sum(size for _, size in counts)


def _shown(rule: Rule) -> IgnoreRule:
    return IgnoreRule(rule.text, rule.file, rule.line, rule.is_exception)


def _kept(entry: Entry) -> Kept:
    return Kept(entry.path, entry.kind, entry.size if entry.kind == "file" else 0)


def _folder(root: Path) -> str:
    if not root.is_dir():
        raise ContextNotFound(f'the build context "{root}" is not a directory', hint="name a folder")
    return str(root.absolute())


def _rules(root: Path, file: Path | None, recorder: Recorder) -> IgnoreRules:
    return ignore_rules(root, file if file is not None else root / "Dockerfile", recorder) or _NO_RULES
