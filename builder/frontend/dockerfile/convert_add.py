"""ADD of what is elsewhere: files of the web and Git repositories, and the flags that only ADD has."""

from __future__ import annotations

from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.errors import PybuildError
from builder.core.gitref import is_git, parse_git, with_checksum
from builder.core.weburl import check_url, file_name, is_http
from builder.frontend.dockerfile.instructions import Copy, InvalidArguments, InvalidFlag
from builder.frontend.dockerfile.node import Word
from builder.frontend.dockerfile.stage_state import StageState
from builder.llb.definition import Edge
from builder.llb.remote import git_vertex, web_vertex


class RemoteSource(NamedTuple):
    """Where one source of an ADD lies."""

    edge: Edge
    path: str
    unpacks: bool


def switch(copy: Copy, name: str) -> bool | None:
    """What --NAME says; None: it is not there."""
    for word in copy.switches:
        flag, _, value = word.text.removeprefix("--").partition("=")
        if flag == name:
            return value.lower() != "false"
    return None


def is_remote(text: str) -> bool:
    """Whether a source lies elsewhere."""
    return is_git(text) or is_http(text)


def refuse_remote(copy: Copy, word: Word, text: str) -> None:
    """COPY reads the context and stages only. Raises InvalidArguments."""
    if not copy.is_add and is_remote(text):
        kind = "git repository" if is_git(text) else "URL"
        raise InvalidArguments(
            f'the source "{text}" is a {kind}, which COPY does not take',
            hint="ADD does",
            location=word.location,
        )


def remote_source(state: StageState, copy: Copy, word: Word, text: str) -> RemoteSource | None:
    """None: the source lies in the build context. Raises InvalidUrl, InvalidGitReference, InvalidFlag."""
    if not copy.is_add or not is_remote(text):
        return None
    checksum = state.expand(copy.checksum) if copy.checksum is not None else ""
    try:
        if is_git(text):
            reference = parse_git(text)
            if checksum:
                with_checksum(reference, checksum)
            vertex = git_vertex(
                text,
                reference,
                checksum=checksum,
                keeps_git_dir=switch(copy, "keep-git-dir") is True,
                location=copy.node.location,
            )
            return RemoteSource(state.scope.graph.add(vertex), "/", unpacks=False)
        check_url(text)
    except PybuildError as error:
        raise error.at(word.location) from None
    digest = _file_digest(copy, checksum) if checksum else None
    vertex = web_vertex(text, checksum=digest, location=copy.node.location)
    unpacks = switch(copy, "unpack") is True
    return RemoteSource(state.scope.graph.add(vertex), f"/{file_name(text)}", unpacks=unpacks)


def check_checksum(copy: Copy, sources: tuple[str, ...]) -> None:
    """--checksum is of one thing from elsewhere. Raises InvalidFlag."""
    if copy.checksum is None:
        return
    if len(sources) + len(copy.heredocs) != 1:
        raise InvalidFlag(
            "a checksum cannot be of several sources",
            hint="give each source an ADD of its own",
            location=copy.checksum.location,
        )
    if not sources or not is_remote(sources[0]):
        raise InvalidFlag(
            "a checksum requires an HTTP(S) or Git source",
            hint="files of the build context need none: leave --checksum out",
            location=copy.checksum.location,
        )


def _file_digest(copy: Copy, text: str) -> Digest:
    assert copy.checksum is not None
    try:
        digest = Digest.parse(text)
    except PybuildError as error:
        raise error.at(copy.checksum.location) from None
    if digest.algorithm != "sha256":
        raise InvalidFlag(
            f"the checksum of a file is a sha256, not a {digest.algorithm}",
            hint="compute it with sha256sum",
            location=copy.checksum.location,
        )
    return digest
