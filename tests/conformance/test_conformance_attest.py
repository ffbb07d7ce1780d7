"""Attested images and lists of packages against other people's programs."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import distributions
from pathlib import Path

import pytest

from builder.attest.sbom.dpkg import dpkg_packages
from builder.attest.sbom.files import ImageFiles
from builder.attest.sbom.osrelease import distribution_of
from builder.attest.sbom.scan import scan
from builder.fs.tree import DirectoryTree
from tests.support.cli import Pybuild
from tests.support.stores import Write

pytestmark = pytest.mark.conformance


def _run(*command: str | Path) -> str:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout


def test_skopeo_reads_the_index(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """It shows both manifests, and copies the image out of them, or everything."""
    archive = tmp_path / "app.tar"
    project = write("FROM scratch\nCOPY Dockerfile /\n")
    pybuild.build(project, "-t", "app:1", "--sbom=true", "--provenance=max", "-o", f"type=oci,dest={archive}")
    index = json.loads(_run("skopeo", "inspect", "--raw", f"oci-archive:{archive}"))
    _run("skopeo", "copy", "--all", f"oci-archive:{archive}", f"oci:{tmp_path}/all:1")
    _run("skopeo", "copy", f"oci-archive:{archive}", f"oci:{tmp_path}/one:1")

    assert [entry["platform"]["os"] for entry in index["manifests"]] == ["linux", "unknown"]
    for entry in index["manifests"]:
        assert (tmp_path / "all/blobs" / entry["digest"].replace(":", "/")).exists()
    _run("umoci", "unpack", "--image", f"{tmp_path}/one:1", tmp_path / "bundle")
    assert (tmp_path / "bundle/rootfs/Dockerfile").read_text() == (project / "Dockerfile").read_text()


def test_dpkg_lists_the_same() -> None:
    """Of this machine: every package that dpkg-query calls installed, and no other."""
    format = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"
    lines = [line.split("\t") for line in _run("dpkg-query", "-W", "-f", format).splitlines()]
    files = ImageFiles(DirectoryTree("/"))
    packages = list(dpkg_packages(files, distribution_of(files)))

    found = sorted((p.name, p.version, dict(p.qualifiers)["arch"]) for p in packages)
    assert found == sorted(tuple(rest) for status, *rest in lines if status == "installed")
    assert {package.namespace for package in packages} <= {"debian", "ubuntu"}
    assert files.warnings == ()


def test_python_lists_the_same() -> None:
    """Of the folder that pytest is installed in: every distribution that importlib finds there."""
    site = str(Path(pytest.__file__).resolve().parents[1])
    expected = {
        (d.metadata["Name"].lower().replace("_", "-").replace(".", "-"), d.version)
        for d in distributions(path=[site])
    }
    inventory = scan(DirectoryTree(site))

    assert len(expected) > 10
    found = {(f.package.name, f.package.version) for f in inventory.packages if f.package.kind == "pypi"}
    assert expected - found == set()
