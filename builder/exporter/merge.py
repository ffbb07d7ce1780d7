"""One index of manifests and indexes that registries have: what it says, and whence each part comes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from builder.core.descriptor import DOCKER_INDEX, INDEXES, OCI_INDEX
from builder.core.digest import Digest
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.exporter.annotations import NO_ANNOTATIONS, Annotations, InvalidAnnotation
from builder.exporter.documents import encode

_SUBJECT = "vnd.docker.reference.digest"  # of BuildKit's attestations: the manifest that they are about
_PLACES = ("index", "manifest-descriptor")


class Source(NamedTuple):
    """A manifest or an index of a registry. ``entry`` is what an index says of it."""

    origin: Reference  # with the digest, in a repository that has it
    raw: bytes
    entry: Mapping[str, Any]

    @property
    def is_index(self) -> bool:
        return self.entry["mediaType"] in INDEXES


class Part(NamedTuple):
    """An entry of the new index, and where it is."""

    origin: Reference
    entry: Mapping[str, Any]

    @property
    def digest(self) -> str:
        return str(self.entry["digest"])

    @property
    def platform(self) -> Platform | None:
        """None: it is for none, or it is an attestation."""
        said = self.entry.get("platform")
        if not isinstance(said, dict) or "unknown" in (said.get("os"), said.get("architecture")):
            return None
        return Platform(
            str(said.get("os", "")), str(said.get("architecture", "")), str(said.get("variant") or "")
        )

    @property
    def subject(self) -> str:
        """The digest of the manifest that this one is an attestation of; "" if it is none."""
        return str((self.entry.get("annotations") or {}).get(_SUBJECT, ""))


class Merged(NamedTuple):
    """What is pushed under the new name once its parts are in the repository."""

    document: bytes
    media_type: str
    parts: tuple[Part, ...]
    replaced: tuple[Part, ...] = ()  # that others of the same platform took the place of

    @property
    def digest(self) -> Digest:
        return Digest.of(self.document)


def merge(
    sources: Sequence[Source],
    annotations: Annotations = NO_ANNOTATIONS,
    *,
    platforms: Sequence[Platform] = (),
    prefers_index: bool = True,
) -> Merged:
    """A single index stays what it is, as does a single manifest without ``prefers_index``.

    Otherwise a later image takes the place of an earlier one for its platform, with what is said of that.
    ``platforms`` are those that are kept; none: all. Raises InvalidAnnotation.
    """
    _check(annotations)
    first = sources[0]
    parts = [part for source in sources for part in _parts(source)]
    is_as_it_is = len(sources) == 1 and not annotations.items and not platforms
    if is_as_it_is and (first.is_index or not prefers_index):
        return Merged(first.raw, first.entry["mediaType"], tuple(parts))
    kept, replaced = _latest(_of(parts, platforms))
    noted = [_noted(part, annotations) for part in kept]
    # Annotations have a place in an OCI index only.
    is_docker = all(part.entry["mediaType"].startswith("application/vnd.docker.") for part in noted)
    media_type = DOCKER_INDEX if is_docker and not annotations.items else OCI_INDEX
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [part.entry for part in noted],
    }
    own = annotations.of("index")
    if own:
        document["annotations"] = dict(own)
    return Merged(encode(document), media_type, tuple(noted), tuple(replaced))


def _check(annotations: Annotations) -> None:
    for item in annotations.items:
        if item.target not in _PLACES:
            raise InvalidAnnotation(
                f'the {item.target} annotation "{item.key}" has no place: manifests stay as they are',
                hint=f"it is of {' or '.join(_PLACES)}",
            )


def _parts(source: Source) -> Iterator[Part]:
    if not source.is_index:
        yield Part(source.origin, source.entry)
        return
    for entry in json.loads(source.raw).get("manifests") or ():
        yield Part(source.origin.with_digest(Digest.parse(entry["digest"])), entry)


def _of(parts: Sequence[Part], platforms: Sequence[Platform]) -> list[Part]:
    """Those for the platforms, and what is said of them."""
    if not platforms:
        return list(parts)
    kept = {
        part.digest
        for part in parts
        if part.platform is not None and any(wanted.matches(part.platform) for wanted in platforms)
    }
    return [part for part in parts if part.digest in kept or part.subject in kept]


def _latest(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    found: dict[object, Part] = {}
    replaced = []
    for part in parts:
        said = part.entry.get("platform") or {}
        # Images for Windows are of one version of it.
        key = part.digest if part.platform is None else (str(part.platform), said.get("os.version"))
        before = found.get(key)
        if before is not None and before.digest != part.digest:
            replaced.append(before)
        found[key] = part if before is None or before.digest != part.digest else _joined(before, part)
    gone = {part.digest for part in replaced} - {part.digest for part in found.values()}
    return [part for part in found.values() if part.subject not in gone], replaced


def _joined(before: Part, part: Part) -> Part:
    """One manifest that is named twice: the later word counts."""
    entry = {**before.entry, **part.entry}
    annotations = {**(before.entry.get("annotations") or {}), **(part.entry.get("annotations") or {})}
    if annotations:
        entry["annotations"] = annotations
    return part._replace(entry=entry)


def _noted(part: Part, annotations: Annotations) -> Part:
    added = annotations.of("manifest-descriptor", part.platform)
    if not added or part.subject:
        return part
    both = {**(part.entry.get("annotations") or {}), **dict(added)}
    return part._replace(entry={**part.entry, "annotations": dict(sorted(both.items()))})
