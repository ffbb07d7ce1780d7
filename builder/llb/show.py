"""A definition as text, one vertex a line, inputs before their users: for people and for golden files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import assert_never

from builder.core.digest import Digest
from builder.llb.definition import Definition, Edge, Vertex
from builder.llb.ops import (
    CacheMount,
    CopyAction,
    ExecOp,
    FileAction,
    FileOp,
    InputMount,
    MakeDirectoryAction,
    MakeFileAction,
    MergeOp,
    OtherMount,
    SecretMount,
    SourceOp,
    SshMount,
    TmpfsMount,
)

_DIGITS = 16  # of a digest
_ROOT = InputMount(input=0, target="/", output=0)


def show(definition: Definition) -> str:
    """``DIGEST OP DETAILS <- INPUTS # NAME``, and the target last."""
    lines = [show_vertex(digest, vertex) for digest, vertex in definition]
    target = "scratch" if definition.target is None else _edge(definition.target)
    return "\n".join((*lines, f"target {target}", ""))


def show_vertex(digest: Digest, vertex: Vertex) -> str:
    """One line, whatever the text in it."""
    words = [digest.hex[:_DIGITS], *_op(vertex)]
    if vertex.platform is not None:
        words.append(f"platform={vertex.platform}")
    if vertex.ignores_cache:
        words.append("no-cache")
    if vertex.inputs:
        words += ("<-", *map(_edge, vertex.inputs))
    if vertex.name:
        words.append(f"# {_one_line(vertex.name)}")
    if vertex.location is not None:
        start, end = vertex.location.start_line, vertex.location.end_line
        words.append(f"@{start}" if start == end else f"@{start}-{end}")
    return " ".join(words)


def _edge(edge: Edge) -> str:
    short = edge.vertex.hex[:_DIGITS]
    return f"{short}.{edge.output}" if edge.output else short


def _op(vertex: Vertex) -> Iterable[str]:
    match vertex.op:
        case SourceOp():
            attributes = [f"{name}={_text(value)}" for name, value in vertex.op.attributes]
            return ["source", _short_digest(vertex.op.identifier), *attributes]
        case ExecOp():
            return ["exec", *_exec(vertex.op)]
        case FileOp():
            base = (
                []
                if vertex.op.base == 0
                else ["base=empty" if vertex.op.base < 0 else f"base={vertex.op.base}"]
            )
            return ["file", *base, *map(_action, vertex.op.actions)]
        case MergeOp():
            return ["merge", *([_text(vertex.op.destination)] if vertex.op.destination else [])]
        case _:
            assert_never(vertex.op)


def _exec(op: ExecOp) -> Iterator[str]:
    yield _list(op.args)
    if op.env:
        yield f"env={_list(op.env)}"
    if op.cwd != "/":
        yield f"cwd={_text(op.cwd)}"
    if op.user:
        yield f"user={_text(op.user)}"
    if op.network != "default":
        yield f"network={op.network}"
    if op.security != "sandbox":
        yield f"security={op.security}"
    if op.hostname:
        yield f"hostname={_text(op.hostname)}"
    if op.host_names:
        yield f"hosts={_list(op.host_names)}"
    if op.ulimits:
        yield f"ulimits={_list(map(str, op.ulimits))}"
    if op.shm_size:
        yield f"shm={op.shm_size}"
    if op.cgroup_parent:
        yield f"cgroup={_text(op.cgroup_parent)}"
    if op.unkeyed_env:
        yield f"unkeyed={_list(op.unkeyed_env)}"
    for mount in op.mounts:
        if mount != _ROOT:
            yield _mount(mount)
    yield from map(_other_mount, op.other_mounts)


def _mount(mount: InputMount) -> str:
    parts = [mount.target, "empty" if mount.input < 0 else f"input={mount.input}"]
    if mount.selector:
        parts.append(f"path={_text(mount.selector)}")
    if mount.is_read_only:
        parts.append("ro")
    if mount.output is not None:
        parts.append(f"output={mount.output}")
    if mount.is_content_keyed:
        parts.append("by-content")
    return f"mount({', '.join(parts)})"


