"""What came from outside into a build: images, files of the web, commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builder.attest.purl import image_purl, purl
from builder.core.digest import Digest
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.llb.definition import Definition, Vertex
from builder.llb.ops import SourceOp

_IMAGE, _LAYOUT, _GIT, _BLOB, _LOCAL = "docker-image://", "oci-layout://", "git://", "blob://", "local://"


@dataclass(frozen=True, slots=True, order=True)
class Material:
    """Where something came from, and what it was; ``digest`` is an algorithm and hex digits, or empty.

    What came from nowhere that has an address has a name instead.
    """

    uri: str
    digest: tuple[tuple[str, str], ...]
    name: str = ""

    def document(self) -> dict[str, Any]:
        """As a resource descriptor."""
        document: dict[str, Any] = {"uri": self.uri} if self.uri else {"name": self.name}
        if self.digest:
            document["digest"] = dict(self.digest)
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What the names of a build led to."""

    manifests: Mapping[Digest, Digest]  # an image's id → the manifest or index that a registry gave for it
    urls: Mapping[str, str]  # an address, as it is shown → the digest of the file
    commits: Mapping[str, str]  # a reference, as it is shown → the commit


def materials(definition: Definition, resolved: Resolved) -> tuple[Material, ...]:
    """Sorted; folders of the user have no name and are not among them."""
    found: dict[Material, None] = {}
    for _, vertex in definition:
        material = _material(vertex, resolved)
        if material is not None:
            found[material] = None
    return tuple(sorted(found))


def reads_folders(definition: Definition) -> bool:
    """Whether a folder of the user is part of the build: then the list of materials is not complete."""
    return any(
        isinstance(vertex.op, SourceOp) and vertex.op.identifier.startswith(_LOCAL)
        for _, vertex in definition
    )


def git_material(shown: str, commit: str) -> Material:
    """A commit of a repository."""
    return Material(shown, (("sha1" if len(commit) == 40 else "sha256", commit),) if commit else ())


def url_material(shown: str, digest: str) -> Material:
    """A file of the web."""
    return Material(shown, _digest(Digest.parse(digest)) if digest else ())


def _material(vertex: Vertex, resolved: Resolved) -> Material | None:
    if not isinstance(vertex.op, SourceOp):
        return None
    identifier = vertex.op.identifier
    if identifier.startswith((_IMAGE, _LAYOUT)):
        name, _, id = identifier.rpartition("@")
        digest = resolved.manifests.get(Digest.parse(id), Digest.parse(id))
        return Material(_image_uri(name, digest, vertex.platform), _digest(digest))
    if identifier.startswith(_GIT):
        shown = identifier.removeprefix(_GIT)
        return git_material(shown, resolved.commits.get(shown, ""))
    if identifier.startswith(_BLOB):
        digest = Digest.parse(identifier.removeprefix(_BLOB))
        return Material("", _digest(digest), "standard input")
    if identifier.startswith(_LOCAL):
        return None
    return url_material(identifier, resolved.urls.get(identifier, ""))


def _image_uri(name: str, digest: Digest, platform: Platform | None) -> str:
    if name.startswith(_IMAGE):
        reference = Reference.parse(name.removeprefix(_IMAGE))
        return image_purl(reference if reference.tag else reference.with_digest(digest), platform)
    qualifiers = [("digest", str(digest)), ("platform", str(platform or ""))]
    return purl("oci", "", layout_name(name.removeprefix(_LAYOUT)), "", qualifiers)


def layout_name(path: str) -> str:
    """Of an OCI layout: where it lies on this machine is nobody's business."""
    return path.rstrip("/").rpartition("/")[2].partition(":")[0]


def _digest(digest: Digest) -> tuple[tuple[str, str], ...]:
    return ((digest.algorithm, digest.hex),)
