"""The provenance of a build that nobody ran."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.attest.materials import Resolved, git_material, materials, reads_folders
from builder.attest.options import ProvenanceOptions
from builder.attest.provenance import PREDICATE_TYPE, BuildFacts, layer_counts, provenance
from builder.attest.statement import Predicate, Subject, statement
from builder.core.digest import Digest
from builder.core.platform import Platform
from builder.frontend.interface import FrontendResult
from builder.llb.definition import DefinitionBuilder, Vertex
from builder.llb.ops import MergeOp, SourceOp
from tests.unit.frontend.frontend_bridge import convert

_TESTDATA = Path(__file__).parents[3] / "testdata/attest"
_AMD64 = Platform("linux", "amd64")
_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_DOCKERFILE = f"""\
FROM busybox AS tools
ARG TOKEN
ADD https://user:pw@host.example/a?token=hidden /a
ADD https://host.example/repo.git#main /src
RUN --mount=type=secret,id=key,required=true --mount=type=ssh,id=agent --mount=type=cache,target=/c \\
    --mount=type=tmpfs,target=/t --mount=type=secret,id=opt,env=OPT make $TOKEN
FROM busybox@sha256:{"5" * 64} AS final
COPY --from=tools --chown=1:2 /a /b/
COPY --link . /ctx
COPY <<EOF /text
hello
EOF
WORKDIR /w
RUN --network=none true
"""


def converted(text: str = _DOCKERFILE) -> FrontendResult:
    from tests.unit.frontend.frontend_bridge import BUSYBOX, FakeBridge

    return convert(
        text,
        build_args={"TOKEN": "https://me:secret@host.example/x"},
        bridge=FakeBridge({f"busybox@sha256:{'5' * 64}": BUSYBOX}),
    )


def facts(text: str = _DOCKERFILE, **changes: Any) -> BuildFacts:
    definition = converted(text).definition
    resolved = Resolved(
        manifests={Digest.of(b"docker.io/library/busybox:latest linux/amd64"): Digest("sha256", "1" * 64)},
        urls={"https://host.example/a?token=xxxxx": f"sha256:{'2' * 64}"},
        commits={"https://host.example/repo.git#main": _COMMIT},
    )
    known = BuildFacts(
        definition=definition,
        dockerfile_name="Dockerfile",
        dockerfile=text.encode(),
        config_source=None,
        arguments={"build-arg:TOKEN": "https://me:secret@host.example/x", "label:l": "v", "target": "final"},
        materials=materials(definition, resolved),
        manifests=resolved.manifests,
        is_complete=not reads_folders(definition),
        builder_platform=_AMD64,
        version="1.0",
        build_id="abc",
        started_at=1767323045.25,
        finished_at=1767323046.5,
    )
    return dataclasses.replace(known, **changes)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_golden(mode: str, golden: Callable[[Path, str], None]) -> None:
    """The predicate is what is reviewed."""
    layers = tuple({"mediaType": "m", "digest": f"sha256:{n:064}", "size": n} for n in range(6))
    made = provenance(facts(layers=layers), ProvenanceOptions(mode=mode, builder_id="https://ci.example/7"))
    golden(_TESTDATA / f"provenance-{mode}.json", json.dumps(made, indent=1) + "\n")


@pytest.mark.parametrize("mode", ["min", "max"])
def test_nothing_secret(mode: str) -> None:
    """Logins, keys in addresses and values of secrets are nowhere; min has no arguments and no steps."""
    made = provenance(facts(), ProvenanceOptions(mode=mode))
    text = json.dumps(made)
    clean = _DOCKERFILE.replace("user:pw@", "").replace("token=hidden", "token=xxxxx")

    for secret in ("user:pw", "hidden", "me:secret", "secret@"):
        assert secret not in text
    for told in ("build-arg:TOKEN", "label:l", "llbDefinition", base64.b64encode(clean.encode()).decode()):
        assert (told in text) == (mode == "max")
    if mode == "max":
        request = made["buildDefinition"]["externalParameters"]["request"]
        assert request["secrets"] == [{"id": "key"}, {"id": "opt", "optional": True}]
        assert request["ssh"] == [{"id": "agent", "optional": True}]


def test_materials() -> None:
    """Images by manifest, files and commits by what was found; the user's folder makes it incomplete."""
    made = provenance(facts(), ProvenanceOptions(mode="min"))
    dependencies = {m["uri"]: m["digest"] for m in made["buildDefinition"]["resolvedDependencies"]}
    pinned = Digest.of(f"docker.io/library/busybox@sha256:{'5' * 64} linux/amd64".encode())

    assert dependencies == {
        "pkg:docker/busybox@latest?platform=linux%2Famd64": {"sha256": "1" * 64},
        f"pkg:docker/busybox?digest={pinned}&platform=linux%2Famd64": {"sha256": pinned.hex},
        "https://host.example/a?token=xxxxx": {"sha256": "2" * 64},
        "https://host.example/repo.git#main": {"sha1": _COMMIT},
    }
    metadata = made["runDetails"]["metadata"]
    assert metadata["buildkit_completeness"] == {"request": False, "resolvedDependencies": False}
    assert metadata["buildkit_hermetic"] is False
    offline = provenance(facts("FROM busybox\nRUN --network=none a\n"), ProvenanceOptions())
    assert offline["runDetails"]["metadata"]["buildkit_hermetic"] is True
    assert offline["runDetails"]["metadata"]["buildkit_completeness"] == {
        "request": True, "resolvedDependencies": True,
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["min", "max"])
def test_commit_of_the_folder(mode: str) -> None:
    """A hint in both modes."""
    made = provenance(facts(vcs={"revision": _COMMIT}), ProvenanceOptions(mode=mode))

    assert made["runDetails"]["metadata"]["buildkit_metadata"]["vcs"] == {"revision": _COMMIT}


