"""What a build is given to read: its Dockerfile, its context, and the contexts that have names.

A context is a folder, or it becomes a tree of the store: of a Git commit, or of an archive that comes from an
address or from standard input. Ignore rules are of folders only, as in BuildKit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.gitref import is_git, parse_git
from builder.core.reference import Reference
from builder.core.weburl import check_url, is_http, shown
from builder.engine.assemble import Engine
from builder.engine.context import (
    Dockerfile,
    DockerfileNotFound,
    ignore_rules,
    open_context,
    read_dockerfile,
)
from builder.engine.contextepoch import newest_s, wants_context_epoch, with_commit_times
from builder.engine.project import ContextModes, read_project
from builder.engine.recorder import Recorder
from builder.frontend.interface import NO_CONTEXT, ContextSource, context_name
from builder.llb.definition import Definition, DefinitionBuilder, Edge, Vertex
from builder.llb.ops import CopyAction, FileOp, SourceOp
from builder.llb.remote import git_vertex, web_vertex
from builder.source.interface import LocalContext

STDIN = "-"
_FILE = "context"  # the name of the one file in the tree of an address, as in BuildKit
_MAX_DOCKERFILE = 16 << 20  # bytes
_KEEP_GIT_DIR = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"


class ContextNotFound(PybuildError):
    """A build context is no directory."""

    kind = Kind.NOT_FOUND
    code = "context-not-found"


class InvalidInput(PybuildError):
    """What is on standard input cannot be used as asked."""

    kind = Kind.INVALID
    code = "invalid-input"


def named_context(text: str) -> str:
    """The name of a --build-context in the form that is compared. Raises InvalidReference."""
    Reference.parse(text)
    return context_name(text)


class Asked(NamedTuple):
    """What the command line says; ``file`` None: the usual name."""

    context: str
    file: str | None
    named: Mapping[str, str]
    build_args: Mapping[str, str]
    context_modes: ContextModes | None = None  # None: as the project's own settings say


class Inputs(NamedTuple):
    """What the frontend gets. ``context`` None: the folder called "context"."""

    dockerfile: Dockerfile
    context: ContextSource | None
    named: Mapping[str, ContextSource]
    epoch_s: int | None = None  # the context's time, if it was asked for and there is one


@contextlib.contextmanager
def open_inputs(
    engine: Engine,
    recorder: Recorder,
    asked: Asked,
    folders: dict[str, LocalContext],
    blobs: dict[str, Path],
    solve: Callable[[Definition], str],
) -> Iterator[Inputs]:
    """``folders`` and ``blobs`` are filled for the steps to read; ``solve`` gives the name of a tree.

    Raises ContextNotFound, DockerfileNotFound, InvalidInput, and what fetching raises.
    """
    with contextlib.ExitStack() as stack:
        reader = _Reader(engine, recorder, asked, folders, blobs, solve, stack)
        named = {name: reader.named(name, value) for name, value in asked.named.items()}
        dockerfile, context = reader.main()
        yield Inputs(dockerfile, context, named, reader.epoch_s)


class _Reader:
    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        asked: Asked,
        folders: dict[str, LocalContext],
        blobs: dict[str, Path],
        solve: Callable[[Definition], str],
        stack: contextlib.ExitStack,
    ) -> None:
        self._engine = engine
        self._recorder = recorder
        self._asked = asked
        self._folders = folders
        self._blobs = blobs
        self._solve = solve
        self._stack = stack
        self._wants_epoch = wants_context_epoch(asked.build_args)
        self.epoch_s: int | None = None

    # -- the context of COPY --------------------------------------------------------------------------------

    def main(self) -> tuple[Dockerfile, ContextSource | None]:
        text = self._asked.context
        if self._asked.file is not None and is_http(self._asked.file):
            raise Unsupported(
                "a Dockerfile that is an address is not built yet", hint="fetch it, and name the file with -f"
            )
        if text == STDIN:
            return self._from_stdin()
        if not Path(text).is_dir():
            if text.startswith("github.com/"):
                text = f"https://{text.partition('#')[0].removesuffix('.git')}.git{_fragment(text)}"
            if is_git(text):
                return self._from_git(text)
            if is_http(text):
                return self._from_web(text)
            raise ContextNotFound(
                f'the build context "{text}" is not a directory',
                hint="the last argument of `pybuild build` is the folder with the files to copy, often .",
            )
        return self._from_folder(Path(text)), None

    def _from_folder(self, root: Path) -> Dockerfile:
        file = self._asked.file
        if file == STDIN:
            rules = ignore_rules(root, root / "Dockerfile", self._recorder)
            dockerfile = Dockerfile("Dockerfile", self._dockerfile_of_stdin(), rules)
        else:
            dockerfile = read_dockerfile(root, Path(file) if file is not None else None, self._recorder)
        self._open_folder("context", root, dockerfile)
        return dockerfile

    def _open_folder(self, name: str, root: Path, dockerfile: Dockerfile | None) -> None:
        rules = ignore_rules(root, root / "", self._recorder) if dockerfile is None else dockerfile.ignore
        modes = self._asked.context_modes or read_project(root, self._recorder).context_modes
        self._folders[name] = self._stack.enter_context(
            open_context(
                name,
                root,
                rules,
                self._engine.state.stat_cache,
                self._recorder,
                has_git_modes=modes == "git",
            )
        )

    def _from_git(self, text: str) -> tuple[Dockerfile, ContextSource]:
        keeps = self._asked.build_args.get(_KEEP_GIT_DIR, "").lower() in ("1", "t", "true")
        reference = parse_git(text)
        if self._wants_epoch:
            reference = with_commit_times(reference, text)
        tree = _definition(git_vertex(text, reference, keeps_git_dir=keeps))
        snapshot = self._solve(tree)
        self._note_newest(snapshot)
        return self._dockerfile_in(snapshot), ContextSource(tree=tree)

    def _note_newest(self, snapshot: str) -> None:
        if self._wants_epoch and self.epoch_s is None:
            self.epoch_s = newest_s(self._engine.snapshots.directory(snapshot))

    def _from_web(self, url: str) -> tuple[Dockerfile, ContextSource]:
        check_url(url)
        vertex = web_vertex(url, filename=_FILE)
        file = self._file_in(self._solve(_definition(vertex)))
        if self._wants_epoch:
            # What the server calls Last-Modified; 0 where it does not say.
            self.epoch_s = int(os.stat(file).st_mtime) or None
        with open(file, "rb") as stream:
            if not _is_archive(stream):
                # The file stays what it is: a context that holds it.
                data = self._dockerfile_of_stdin() if self._asked.file == STDIN else _read(stream, shown(url))
                return Dockerfile("Dockerfile", data, None), ContextSource(tree=_definition(vertex))
        return self._from_archive(vertex)

    def _from_stdin(self) -> tuple[Dockerfile, ContextSource]:
        if self._asked.file == STDIN:
            raise InvalidInput(
                "standard input cannot be the context and the Dockerfile at once",
                hint="name the folder with the files, or leave -f - out",
            )
        path, digest = self._spool(_standard_input())
        with open(path, "rb") as stream:
            if not _is_archive(stream):
                if self._asked.file is not None:
                    raise InvalidInput(
                        "there are two Dockerfiles: one on standard input, and the one that -f names",
                        hint="leave -f out, or give a tar archive on standard input",
                    )
                return Dockerfile("Dockerfile", _read(stream, "standard input"), None), NO_CONTEXT
        self._blobs[str(digest)] = path
        op = SourceOp(identifier=f"blob://{digest}", attributes=(("filename", _FILE),))
        return self._from_archive(Vertex(op=op, name="[internal] load archive of standard input"))

    def _from_archive(self, vertex: Vertex) -> tuple[Dockerfile, ContextSource]:
        action = CopyAction(
            input=0,
            source=f"/{_FILE}",
            destination="/",
            unpacks=True,
            allows_wildcards=False,
            keeps_owner=True,
        )
        unpacked = Vertex(
            op=FileOp(actions=(action,), base=-1),
            inputs=(Edge(vertex.digest()),),
            name="[internal] unpack build context",
        )
        tree = _definition(vertex, unpacked)
        snapshot = self._solve(tree)
        self._note_newest(snapshot)
        return self._dockerfile_in(snapshot), ContextSource(tree=tree, keeps_owner=True)

    # -- contexts with names --------------------------------------------------------------------------------

    def named(self, name: str, value: str) -> ContextSource:
        scheme, found, rest = value.partition("://")
        if found and scheme == "docker-image":
            Reference.parse(rest)
            return ContextSource(image=rest)
        if found and scheme == "oci-layout":
            return ContextSource(image=f"oci-layout://{Path(rest).absolute()}")
        if is_git(value):
            return ContextSource(tree=_definition(git_vertex(value, parse_git(value))))
        if is_http(value):
            check_url(value)
            return ContextSource(tree=_definition(web_vertex(value)))
        if found or value.startswith(("target:", "input:")):
            raise Unsupported(
                f"--build-context {name}={shown(value)}: no such kind of context",
                hint="it is a folder, docker-image://, oci-layout://, a Git repository or an http(s) address",
            )
        root = Path(value)
        if not root.is_dir():
            raise ContextNotFound(
                f'the build context "{name}" is not a directory: "{value}"',
                hint="look at --build-context; paths are relative to where pybuild was started",
            )
        # A name that no Dockerfile can say for the main context.
        folder = f"named/{name}"
        self._open_folder(folder, root, None)
        op = SourceOp(identifier=f"local://{folder}")
        return ContextSource(tree=_definition(Vertex(op=op, name=f"[internal] load context {name}")))

    # -- files ----------------------------------------------------------------------------------------------

    def _dockerfile_in(self, snapshot: str) -> Dockerfile:
        """-f is a path inside the context, if that is no folder of this machine."""
        from builder.fs.tree import StackedTree, resolve

        file = self._asked.file
        if file == STDIN:
            return Dockerfile("Dockerfile", self._dockerfile_of_stdin(), None)
        tree = StackedTree(self._engine.snapshots.lowers(snapshot))
        for name in [file] if file is not None else ["Dockerfile", "dockerfile"]:
            entry = tree.lookup(resolve(tree, name))
            if entry is not None and entry.kind == "file":
                with open(entry.real, "rb") as stream:
                    return Dockerfile(name, _read(stream, name), None)
        looked = f'"{file}"' if file is not None else '"Dockerfile" and "dockerfile"'
        raise DockerfileNotFound(
            f"there is no Dockerfile in the build context: looked for {looked}",
            hint="name it with -f, as a path inside the context",
        )

    def _file_in(self, snapshot: str) -> str:
        return f"{self._engine.snapshots.directory(snapshot)}/{_FILE}"

    def _dockerfile_of_stdin(self) -> bytes:
        data = _read(_standard_input(), "standard input")
        self._recorder.note("input", STDIN, str(Digest.of(data)))
        return data

    def _spool(self, stream: BinaryIO) -> tuple[Path, Digest]:
        path = self._engine.state.scratch / "stdin"
        hasher = hashlib.sha256()
        with open(path, "xb") as file:
            while data := stream.read(1 << 20):
                self._engine.job.cancel.check()
                hasher.update(data)
                file.write(data)
        digest = Digest.from_hash(hasher)
        self._recorder.note("input", STDIN, str(digest))
        return path, digest


def _fragment(text: str) -> str:
    _, mark, fragment = text.partition("#")
    return mark + fragment


def _standard_input() -> BinaryIO:
    if sys.stdin.isatty():
        raise InvalidInput(
            "standard input is a terminal", hint="give a Dockerfile or a tar archive: pybuild build - < FILE"
        )
    return sys.stdin.buffer


def _read(stream: BinaryIO, name: str) -> bytes:
    data = stream.read(_MAX_DOCKERFILE + 1)
    if len(data) > _MAX_DOCKERFILE:
        raise InvalidInput(
            f'"{name}" is too large for a Dockerfile, and no tar archive', hint="look at what it is"
        )
    return data


def _is_archive(stream: BinaryIO) -> bool:
    """Leaves the stream at its beginning."""
    from builder.fs.extract import open_archive

    is_archive = open_archive(stream) is not None
    stream.seek(0)
    return is_archive


def _definition(*vertices: Vertex) -> Definition:
    """A chain whose last vertex is wanted."""
    builder = DefinitionBuilder()
    edge = None
    for vertex in vertices:
        edge = builder.add(vertex)
    return builder.build(edge)
