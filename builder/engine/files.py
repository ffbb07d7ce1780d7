"""The files of what was built, in folders and tars of the user."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.platform import Platform
from builder.engine.assemble import Engine
from builder.engine.imagetree import flat_tree
from builder.engine.platforms import Built
from builder.exporter.folder import write_folder
from builder.fs.diff import write_layer, write_trees
from builder.fs.replace import replacing

# Adds to a tree before it is written.
Amend = Callable[[Built, str], object]


class PlatformsCollide(PybuildError):
    """Files of two platforms are to have one place."""

    kind = Kind.CONFLICT
    code = "platforms-collide"

    def __init__(self, path: str, first: Platform, second: Platform) -> None:
        super().__init__(
            f'"{path}" is a file for {first} and for {second}',
            hint="leave out platform-split=false, so that each platform has its own folder",
        )


def write_files(
    engine: Engine,
    built: Sequence[Built],
    folder: Path,
    *,
    is_split: bool,
    is_mirror: bool = False,
    amend: Amend | None = None,
) -> None:
    """Into a folder; with ``is_split`` below ``linux_amd64`` and so on.

    With ``is_mirror`` what else is there goes, of each platform's folder.
    Raises PlatformsCollide, Unsupported.
    """
    if is_mirror and not is_split and len(built) > 1:
        raise Unsupported("one folder cannot mirror several platforms", hint="leave out platform-split=false")
    with ExitStack() as stack:
        trees = _trees(engine, built, amend, stack)
        if not is_split:
            _check_apart(built, trees)
        for each, tree in zip(built, trees, strict=True):
            place = folder / folder_name(each.platform) if is_split else folder
            write_folder(tree, str(place), is_mirror=is_mirror)


def write_tar_of(
    engine: Engine, built: Sequence[Built], output: Path | None, *, amend: Amend | None = None
) -> None:
    """As a tar, to a file or to standard output; several platforms are folders of it."""
    with ExitStack() as stack:
        trees = _trees(engine, built, amend, stack)
        sink: Callable[[bytes], object] = sys.stdout.buffer.write
        if output is not None:
            sink = stack.enter_context(replacing(output)).write
        if len(trees) == 1:
            write_layer(trees[0], sink)
        else:
            names = [folder_name(each.platform) for each in built]
            write_trees(list(zip(names, trees, strict=True)), sink)


def folder_name(platform: Platform) -> str:
    """``linux_arm_v7``, as BuildKit calls it."""
    return str(platform).replace("/", "_")


def _trees(engine: Engine, built: Sequence[Built], amend: Amend | None, stack: ExitStack) -> list[str]:
    trees = []
    for each in built:
        trees.append(stack.enter_context(flat_tree(engine, engine.snapshots.lowers(each.top))))
        if amend is not None:
            amend(each, trees[-1])
    return trees


def _check_apart(built: Sequence[Built], trees: Sequence[str]) -> None:
    """Directories may be of several platforms, anything else of one."""
    seen: dict[str, Platform] = {}
    for each, tree in zip(built, trees, strict=True):
        for path in _leaves(tree):
            other = seen.setdefault(path, each.platform)
            if other is not each.platform:
                raise PlatformsCollide(path, other, each.platform)


def _leaves(tree: str) -> list[str]:
    found = []
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(f"{tree}/{below}") as entries:
            for entry in entries:
                path = f"{below}{entry.name}"
                if stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
                    pending.append(f"{path}/")
                else:
                    found.append(path)
    return sorted(found)
