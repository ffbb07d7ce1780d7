"""COPY, ADD and WORKDIR: one file vertex each."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from builder.core.location import Location
from builder.core.weburl import shown
from builder.frontend.dockerfile.convert_add import (
    RemoteSource,
    check_checksum,
    refuse_remote,
    remote_source,
    switch,
)
from builder.frontend.dockerfile.convert_run import inline_file
from builder.frontend.dockerfile.instructions import Copy, InvalidFlag, Workdir
from builder.frontend.dockerfile.node import Heredoc, Word
from builder.frontend.dockerfile.scope import check_reference
from builder.frontend.dockerfile.stage_state import StageState, clean_path
from builder.frontend.dockerfile.stages import SCRATCH
from builder.frontend.dockerfile.values import is_mode
from builder.frontend.dockerfile.words import Mode
from builder.llb.definition import Edge, Vertex
from builder.llb.ops import CopyAction, FileAction, FileOp, MakeDirectoryAction, MergeOp

# Bodies of heredocs always have a backslash for their escape, and their quotes are text.
_BODY = Mode(escape="\\", has_quotes=False)


class _Copying(NamedTuple):
    """A COPY whose words are expanded."""

    sources: tuple[str, ...]
    destination: str  # as in the history
    target: str  # absolute
    owner: str
    mode: str


class Origin(NamedTuple):
    """The tree that --from means; ``keeps_owner``: its files are copied with the owners that they have."""

    edge: Edge
    keeps_owner: bool = True


def convert_copy(state: StageState, copy: Copy, source: Origin | None, *, is_trigger: bool) -> None:
    """``source`` None: the build context. Raises InvalidFlag, NoContext, …"""
    copying = _expanded(state, copy)
    is_linked = copy.has("--link") and state.edge is not None
    inputs = [] if state.edge is None or is_linked else [state.edge]
    base = len(inputs) - 1
    actions: list[FileAction] = []
    place = -1  # one input for all sources that come from one place
    for word, text in zip(copy.sources, copying.sources, strict=True):
        remote = remote_source(state, copy, word, text)
        if remote is not None:
            inputs.append(remote.edge)
            actions.append(_remote_action(copy, copying, len(inputs) - 1, remote, word, text))
            continue
        if source is None:
            source = Origin(state.scope.context(word.location), state.scope.context_keeps_owner)
        if place < 0:
            place = len(inputs)
            inputs.append(source.edge)
        action = _source_action(copy, copying, place, text, word.location)
        actions.append(replace(action, keeps_owner=source.keeps_owner))
    for heredoc in copy.heredocs:
        inputs.append(_inline_file(state, copy, heredoc))
        actions.append(_action(copying, len(inputs) - 1, heredoc.name, allows_wildcards=False))
    vertex = Vertex(
        op=FileOp(actions=tuple(actions), base=base),
        inputs=tuple(inputs),
        name=state.instruction_name(copy.node, is_trigger=is_trigger),
        location=copy.node.location,
        ignores_cache=state.ignores_cache,
    )
    edge = state.scope.graph.add(vertex)
    state.edge = _linked(state, copying, edge, vertex) if is_linked else edge
    state.commit(_history_text(copy, copying), has_layer=True)


def _linked(state: StageState, copying: _Copying, layer: Edge, vertex: Vertex) -> Edge:
    """A layer that was made by itself, over what the stage has so far.

    It has no name: to people, this and the copy are one step.
    """
    assert state.edge is not None, "over nothing there is nothing to merge"
    merge = Vertex(
        op=MergeOp(destination=clean_path(copying.target)),
        inputs=(state.edge, layer),
        location=vertex.location,
        ignores_cache=vertex.ignores_cache,
    )
    return state.scope.graph.add(merge)


def _expanded(state: StageState, copy: Copy) -> _Copying:
    sources = tuple(state.expand(word) for word in copy.sources)
    for word, text in zip(copy.sources, sources, strict=True):
        refuse_remote(copy, word, text)
    check_checksum(copy, sources)
    destination = state.expand(copy.destination)
    _check_excludes(state, copy)
    return _Copying(
        sources=sources,
        destination=destination,
        target=_target(state.cwd, destination),
        owner=_owner(state, copy),
        mode=_mode(state, copy),
    )


def _action(
    copying: _Copying,
    number: int,
    source: str,
    *,
    allows_wildcards: bool = True,
) -> CopyAction:
    return CopyAction(
        input=number,
        source=clean_path(source),
        destination=copying.target,
        owner=copying.owner or None,
        mode=copying.mode or None,
        allows_wildcards=allows_wildcards,
        location_hint=source,
    )


def _source_action(copy: Copy, copying: _Copying, number: int, source: str, location: Location) -> CopyAction:
    base, pattern = _at_pivot(source) if copy.has("--parents") else (source, "")
    return replace(
        _action(copying, number, base),
        unpacks=copy.is_add and switch(copy, "unpack") is not False,
        includes=(pattern,) if pattern else (),
        excludes=tuple(word.text for word in copy.excludes),
        location_hint=source,
        location=location,
    )


def _remote_action(
    copy: Copy, copying: _Copying, number: int, remote: RemoteSource, word: Word, source: str
) -> CopyAction:
    return replace(
        _action(copying, number, remote.path, allows_wildcards=False),
        unpacks=remote.unpacks,
        excludes=tuple(word.text for word in copy.excludes),
        location_hint=shown(source),
        location=word.location,
    )


def _at_pivot(source: str) -> tuple[str, str]:
    """The directory whose names --parents keeps, and what is copied of it; "" for all of it."""
    base, pivot, rest = source.partition("/./")
    pattern = clean_path(rest if pivot else source)[1:]
    return (base or "/") if pivot else "/", pattern


def _history_text(copy: Copy, copying: _Copying) -> str:
    words = ["ADD" if copy.is_add else "COPY"]
    if copy.has("--parents"):
        words.append("--parents")
    if copying.owner:
        words.append(f"--chown={copying.owner}")
    if copying.mode:
        words.append(f"--chmod={copying.mode}")
    words += (shown(text) if "://" in text else text for text in copying.sources)
    words += (f"<<{heredoc.name}" for heredoc in copy.heredocs)
    return " ".join((*words, copying.destination, "# buildkit"))


def check_image_origin(origin: Word) -> None:
    """--from of an image takes no variables. Raises InvalidFlag, InvalidReference."""
    if "$" in origin.text:
        raise InvalidFlag(
            f'variables are not expanded in --from "{origin.text}"',
            hint="give the image a stage of its own: FROM image AS name, with ARGs above the first FROM",
            location=origin.location,
        )
    if origin.text != SCRATCH:
        check_reference(origin.text, origin.location)


def _owner(state: StageState, copy: Copy) -> str:
    """Raises InvalidFlag for a name that --link leaves without a user database."""
    if copy.owner is None:
        return ""
    owner = state.expand(copy.owner)
    names = [name for name in owner.split(":") if name and not name.isdecimal()]
    if names and copy.has("--link"):
        raise InvalidFlag(
            f'--link knows no users or groups by name, such as "{names[0]}" of --chown',
            hint="the layer is made without the image's files; use numbers, or leave out --link",
            location=copy.owner.location,
        )
    return owner


def _check_excludes(state: StageState, copy: Copy) -> None:
    for word in copy.excludes:
        if word.text.strip().removeprefix("!").strip().startswith("/"):
            state.scope.warn(
                f'--exclude "{word.text}" excludes nothing: it begins with a slash',
                "patterns count from each directory that is copied; write it without the slash",
                word.location,
            )


def _mode(state: StageState, copy: Copy) -> str:
    if copy.mode is None:
        return ""
    mode = state.expand(copy.mode)
    if mode and not is_mode(mode):
        raise InvalidFlag(
            f'invalid mode "{mode}"',
            hint="write an octal number up to 7777, or a symbolic mode such as u=rwX,go=rX",
            location=copy.mode.location,
        )
    return mode


def _target(cwd: str, text: str) -> str:
    """Absolute; ends with a slash where the text says that it is a directory."""
    path = clean_path(text if text.startswith("/") else f"{cwd}/{text}")
    is_directory = text == "." or text.endswith(("/", "/."))
    return f"{path}/" if is_directory and path != "/" else path


def _inline_file(state: StageState, copy: Copy, heredoc: Heredoc) -> Edge:
    content = heredoc.content
    if heredoc.is_expanded:
        content = state.expand(Word(content, heredoc.location), _BODY)
    expanded = heredoc._replace(content=content)
    return inline_file(state.scope, expanded, mode="0644", location=copy.node.location)


def convert_workdir(state: StageState, workdir: Workdir, *, is_trigger: bool) -> None:
    """Makes the directory even if nothing follows; the root is there."""
    text = state.expand(workdir.path)
    before = state.image.working_dir
    # As Docker has it: an absolute path stays as it is written, a relative one is cleaned.
    path = text if text.startswith("/") else clean_path(f"{before}/{text}")
    state.image = replace(state.image, working_dir=path)
    name = state.instruction_name(workdir.node, is_trigger=is_trigger)
    has_layer = clean_path(path) != "/"
    if has_layer:
        action = MakeDirectoryAction(
            path=clean_path(path), owner=state.image.user or None, mtime_s=state.scope.epoch_s
        )
        vertex = Vertex(
            op=FileOp(actions=(action,), base=-1 if state.edge is None else 0),
            inputs=() if state.edge is None else (state.edge,),
            name=name,
            location=workdir.node.location,
        )
        state.edge = state.scope.graph.add(vertex)
    state.commit(f"WORKDIR {path}", has_layer=has_layer)
