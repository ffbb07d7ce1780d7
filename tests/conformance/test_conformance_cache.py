"""Shared caches in Debian's docker-registry, and through skopeo, to whom they are images like others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Pybuild
from tests.support.docker_registry import Server, serving, tool
from tests.support.stores import Write, copy_store

pytestmark = pytest.mark.conformance

_DOCKERFILE = """\
FROM busybox AS tools
RUN echo made > /tool
FROM busybox
RUN --mount=type=cache,id=kept,target=/kept head -c 9000000 /dev/urandom > /noise && echo kept > /kept/file
COPY --from=tools /tool /tool
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving("plain", tmp_path / "registry") as running:
        yield running


@pytest.mark.parametrize("form", ["", ",compression=zstd", ",oci-mediatypes=false"])
def test_cache_by_way_of_a_registry_and_a_folder(
    pybuild: Pybuild, base_store: Path, write: Write, server: Server, tmp_path: Path, form: str
) -> None:
    """The registry takes it, skopeo reads and copies it, and from either place nothing runs again."""
    project, cache = write(_DOCKERFILE), f"{server.host}/team/app:cache"
    first = pybuild.build(
        project, "--iidfile", tmp_path / "first",
        "--cache-to", f"type=registry,ref={cache},mode=max,mounts=all,ignore-error=false{form}",
    )  # fmt: skip
    seen = json.loads(tool("skopeo", "inspect", "--tls-verify=false", f"docker://{cache}"))
    config = json.loads(tool("skopeo", "inspect", "--config", "--tls-verify=false", f"docker://{cache}"))
    kind = "dir" if "oci" in form else "oci"
    tool("skopeo", "copy", "--src-tls-verify=false", f"docker://{cache}", f"{kind}:{tmp_path}/copied")

    assert "3 records written" in first.err
    # /tool is the same layer in both stages; a mount is its content and the list of it.
    assert len(seen["Layers"]) == len(config["rootfs"]["diff_ids"]) == 4
    places = [cache, *([f"type=local,src={tmp_path}/copied"] if kind == "oci" else [])]
    for number, place in enumerate(places):
        twin = Pybuild(copy_store(base_store, tmp_path / f"twin{number}"), tmp_path / f"home{number}")
        second = twin.build(project, "--cache-from", place, "--iidfile", tmp_path / "second")

        assert "DONE" not in [state for name, state in second.steps.items() if "internal" not in name]
        assert (tmp_path / "first").read_text() == (tmp_path / "second").read_text()


def test_image_with_an_inline_cache_is_an_image(
    pybuild: Pybuild, write: Write, server: Server, tmp_path: Path
) -> None:
    """Umoci unpacks it, and skopeo makes an image of Docker's of it."""
    image = f"{server.host}/team/app:1"
    pybuild.build(write(_DOCKERFILE), "--cache-to", "type=inline", "-t", image, "--push")
    tool("skopeo", "copy", "--src-tls-verify=false", f"docker://{image}", f"oci:{tmp_path}/copied:1")
    tool("skopeo",
        "copy", "--format", "v2s2", "--src-tls-verify=false", "--dest-tls-verify=false",
        f"docker://{image}", f"docker://{server.host}/team/app:2",
    )  # fmt: skip
    tool("umoci", "unpack", "--image", f"{tmp_path}/copied:1", f"{tmp_path}/bundle")

    assert (tmp_path / "bundle/rootfs/tool").read_text() == "made\n"
