"""COPY, ADD and WORKDIR: file actions on a tree, without mounting it and without privileges."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from builder.core.canonical import digest_of, plain
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.events import Warned
from builder.core.job import Job
from builder.fs.gitmode import git_mode
from builder.fs.select import Match, select
from builder.fs.tree import StackedTree, Tree
from builder.llb.definition import Vertex
from builder.llb.ops import CopyAction, FileAction, FileOp, MakeDirectoryAction, MakeFileAction
from builder.ops.results import Result, SnapshotResult, snapshot_of, tree_of
from builder.ops.selectors import copy_selector
from builder.solver.interface import CacheMap, Dep, Executed
from builder.source.interface import LocalContext
from builder.store.interface import ActiveSnapshot, Snapshotter

if TYPE_CHECKING:  # a step that is cached copies nothing
    from builder.fs.contenthash import ContentReader, ContentRecord
    from builder.fs.editor import TreeEditor
    from builder.fs.filters import CopyFilter

# How often a source that changes under the copy is read again before the user is asked to hold still.
_ATTEMPTS = 3


class ContextChanging(PybuildError):
    """Files of the context would not hold still."""

    kind = Kind.CONFLICT
    code = "context-changing"


class _Changed(Exception):
    """Files are no longer what was hashed; by input, their paths."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__("the context changed")
        self.paths = paths


