"""Files of the web and Git repositories as sources: of ADD, of contexts, of FROM."""

from __future__ import annotations

from builder.core.digest import Digest
from builder.core.gitref import GitReference
from builder.core.location import Location
from builder.core.weburl import file_name, shown
from builder.llb.definition import Vertex
from builder.llb.ops import SourceOp


def web_vertex(
    url: str,
    *,
    filename: str | None = None,
    checksum: Digest | None = None,
    location: Location | None = None,
) -> Vertex:
    """A tree with one file; named as the address names it unless ``filename`` says otherwise."""
    attributes = [("filename", filename if filename is not None else file_name(url))]
    if checksum is not None:
        attributes.append(("checksum", str(checksum)))
    attributes += _exact(url)
    op = SourceOp(identifier=shown(url), attributes=tuple(attributes), address=url)
    return Vertex(op=op, name=f"[internal] fetch {shown(url)}", location=location)


def git_vertex(
    text: str,
    reference: GitReference,
    *,
    checksum: str = "",
    keeps_git_dir: bool = False,
    location: Location | None = None,
) -> Vertex:
    """The files of a commit. ``text`` is the reference as it was written."""
    attributes = []
    if checksum:
        attributes.append(("checksum", checksum))
    if keeps_git_dir:
        attributes.append(("keep-git-dir", "true"))
    for name, value, default in (
        ("commit", reference.commit, ""),
        ("submodules", str(reference.has_submodules).lower(), "true"),
        ("mtime", "commit" if reference.has_commit_times else "checkout", "checkout"),
        ("kept", str(reference.keeps_git_dir).lower(), "false"),
    ):
        if value != default:
            attributes.append((name, value))
    attributes += _exact(text)
    op = SourceOp(identifier=f"git://{reference.shown}", attributes=tuple(attributes), address=text)
    return Vertex(op=op, name=f"[internal] fetch {reference.shown}", location=location)


def _exact(address: str) -> list[tuple[str, str]]:
    """Tells addresses apart that differ only in what people do not get to see."""
    if shown(address) == address:
        return []
    return [("address", Digest.of(address.encode("utf-8", "surrogateescape")).hex[:32])]
