"""The build context and its Dockerfile: which files they are, and what is read of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.engine.recorder import Recorder
from builder.fs.ignore import IgnoredTree, IgnoreRules
from builder.fs.patterns import clean
from builder.fs.statcache import StatCache
from builder.fs.tree import DirectoryTree
from builder.source.interface import LocalContext

if TYPE_CHECKING:
    from builder.fs.contenthash import ContentRecord


class DockerfileNotFound(PybuildError):
    """There is no Dockerfile where one was looked for."""

    kind = Kind.NOT_FOUND
    code = "dockerfile-not-found"


class Dockerfile(NamedTuple):
    """A Dockerfile and the ignore rules that go with it."""

    name: str  # for messages
    data: bytes
    ignore: IgnoreRules | None
    path: Path | None = None  # where it was found; None: it is no file of this machine

    @property
    def excluding(self) -> Callable[[str], str | None] | None:
        """See FrontendRequest: with exceptions there is no telling by a directory's name."""
        rules = self.ignore
        if rules is None or any(rule.is_exception for rule in rules.rules):
            return None

        def excluding(path: str) -> str | None:
            rule = rules.excluding(clean(path).strip("/"))
            return None if rule is None else f'"{rule.text}", line {rule.line} of {rule.file}'

        return excluding


def read_dockerfile(context: Path, file: Path | None, recorder: Recorder) -> Dockerfile:
    """``file`` is -f as given; without it ``Dockerfile``, then ``dockerfile``, of the context."""
    candidates = [file] if file is not None else [context / "Dockerfile", context / "dockerfile"]
    for path in candidates:
        try:
            data = recorder.read_file(path)
        except IsADirectoryError as error:
            raise DockerfileNotFound(
                f'"{path}" is a directory, not a Dockerfile', hint="name the file with -f"
            ) from error
        if data is not None:
            name = str(file) if file is not None else path.name
            return Dockerfile(name, data, ignore_rules(context, path, recorder), path)
    tried = " and ".join(f'"{path}"' for path in candidates)
    raise DockerfileNotFound(f"there is no Dockerfile: looked for {tried}", hint="name it with -f")


def ignore_rules(context: Path, dockerfile: Path, recorder: Recorder) -> IgnoreRules | None:
    """Those beside the Dockerfile, else those of the context; None: there are none."""
    beside = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    for path in (beside, context / ".dockerignore"):
        data = recorder.read_file(path)
        if data is not None:
            return IgnoreRules.parse(data, path.name)
    return None


@contextlib.contextmanager
def open_context(
    name: str,
    root: Path,
    rules: IgnoreRules | None,
    stat_cache: Path,
    recorder: Recorder,
    *,
    has_git_modes: bool = False,
) -> Iterator[LocalContext]:
    """A handle on a directory of the user. Nothing is read until a step asks."""
    directory = DirectoryTree(str(root.absolute()))
    tree = IgnoredTree(directory, rules) if rules is not None else directory

    def seen(record: ContentRecord) -> None:
        recorder.note_tree(directory.root, record)

    with StatCache.open(str(stat_cache)) as cache:
        yield LocalContext(name, directory.root, tree, rules, cache, seen, has_git_modes)