class FileOperation:
    """One FileOp vertex."""

    def __init__(self, digest: Digest, vertex: Vertex, op: FileOp, snapshots: Snapshotter) -> None:
        self._digest = digest
        self._vertex = vertex
        self._op = op
        self._snapshots = snapshots
        self._records: dict[int, ContentRecord] = {}  # by action: what was hashed of a context
        self._readers: dict[int, list[ContentReader]] = {}  # by input: what hashed it
        self._listings: dict[int, bytes] = {}  # by input

    def cache_map(self, job: Job) -> CacheMap[Result]:
        """See Op."""
        actions = tuple(_keyed(action) for action in self._op.actions)
        identity = ("file", replace(self._op, actions=actions), str(self._vertex.platform or ""))
        deps = tuple(self._dep(index) for index in range(len(self._vertex.inputs)))
        return CacheMap(digest_of(identity), deps, plain=lambda: plain(identity[1]))

    def execute(self, job: Job, inputs: Sequence[Result]) -> Executed[Result]:
        """See Op."""
        contents: dict[int, Digest] = {}
        for _ in range(_ATTEMPTS):
            active = self._snapshots.prepare(snapshot_of(inputs[self._op.base]) if self._op.base >= 0 else "")
            try:
                self._apply(active, inputs, job)
                snapshot = self._snapshots.commit(active, created_at=time.time())
                return Executed((SnapshotResult(snapshot.name),), contents)
            except _Changed as changed:
                # The copy must be of what the key says: read anew, and take the key of that.
                job.progress.emit(
                    Warned(
                        f'"{changed.paths[0]}" changed during the build; it is read again',
                        None,
                        self._vertex.location,
                    )
                )
                contents = {
                    index: self._content(index, result)
                    for index, result in enumerate(inputs)
                    if isinstance(result, LocalContext)
                }
            finally:
                self._snapshots.discard(active)
        raise ContextChanging(
            "files of the build context keep changing while they are copied",
            hint="stop what writes to them, or exclude them in .dockerignore",
        )

    # -- keys -----------------------------------------------------------------------------------------------

    def _dep(self, index: int) -> Dep[Result]:
        actions = self._copies(index)
        if index == self._op.base and not actions:
            return Dep()
        selector = copy_selector(action for _, action in actions)
        return Dep(self._content_function(index), selector, lambda: self._listing(index))

    def _content_function(self, index: int) -> Callable[[Result], Digest]:
        return lambda result: self._content(index, result)

    def _content(self, index: int, result: Result) -> Digest:
        from builder.fs.contenthash import ContentReader

        tree = tree_of(result, self._snapshots)
        cache = result.stat_cache if isinstance(result, LocalContext) else None
        digests = []
        readers = self._readers[index] = []
        self._listings.pop(index, None)
        for number, action in self._copies(index):
            reader = ContentReader(
                tree,
                keeps_owner=action.keeps_owner,
                cache=cache,
                filter=_filter_of(action),
                has_git_modes=_has_git_modes(result),
                counts_top=action.keeps_top,
            )
            readers.append(reader)
            digests.append(reader.digest(self._select(tree, action)))
            if isinstance(result, LocalContext):
                self._records[number] = reader.record
                result.seen(reader.record)
        return digests[0] if len(digests) == 1 else digest_of(tuple(digests))

    def _listing(self, index: int) -> bytes | None:
        readers = self._readers.get(index)
        if readers is None:
            return None
        if index not in self._listings:
            from builder.fs.listing import join_listings

            self._listings[index] = join_listings([r.listing(number) for number, r in enumerate(readers)])
        return self._listings[index]

    def _copies(self, index: int) -> list[tuple[int, CopyAction]]:
        return [
            (number, action)
            for number, action in enumerate(self._op.actions)
            if isinstance(action, CopyAction) and action.input == index
        ]

    # -- execution ------------------------------------------------------------------------------------------

    def _apply(self, active: ActiveSnapshot, inputs: Sequence[Result], job: Job) -> None:
        from builder.fs.editor import TreeEditor

        lowers = self._snapshots.lowers(active.parent)
        editor = TreeEditor(str(active.upper), StackedTree(lowers) if lowers else None)
        for number, action in enumerate(self._op.actions):
            job.cancel.check()
            match action:
                case CopyAction():
                    self._copy(editor, number, action, inputs[action.input])
                case MakeFileAction():
                    _make_file(editor, action)
                case MakeDirectoryAction():
                    self._make_directory(editor, action, job)
                case _:
                    assert_never(action)

    def _copy(self, editor: TreeEditor, number: int, action: CopyAction, source: Result) -> None:
        from builder.fs.copy import copy
        from builder.fs.editor import Attributes
        from builder.fs.mode import ModeChange
        from builder.ops.owner import owner_of

        tree = tree_of(source, self._snapshots)
        matches = self._select(tree, action)
        owner = owner_of(editor, action.owner) if action.owner is not None else None
        mode = ModeChange.parse(action.mode) if action.mode is not None else None
        record = self._records.get(number)
        report = copy(
            editor,
            tree,
            matches,
            action.destination,
            owner=owner,
            mode=mode,
            keeps_owner=action.keeps_owner,
            unpacks=action.unpacks,
            record=record,
            filter=_filter_of(action),
            has_git_modes=_has_git_modes(source),
        )
        if action.keeps_top and matches[0].entry.kind == "dir" and matches[0].entry.path:
            top = matches[0].entry
            top_mode = git_mode(top) if _has_git_modes(source) else top.mode
            editor.set_attributes(
                editor.resolve(action.destination), Attributes(top_mode, 0, 0, top.mtime_ns)
            )
        if report.changed:
            raise _Changed(report.changed)

    def _select(self, tree: Tree, action: CopyAction) -> list[Match]:
        is_context = not action.keeps_owner
        place = "the build context" if is_context else "what --from names"
        try:
            return select(
                tree,
                action.source,
                allows_wildcards=action.allows_wildcards,
                place=place,
                shown=action.location_hint,
                includes=action.includes,
                what=action.what,
            )
        except PybuildError as error:
            raise error.at(action.location) from None

    def _make_directory(self, editor: TreeEditor, action: MakeDirectoryAction, job: Job) -> None:
        from builder.ops.owner import UnknownOwner, owner_of

        owner = (0, 0)
        if action.owner is not None:
            try:
                owner = owner_of(editor, action.owner)
            except UnknownOwner as error:
                # Docker makes the directory as root and leaves it to RUN to complain about the user.
                job.progress.emit(
                    Warned(
                        f"{error.message}; the directory belongs to root", error.hint, self._vertex.location
                    )
                )
        mtime_ns = None if action.mtime_s is None else action.mtime_s * 1_000_000_000
        editor.make_directories(editor.resolve(action.path), action.mode, owner, mtime_ns=mtime_ns)


def _make_file(editor: TreeEditor, action: MakeFileAction) -> None:
    from builder.fs.editor import Attributes
    from builder.fs.mode import ModeChange
    from builder.ops.owner import owner_of

    owner = owner_of(editor, action.owner) if action.owner is not None else (0, 0)
    path = editor.resolve(action.destination)
    editor.make_directories(path.rpartition("/")[0], 0o755, owner)
    descriptor = editor.create_file(path)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(action.data)
        mode = ModeChange.parse(action.mode).apply(0o644, is_directory=False)
        editor.seal(descriptor, path, Attributes(mode, *owner))
    finally:
        os.close(descriptor)


def _has_git_modes(result: Result) -> bool:
    return isinstance(result, LocalContext) and result.has_git_modes


def _filter_of(action: CopyAction) -> CopyFilter | None:
    if not action.includes and not action.excludes:
        return None
    from builder.fs.filters import CopyFilter

    return CopyFilter(action.includes, action.excludes)


def _keyed(action: FileAction) -> FileAction:
    """The action as it counts in the key: a source by its last name, for its content counts already."""
    if isinstance(action, CopyAction):
        return replace(action, source=action.source.rstrip("/").rpartition("/")[2])
    return action
