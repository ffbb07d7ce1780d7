"""How an image was built, as SLSA provenance v1, with the extensions that BuildKit defines for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder.attest.materials import Material
from builder.attest.options import ProvenanceOptions
from builder.attest.steps import Steps, edge_name, steps_of
from builder.core.digest import Digest
from builder.core.platform import Platform
from builder.core.times import rfc3339
from builder.core.weburl import all_shown
from builder.llb.definition import Definition, Edge
from builder.llb.ops import ExecOp, FileOp, MergeOp, SecretMount, SshMount

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
# The form of the predicate is BuildKit's own, so that whoever reads that reads this.
_BUILD_TYPE = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
# What could tell more than the steps do; a build argument may hold anything.
_TOLD_BY_MAX = ("build-arg:", "label:")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFacts:
    """What is known of one build of one image when it is over."""

    definition: Definition
    dockerfile_name: str
    dockerfile: bytes
    config_source: Material | None  # the context, where it came from the network
    arguments: Mapping[str, str]  # what the frontend was given: target, build-arg:NAME, label:NAME, …
    materials: tuple[Material, ...]
    manifests: Mapping[Digest, Digest]  # see Resolved
    is_complete: bool  # no folder of the user took part
    builder_platform: Platform
    version: str  # of pybuild
    build_id: str
    started_at: float
    finished_at: float
    vcs: Mapping[str, str] = field(default_factory=dict)  # of the context, where it is a checkout
    epoch_s: int | None = None  # SOURCE_DATE_EPOCH: the same build then gives the same bytes
    layers: tuple[Mapping[str, Any], ...] = ()  # descriptors of the image's layers, as they left


def provenance(facts: BuildFacts, options: ProvenanceOptions) -> dict[str, Any]:
    """The predicate."""
    is_max = options.mode == "max"
    steps = steps_of(facts.definition, facts.manifests)
    internal: dict[str, Any] = {"builderPlatform": str(facts.builder_platform)}
    if is_max:
        internal["buildConfig"] = {
            "llbDefinition": list(steps.definition),
            "digestMapping": {str(digest): name for digest, name in steps.names.items()},
        }
    predicate: dict[str, Any] = {
        "buildDefinition": {
            "buildType": _BUILD_TYPE,
            "externalParameters": {
                "configSource": _config_source(facts),
                "request": _request(facts, is_max=is_max),
            },
            "internalParameters": internal,
            "resolvedDependencies": [material.document() for material in facts.materials],
        },
        "runDetails": {
            "builder": {"id": options.builder_id, "version": {"pybuild": facts.version}},
            "metadata": {},
        },
    }
    predicate["runDetails"]["metadata"] = {
        **_times(facts, predicate),
        "buildkit_metadata": {
            **({"vcs": dict(facts.vcs)} if facts.vcs else {}),
            **(_extension(facts, steps) if is_max else {}),
        },
        "buildkit_hermetic": _is_hermetic(facts.definition),
        "buildkit_completeness": {"request": is_max, "resolvedDependencies": facts.is_complete},
        "buildkit_reproducible": options.is_reproducible,
    }
    return predicate


def _config_source(facts: BuildFacts) -> dict[str, Any]:
    source = {} if facts.config_source is None else facts.config_source.document()
    return {**source, "path": facts.dockerfile_name}


def _request(facts: BuildFacts, *, is_max: bool) -> dict[str, Any]:
    arguments = {
        key: all_shown(value)
        for key, value in sorted(facts.arguments.items())
        if is_max or not key.startswith(_TOLD_BY_MAX)
    }
    request: dict[str, Any] = {"frontend": "dockerfile.v0", "args": arguments}
    if is_max:
        for key, kind in (("secrets", SecretMount), ("ssh", SshMount)):
            used = _mounts(facts.definition, kind)
            if used:
                request[key] = used
    if not facts.is_complete:
        request["locals"] = [{"name": "context"}, {"name": "dockerfile"}]
    return request


def _mounts(definition: Definition, kind: type[SecretMount] | type[SshMount]) -> list[dict[str, Any]]:
    """The ids that steps ask for; one that any of them needs is not optional."""
    required: dict[str, bool] = {}
    for _, vertex in definition:
        for mount in vertex.op.other_mounts if isinstance(vertex.op, ExecOp) else ():
            if isinstance(mount, kind):
                required[mount.id] = required.get(mount.id, False) or mount.is_required
    return [
        {"id": id} if is_required else {"id": id, "optional": True}
        for id, is_required in sorted(required.items())
    ]


def _times(facts: BuildFacts, predicate: Mapping[str, Any]) -> dict[str, str]:
    """With an epoch that is the time, and the id is made of what is built, so that nothing differs."""
    if facts.epoch_s is None:
        started, finished, id = rfc3339(facts.started_at), rfc3339(facts.finished_at), facts.build_id
    else:
        started = finished = rfc3339(facts.epoch_s)
        id = Digest.of(json.dumps(predicate, sort_keys=True).encode()).hex[:32]
    return {"invocationId": id, "startedOn": started, "finishedOn": finished}


def _extension(facts: BuildFacts, steps: Steps) -> dict[str, Any]:
    """The source with its map, and which layers are a step's result."""
    # Logins in addresses are shown nowhere else either.
    text = all_shown(facts.dockerfile.decode("utf-8", "surrogateescape"))
    info = {
        "filename": facts.dockerfile_name,
        "language": "Dockerfile",
        "data": base64.b64encode(text.encode("utf-8", "surrogateescape")).decode(),
    }
    document: dict[str, Any] = {"source": {"locations": dict(steps.locations), "infos": [info]}}
    layers = {
        edge_name(edge, steps.names): [list(facts.layers[:count])]
        for edge, count in layer_counts(facts.definition, len(facts.layers))
    }
    if layers:
        document["layers"] = layers
    return document


def layer_counts(definition: Definition, total: int) -> Sequence[tuple[Edge, int]]:
    """The steps on the way to the target, each with the number of layers that its result has.

    From the top down each step took its own away; nothing if that does not come out.
    """
    counts: list[tuple[Edge, int]] = []
    edge = definition.target
    while edge is not None and total > 0:
        counts.append((edge, total))
        vertex = definition.vertices[edge.vertex]
        match vertex.op:
            case ExecOp():
                root, own = vertex.op.mounts[0].input, 1
            case FileOp():
                root, own = vertex.op.base, 1
            case MergeOp():
                root, own = 0, len(vertex.inputs) - 1
            case _:
                return counts[::-1]
        edge = vertex.inputs[root] if root >= 0 else None
        total -= own
    return counts[::-1] if edge is None and total == 0 else ()


def _is_hermetic(definition: Definition) -> bool:
    return not any(isinstance(vertex.op, ExecOp) and vertex.op.network != "none" for _, vertex in definition)