def test_places_of_this_machine_are_not_told() -> None:
    """An OCI layout is named by its folder, what came on standard input by nothing but its digest."""
    graph = DefinitionBuilder()
    blob = Digest("sha256", "3" * 64)
    layout = f"oci-layout:///home/me/secret/base:1@sha256:{'4' * 64}"
    inputs = tuple(
        graph.add(Vertex(op=SourceOp(identifier=identifier), platform=_AMD64))
        for identifier in (layout, f"blob://{blob}")
    )
    definition = graph.build(graph.add(Vertex(op=MergeOp(), inputs=inputs)))
    resolved = Resolved(
        manifests={Digest("sha256", "4" * 64): Digest("sha256", "5" * 64)}, urls={}, commits={}
    )
    made = materials(definition, resolved)
    told = provenance(
        facts(definition=definition, materials=made, manifests=resolved.manifests), ProvenanceOptions()
    )

    assert [material.document() for material in made] == [
        {"name": "standard input", "digest": {"sha256": "3" * 64}},
        {
            "uri": f"pkg:oci/base?digest=sha256:{'5' * 64}&platform=linux%2Famd64",
            "digest": {"sha256": "5" * 64},
        },
    ]
    assert f"oci-layout://base@sha256:{'5' * 64}" in json.dumps(told)
    assert "secret" not in json.dumps(told)


def test_context_from_git() -> None:
    """The place of the Dockerfile is an address and a commit."""
    source = git_material("https://host.example/repo.git#main", _COMMIT)
    made = provenance(facts("FROM busybox\n", config_source=source), ProvenanceOptions())

    assert made["buildDefinition"]["externalParameters"]["configSource"] == {
        "uri": "https://host.example/repo.git#main", "digest": {"sha1": _COMMIT}, "path": "Dockerfile",
    }  # fmt: skip


def test_an_epoch_gives_the_same_bytes() -> None:
    """With SOURCE_DATE_EPOCH neither the clock nor the build's id is in it; what is built still is."""

    def made(text: str, **changes: Any) -> dict[str, Any]:
        return provenance(facts(text, epoch_s=1_700_000_000, **changes), ProvenanceOptions())

    one = made(_DOCKERFILE)
    other = made(_DOCKERFILE, build_id="def", started_at=5.0, finished_at=6.0)
    changed = made(_DOCKERFILE.replace("hello", "world"))

    assert one == other
    metadata = one["runDetails"]["metadata"]
    assert metadata["startedOn"] == metadata["finishedOn"] == "2023-11-14T22:13:20Z"
    assert changed["runDetails"]["metadata"]["invocationId"] != metadata["invocationId"]


def test_layers_of_steps() -> None:
    """From the target down, each step has the layers below it and its own."""
    definition = converted().definition
    counts = layer_counts(definition, 7)
    kinds = [type(definition.vertices[edge.vertex].op).__name__ for edge, _ in counts]

    assert list(zip(kinds, (count for _, count in counts), strict=True)) == [
        ("SourceOp", 2), ("FileOp", 3), ("MergeOp", 4), ("FileOp", 5), ("FileOp", 6), ("ExecOp", 7),
    ]  # fmt: skip
    assert [count for _, count in layer_counts(converted("FROM scratch\nCOPY . /\n").definition, 1)] == [1]
    assert list(layer_counts(converted("FROM scratch\nCOPY . /\n").definition, 3)) == []


def test_statement() -> None:
    """A statement of the in-toto attestation framework, version 1."""
    predicate = Predicate(PREDICATE_TYPE, {"a": "ü"}, "provenance.json")
    subjects = [
        Subject("pkg:docker/a@1", Digest("sha256", "1" * 64)),
        Subject("f\udcff", Digest("sha256", "2" * 64)),
    ]

    assert json.loads(statement(predicate, subjects)) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "pkg:docker/a@1", "digest": {"sha256": "1" * 64}},
            {"name": "f?", "digest": {"sha256": "2" * 64}},
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"a": "ü"},
    }
