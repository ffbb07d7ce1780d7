"""The documents in our archives against the JSON schemas of the OCI image specification."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # stubs are a package of their own
import pytest

from tests.support.cli import Pybuild
from tests.support.stores import Write

pytestmark = pytest.mark.conformance

_SCHEMAS = Path("/usr/share/gocode/src/github.com/opencontainers/image-spec/schema")
_DOCKERFILE = """\
FROM busybox
ENV A=b
EXPOSE 80 90/udp
VOLUME /data
LABEL a=b
USER 33:50
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --retries=2 CMD true
ONBUILD RUN true
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT ["cat"]
CMD ["/b"]
MAINTAINER somebody
RUN echo x > /tmp/x
"""


@pytest.fixture(params=["everything", "scratch"])
def layout(request: pytest.FixtureRequest, pybuild: Pybuild, write: Write, tmp_path: Path) -> Path:
    """A saved image: with every instruction, and of files only."""
    text = {"everything": _DOCKERFILE, "scratch": "FROM scratch\nCOPY Dockerfile /\n"}
    pybuild.build(write(text[request.param]), "-t", "made:v1")
    pybuild("save", "--format", "oci-dir", "-o", tmp_path / "layout", "made:v1")
    return tmp_path / "layout"


def _check(schema: str, document: object) -> None:
    if not _SCHEMAS.is_dir():
        pytest.fail(
            "this test needs the OCI schemas: install the package golang-github-opencontainers-image-spec-dev"
        )
    # The schemas name each other by their public addresses; here they are files.
    store: dict[str, Any] = {}
    for path in _SCHEMAS.glob("*.json"):
        value = json.loads(path.read_text())
        store[path.name] = value
        store[value.get("id", path.name)] = value
        store[f"https://opencontainers.org/schema/{path.name}"] = value
        store[f"https://opencontainers.org/schema/image/{path.name}"] = value
        store[f"https://opencontainers.org/schema/image/descriptor/{path.name}"] = value
    validate(store[schema], document, store)


def validate(schema: Any, document: object, store: dict[str, Any]) -> None:
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    def retrieve(uri: str) -> Resource[Any]:
        return Resource.from_contents(store[uri.rpartition("/")[2]], default_specification=DRAFT4)

    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg] # attrs hides the name
    jsonschema.Draft4Validator(schema, registry=registry).validate(document)


def _blob(layout: Path, descriptor: dict[str, Any]) -> bytes:
    data: bytes = (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()

    assert descriptor["size"] == len(data)
    assert descriptor["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    return data


def test_documents_are_valid(layout: Path) -> None:
    """oci-layout, index, manifest, config and every descriptor on the way."""
    index = json.loads((layout / "index.json").read_text())
    _check("image-layout-schema.json", json.loads((layout / "oci-layout").read_text()))
    _check("image-index-schema.json", index)
    for entry in index["manifests"]:
        _check("content-descriptor.json", entry)
        manifest = json.loads(_blob(layout, entry))
        _check("image-manifest-schema.json", manifest)
        config = json.loads(_blob(layout, manifest["config"]))
        _check("config-schema.json", config)

        assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])
        assert len(manifest["layers"]) == sum(not entry.get("empty_layer") for entry in config["history"])
        for layer in manifest["layers"]:
            _check("content-descriptor.json", layer)
            _blob(layout, layer)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "estargz", "uncompressed"])
def test_outputs_are_valid(compression: str, pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """What `build --output type=oci` writes, with annotations."""
    output = f"type=oci,tar=false,dest={tmp_path}/made,compression={compression}"
    pybuild.build(
        write(_DOCKERFILE), "-t", "made:v1", "-o", output, "--annotation", "manifest,manifest-descriptor:a=b"
    )
    index = json.loads((tmp_path / "made/index.json").read_text())

    assert index["manifests"][0]["annotations"]["a"] == "b"
    test_documents_are_valid(tmp_path / "made")


def test_index_of_several_platforms_is_valid(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """With annotations, variants, and all that it leads to."""
    project = write("FROM scratch\nCOPY . /\nARG TARGETARCH\nLABEL arch=$TARGETARCH\n")
    pybuild.build(
        project, "--platform", "linux/amd64,linux/arm64,linux/arm/v7", "-t", "made:v1",
        "-o", f"type=oci,tar=false,dest={tmp_path}/made", "--annotation", "index,manifest-descriptor:a=b",
    )  # fmt: skip
    (top,) = json.loads((tmp_path / "made/index.json").read_text())["manifests"]
    index = json.loads(_blob(tmp_path / "made", top))
    _check("content-descriptor.json", top)
    _check("image-index-schema.json", index)

    assert len(index["manifests"]) == 3
    for entry in index["manifests"]:
        manifest = json.loads(_blob(tmp_path / "made", entry))
        config = json.loads(_blob(tmp_path / "made", manifest["config"]))
        _check("content-descriptor.json", entry)
        _check("image-manifest-schema.json", manifest)
        _check("config-schema.json", config)
        assert {key: config[key] for key in entry["platform"]} == entry["platform"]


def test_attested_images_are_valid(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """The index, both manifests and both configs."""
    output = f"type=oci,tar=false,dest={tmp_path}/made"
    project = write("FROM scratch\nCOPY . /\n")
    pybuild.build(project, "-t", "made:v1", "--sbom=true", "--provenance=max", "-o", output)
    (top,) = json.loads((tmp_path / "made/index.json").read_text())["manifests"]
    index = json.loads(_blob(tmp_path / "made", top))
    _check("image-index-schema.json", index)

    assert len(index["manifests"]) == 2
    for entry in index["manifests"]:
        manifest = json.loads(_blob(tmp_path / "made", entry))
        config = json.loads(_blob(tmp_path / "made", manifest["config"]))
        _check("image-manifest-schema.json", manifest)
        _check("config-schema.json", config)
        assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])


def test_schemas_refuse() -> None:
    """The validator does find fault: what the test above says means something."""
    with pytest.raises(jsonschema.ValidationError):
        _check("image-manifest-schema.json", {"schemaVersion": 2})
    with pytest.raises(jsonschema.ValidationError):
        _check("config-schema.json", {"architecture": "amd64", "os": "linux", "rootfs": {"type": "x"}})
    with pytest.raises(jsonschema.ValidationError):
        _check("content-descriptor.json", {"mediaType": "a/b", "size": 1, "digest": "nonsense"})
