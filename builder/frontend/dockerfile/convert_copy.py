"""COPY, ADD and WORKDIR: one file vertex each."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from builder.core.errors import Unsupported
from builder.frontend.dockerfile.convert_run import inline_file
from builder.frontend.dockerfile.instructions import Copy, InvalidArguments, InvalidFlag, Workdir
from builder.frontend.dockerfile.node import Heredoc, Word
from builder.frontend.dockerfile.scope import check_reference
from builder.frontend.dockerfile.stage_state import StageState, clean_path
from builder.frontend.dockerfile.stages import SCRATCH
from builder.frontend.dockerfile.values import is_mode
from builder.frontend.dockerfile.words import Mode
from builder.llb.definition import Edge, Vertex
from builder.llb.ops import CopyAction, FileAction, FileOp, MakeDirectoryAction

_URL = re.compile(r"https?://", re.IGNORECASE)
_GIT = re.compile(r"(?:git|ssh)://|[\w.-]+@[\w.-]+:|https?://[^#?]*\.git(?:[#?]|\Z)", re.IGNORECASE)
# Bodies of heredocs always have a backslash for their escape, and their quotes are text.
_BODY = Mode(escape="\\", has_quotes=False)


class _Copying(NamedTuple):
    """A COPY whose words are expanded."""

    sources: tuple[str, ...]
    destination: str  # as in the history
    target: str  # absolute
    owner: str
    mode: str


def convert_copy(state: StageState, copy: Copy, source: Edge | None, *, is_trigger: bool) -> None:
    """``source`` is what --from means; None: the build context. Raises Unsupported, InvalidFlag, …"""
    _refuse_flags(copy)
    copying = _expanded(state, copy)
    inputs = [] if state.edge is None else [state.edge]
    base = len(inputs) - 1
    actions: list[FileAction] = []
    if copying.sources:
        # One input for all sources: they come from one place.
        inputs.append(source if source is not None else state.scope.context())
        actions += [
            _action(copying, len(inputs) - 1, text, keeps_owner=copy.origin is not None, unpacks=copy.is_add)
            for text in copying.sources
        ]
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
    state.edge = state.scope.graph.add(vertex)
    state.commit(_history_text(copy, copying), has_layer=True)


def _expanded(state: StageState, copy: Copy) -> _Copying:
    sources = tuple(state.expand(word) for word in copy.sources)
    for word, text in zip(copy.sources, sources, strict=True):
        _refuse_remote(copy, word, text)
    destination = state.expand(copy.destination)
    return _Copying(
        sources=sources,
        destination=destination,
        target=_target(state.cwd, destination),
        owner=state.expand(copy.owner) if copy.owner is not None else "",
        mode=_mode(state, copy),
    )


def _action(
    copying: _Copying,
    number: int,
    source: str,
    *,
    keeps_owner: bool = False,
    unpacks: bool = False,
    allows_wildcards: bool = True,
) -> CopyAction:
    return CopyAction(
        input=number,
        source=clean_path(source),
        destination=copying.target,
        owner=copying.owner or None,
        mode=copying.mode or None,
        keeps_owner=keeps_owner,
        unpacks=unpacks,
        allows_wildcards=allows_wildcards,
        location_hint=source,
    )


def _history_text(copy: Copy, copying: _Copying) -> str:
    words = ["ADD" if copy.is_add else "COPY"]
    if copying.owner:
        words.append(f"--chown={copying.owner}")
    if copying.mode:
        words.append(f"--chmod={copying.mode}")
    words += copying.sources
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


def _refuse_flags(copy: Copy) -> None:
    keyword = copy.node.keyword.upper()
    checksum = (copy.checksum,) if copy.checksum is not None else ()
    named = [("--exclude", word) for word in copy.excludes]
    named += [("--checksum", word) for word in checksum]
    named += [(word.text.partition("=")[0], word) for word in copy.switches]
    for flag, word in named:
        raise Unsupported(
            f"{keyword} {flag} is not supported yet",
            hint="leave the flag out, or build with another tool for now",
            location=word.location,
        )


def _refuse_remote(copy: Copy, word: Word, text: str) -> None:
    """Raises InvalidArguments for COPY, Unsupported for ADD."""
    kind = "git repository" if _GIT.match(text) else "URL" if _URL.match(text) else ""
    if not kind:
        return
    if not copy.is_add:
        raise InvalidArguments(
            f'the source "{text}" is a {kind}, which COPY does not take',
            hint="ADD does",
            location=word.location,
        )
    raise Unsupported(
        f'ADD of a {kind} is not supported yet: "{text}"',
        hint="download it in a RUN, or put it into the build context",
        location=word.location,
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
    is_directory = text in (".", "..") or text.endswith(("/", "/.", "/.."))
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
        action = MakeDirectoryAction(path=clean_path(path), owner=state.image.user or None)
        vertex = Vertex(
            op=FileOp(actions=(action,), base=-1 if state.edge is None else 0),
            inputs=() if state.edge is None else (state.edge,),
            name=name,
            location=workdir.node.location,
        )
        state.edge = state.scope.graph.add(vertex)
    state.commit(f"WORKDIR {path}", has_layer=has_layer)