def _other_mount(mount: OtherMount) -> str:
    match mount:
        case CacheMount():
            parts = ["empty" if mount.input < 0 else f"input={mount.input}"]
            parts += [f"path={_text(mount.selector)}"] if mount.selector else []
            parts += ["ro"] if mount.is_read_only else []
            parts += _permissions(mount.mode, mount.uid, mount.gid)
            parts += [f"id={_text(mount.id)}", mount.sharing]
            return f"cache({', '.join((_text(mount.target), *parts))})"
        case TmpfsMount():
            parts = [f"size={mount.size}"] if mount.size else []
            parts += ["ro"] if mount.is_read_only else []
            return f"tmpfs({', '.join((_text(mount.target), *parts))})"
        case SecretMount():
            parts = [_text(mount.id)]
            parts += [_text(mount.target)] if mount.target else []
            parts += [f"env={_text(mount.variable)}"] if mount.variable else []
            parts += _permissions(mount.mode, mount.uid, mount.gid)
            parts += ["required"] if mount.is_required else []
            return f"secret({', '.join(parts)})"
        case SshMount():
            parts = [_text(mount.id), _text(mount.target), *_permissions(mount.mode, mount.uid, mount.gid)]
            parts += ["required"] if mount.is_required else []
            return f"ssh({', '.join(parts)})"
        case _:
            assert_never(mount)


def _permissions(mode: int | None, uid: int | None, gid: int | None) -> list[str]:
    parts = [] if mode is None else [f"mode={mode:04o}"]
    return parts + [f"{name}={value}" for name, value in (("uid", uid), ("gid", gid)) if value is not None]


def _action(action: FileAction) -> str:
    match action:
        case CopyAction():
            parts = [f"{action.input}:{_text(action.source)}", _text(action.destination)]
            flags = {
                "keep-owner": action.keeps_owner,
                "unpack": action.unpacks,
                "literal": not action.allows_wildcards,
                "keep-top": action.keeps_top,
            }
            parts += (name for name, is_on in flags.items() if is_on)
            lists = {"include": action.includes, "exclude": action.excludes}
            parts += (f"{name}={_list(items)}" for name, items in lists.items() if items)
            parts += _owner_and_mode(action.owner, action.mode)
            return f"copy({', '.join(parts)})"
        case MakeFileAction():
            data = action.data.decode("utf-8", "backslashreplace")
            parts = [_text(action.destination), _text(data, quoted=True)]
            return f"write({', '.join((*parts, *_owner_and_mode(action.owner, action.mode)))})"
        case MakeDirectoryAction():
            parts = _owner_and_mode(action.owner, f"{action.mode:04o}")
            if action.mtime_s is not None:
                parts.append(f"mtime={action.mtime_s}")
            return f"mkdir({', '.join((_text(action.path), *parts))})"
        case _:
            assert_never(action)


def _owner_and_mode(owner: str | None, mode: str | None) -> list[str]:
    return [
        f"{name}={_text(value)}" for name, value in (("owner", owner), ("mode", mode)) if value is not None
    ]


def _list(items: Iterable[str]) -> str:
    return json.dumps(list(items), ensure_ascii=False)


def _text(text: str, *, quoted: bool = False) -> str:
    """As it is where that is unmistakable."""
    is_plain = text and text.isprintable() and not set(text) & set(" ,()\"'\\")
    return text if is_plain and not quoted else json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("\\\\", "\\")


def _short_digest(identifier: str) -> str:
    name, at, digest = identifier.rpartition("@")
    algorithm, colon, hex_digits = digest.partition(":")
    return f"{name}@{algorithm}:{hex_digits[:_DIGITS]}" if at and colon else identifier
