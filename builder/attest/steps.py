"""A definition as BuildKit's provenance has it: its operations as JSON in the shape of LLB's messages.

Secrets are ids, and addresses have no logins: what people may not see is in neither form of a definition.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple, assert_never

from builder.attest.materials import layout_name
from builder.core.digest import Digest
from builder.core.platform import Platform
from builder.core.weburl import all_shown
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

_LAYOUT = "oci-layout://"
_EMPTY = -1
# Of LLB's MountType and CacheSharingOpt (BuildKit's solver/pb/ops.proto).
_SECRET, _SSH, _CACHE, _TMPFS = 1, 2, 3, 4
_SHARING = {"shared": 0, "private": 1, "locked": 2}
_NETWORK = {"default": 0, "host": 1, "none": 2}


class Steps(NamedTuple):
    """Inputs stand before their users, the last one only names the result."""

    definition: tuple[Mapping[str, Any], ...]
    names: Mapping[Digest, str]  # of the vertices: step0, step1, …
    locations: Mapping[str, Any]  # by these names


def steps_of(definition: Definition, manifests: Mapping[Digest, Digest]) -> Steps:
    """Every step of a definition; images are named by their manifests, where these are known."""
    names = {digest: f"step{number}" for number, (digest, _) in enumerate(definition)}
    documents: list[Mapping[str, Any]] = []
    locations: dict[str, Any] = {}
    for digest, vertex in definition:
        document: dict[str, Any] = {"id": names[digest], "op": _step(vertex, manifests)}
        if vertex.inputs:
            document["inputs"] = [edge_name(edge, names) for edge in vertex.inputs]
        documents.append(document)
        if vertex.location is not None:
            place = vertex.location
            lines = {"start": {"line": place.start_line}, "end": {"line": place.end_line}}
            locations[names[digest]] = {"locations": [{"ranges": [lines]}]}
    if definition.target is not None:
        last = {
            "id": f"step{len(names)}",
            "op": {"Op": None},
            "inputs": [edge_name(definition.target, names)],
        }
        documents.append(last)
    return Steps(tuple(documents), names, locations)


def edge_name(edge: Edge, names: Mapping[Digest, str]) -> str:
    """``step3:0``."""
    return f"{names[edge.vertex]}:{edge.output}"


def _step(vertex: Vertex, manifests: Mapping[Digest, Digest]) -> dict[str, Any]:
    kind, value = _operation(vertex, manifests)
    document: dict[str, Any] = {"Op": {kind: value}, "constraints": {}}
    if vertex.platform is not None:
        document["platform"] = _platform(vertex.platform)
    return document


def _operation(vertex: Vertex, manifests: Mapping[Digest, Digest]) -> tuple[str, dict[str, Any]]:
    op = vertex.op
    match op:
        case SourceOp():
            return "source", _source(op, manifests)
        case ExecOp():
            return "exec", _exec(op)
        case FileOp():
            actions = [_action(action, op, number) for number, action in enumerate(op.actions)]
            return "file", {"actions": actions}
        case MergeOp():
            return "merge", {"inputs": [{"input": number} for number in range(len(vertex.inputs))]}
        case _:
            assert_never(op)


def _source(op: SourceOp, manifests: Mapping[Digest, Digest]) -> dict[str, Any]:
    name, at, digest = op.identifier.rpartition("@")
    identifier = op.identifier
    if at and op.identifier.startswith("docker-image://"):
        identifier = f"{name}@{manifests.get(Digest.parse(digest), digest)}"
    elif at and name.startswith(_LAYOUT):
        known = manifests.get(Digest.parse(digest), digest)
        identifier = f"{_LAYOUT}{layout_name(name.removeprefix(_LAYOUT))}@{known}"
    # What tells an address with a login from one without is made of that login.
    attributes = {key: value for key, value in op.attributes if key != "address"}
    return _without_empty({"identifier": identifier, "attrs": attributes})


def _exec(op: ExecOp) -> dict[str, Any]:
    meta = {
        "args": list(op.args),
        "env": [all_shown(entry) for entry in op.env],
        "cwd": op.cwd,
        "user": op.user,
        "hostname": op.hostname,
        "extraHosts": [
            {"Host": host, "IP": address}
            for host, address in zip(op.host_names, op.host_addresses, strict=False)
        ],
        "ulimit": [{"Name": each.name, "Soft": each.soft, "Hard": each.hard} for each in op.ulimits],
        "cgroupParent": op.cgroup_parent,
    }
    mounts = [*map(_input_mount, op.mounts), *map(_other_mount, op.other_mounts)]
    document = {
        "meta": _without_empty(meta),
        "mounts": mounts,
        "network": _NETWORK.get(op.network, 0),
        "security": int(op.security == "insecure"),
        "secretenv": [
            _without_empty({"ID": mount.id, "name": mount.variable, "optional": not mount.is_required})
            for mount in op.other_mounts
            if isinstance(mount, SecretMount) and mount.variable
        ],
    }
    return _without_empty(document)


def _input_mount(mount: InputMount) -> dict[str, Any]:
    return _without_empty(
        {
            "input": mount.input,
            "selector": mount.selector,
            "dest": mount.target,
            "output": _EMPTY if mount.output is None else mount.output,
            "readonly": mount.is_read_only,
        },
        keep=("input", "output"),
    )


def _other_mount(mount: OtherMount) -> dict[str, Any]:
    document: dict[str, Any] = {"input": _EMPTY, "dest": mount.target, "output": _EMPTY}
    match mount:
        case CacheMount():
            cache = {"ID": mount.id, "sharing": _SHARING[mount.sharing]}
            document |= {"input": mount.input, "selector": mount.selector, "readonly": mount.is_read_only}
            document |= {"mountType": _CACHE, "cacheOpt": _without_empty(cache)}
        case TmpfsMount():
            tmpfs = {"size": mount.size}
            document |= {"mountType": _TMPFS, "TmpfsOpt": tmpfs, "readonly": mount.is_read_only}
        case SecretMount():
            secret = {"ID": mount.id, "uid": mount.uid, "gid": mount.gid, "mode": mount.mode}
            secret["optional"] = not mount.is_required
            document |= {"mountType": _SECRET, "secretOpt": _without_empty(secret)}
        case SshMount():
            ssh = {"ID": mount.id, "uid": mount.uid, "gid": mount.gid, "mode": mount.mode}
            ssh["optional"] = not mount.is_required
            document |= {"mountType": _SSH, "SSHOpt": _without_empty(ssh)}
        case _:
            assert_never(mount)
    return _without_empty(document, keep=("input", "output"))


def _action(action: FileAction, op: FileOp, number: int) -> dict[str, Any]:
    """Each action works on what the one before it left, which LLB counts after the inputs."""
    document: dict[str, Any] = {"input": op.base if number == 0 else number, "secondaryInput": _EMPTY}
    document["output"] = 0 if number == len(op.actions) - 1 else _EMPTY
    match action:
        case CopyAction():
            document["secondaryInput"] = action.input
            kind, value = "copy", {
                "src": action.source,
                "dest": action.destination,
                "owner": _owner(action.owner),
                **_mode(action.mode),
                "timestamp": -1,
                "followSymlink": True,
                "dirCopyContents": True,
                "allowEmptyWildcard": action.allows_wildcards,
                "attemptUnpackDockerCompatibility": action.unpacks,
                "allowWildcard": action.allows_wildcards,
                "includePatterns": list(action.includes),
                "excludePatterns": list(action.excludes),
                "createDestPath": True,
            }  # fmt: skip
        case MakeFileAction():
            kind, value = "mkfile", {
                "path": action.destination,
                **_mode(action.mode),
                "data": base64.b64encode(action.data).decode(),
                "owner": _owner(action.owner),
                "timestamp": -1,
            }  # fmt: skip
        case MakeDirectoryAction():
            kind, value = "mkdir", {
                "path": action.path,
                "mode": action.mode,
                "makeParents": True,
                "owner": _owner(action.owner),
                "timestamp": -1 if action.mtime_s is None else action.mtime_s * 10**9,
            }  # fmt: skip
        case _:
            assert_never(action)
    document["Action"] = {kind: _without_empty(value)}
    return document


def _mode(mode: str | None) -> dict[str, Any]:
    """As a number, -1 for what the source has, or a text that is symbolic."""
    if mode is None:
        return {"mode": -1}
    return {"mode": int(mode, 8)} if mode.isascii() and mode.isdigit() else {"mode": -1, "modeStr": mode}


def _owner(owner: str | None) -> dict[str, Any]:
    """``user[:group]``; names are looked up in the tree that is written to."""
    user, _, group = (owner or "").partition(":")
    named = {"user": user, "group": group}
    return {
        kind: {
            "User": {"byID": int(name)}
            if name.isascii() and name.isdigit()
            else {"byName": {"name": name, "input": 0}}
        }
        for kind, name in named.items()
        if name
    }


def _platform(platform: Platform) -> dict[str, str]:
    document = {"Architecture": platform.architecture, "OS": platform.os}
    return document | ({"Variant": platform.variant} if platform.variant else {})


def _without_empty(document: Mapping[str, Any], keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """As protobuf leaves out what has its zero value."""
    return {key: value for key, value in document.items() if value or key in keep}
