"""`index create` and `index inspect`: indexes made and shown where they are, in registries."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.engine.assemble import Engine
from builder.exporter.annotations import Annotations, parse_annotation
from builder.exporter.copying import RepositoryCopier
from builder.exporter.merge import Part, Source, merge
from builder.registry.interface import FetchedManifest, Index, Manifest

# A config; larger ones are no such thing.
_MAX_CONFIG = 8 << 20
# Of a config, what an index says of the platform.
_OF_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


class InvalidSource(PybuildError):
    """What an index is to be made of cannot be read."""

    kind = Kind.INVALID
    code = "invalid-source"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f'"{text}" is no source of an index: {why}',
            hint="it is a name, a digest, a descriptor, or what --metadata-file wrote",
        )


class IndexRequest(NamedTuple):
    """What an index is made of. ``sources`` are names, digests and descriptors as JSON."""

    sources: Sequence[str]
    tags: Sequence[Reference]
    annotations: Annotations
    platforms: Sequence[Platform] = ()
    appends: bool = False  # to what the first tag is already
    prefers_index: bool = True


class Created(NamedTuple):
    """What the tags lead to now."""

    document: bytes
    media_type: str
    digest: Digest


class Inspected(NamedTuple):
    """What a registry has under a name."""

    reference: Reference
    fetched: FetchedManifest
    parsed: Index | Manifest


def create_index(
    engine: Engine, request: IndexRequest, *, is_dry: bool, warn: Callable[[str], object]
) -> Created:
    """Merge, copy what the repositories of the tags lack, and push. Raises InvalidSource, RegistryError, …"""
    fetched: dict[str, FetchedManifest] = {}
    sources = [_source(engine, text, request, fetched) for text in request.sources]
    if request.appends:
        sources.insert(0, _fetched(engine, request.tags[0], {}, fetched))
    merged = merge(
        sources,
        request.annotations,
        platforms=request.platforms,
        prefers_index=request.prefers_index,
    )
    for part in merged.replaced:
        warn(f"another image for {part.platform} takes the place of {part.digest}")
    if not is_dry:
        copier = RepositoryCopier(engine.registry, engine.pusher, engine.state.scratch, engine.job)
        for tag in request.tags:
            for part in merged.parts:
                copier.copy(part.origin, tag, fetched.get(part.digest))
            engine.pusher.push_manifest(tag, merged.document, merged.media_type, cancel=engine.job.cancel)
    return Created(merged.document, merged.media_type, merged.digest)


def index_annotations(texts: Sequence[str]) -> Annotations:
    """Of `--annotation`; without a type they are of the index, as manifests cannot get any.

    Raises InvalidAnnotation, InvalidPlatform.
    """
    items = []
    for text in texts:
        for item in parse_annotation(text):
            is_bare = text.startswith(f"{item.key}=")
            items.append(item._replace(target="index") if is_bare else item)
    return Annotations(tuple(items))


def inspect_index(engine: Engine, name: str) -> Inspected:
    """Ask the registry. Raises RegistryError and its kinds."""
    reference = Reference.parse(name).with_default_tag()
    fetched = engine.registry.fetch_manifest(reference, cancel=engine.job.cancel)
    return Inspected(reference, fetched, fetched.parse())


def described(inspected: Inspected) -> dict[str, Any]:
    """The descriptor, and of an index all that it says."""
    _, fetched, parsed = inspected
    own = {"mediaType": parsed.media_type, "digest": str(fetched.digest), "size": len(fetched.raw)}
    if isinstance(parsed, Manifest):
        return own
    document = json.loads(fetched.raw)
    said = {key: document[key] for key in ("manifests", "annotations") if document.get(key)}
    return {"schemaVersion": 2, **own, **said}


def configs(engine: Engine, inspected: Inspected) -> Any:
    """The configuration of an image, or those of an index by platform."""
    reference, fetched, parsed = inspected
    if isinstance(parsed, Manifest):
        return _config(engine, reference, parsed)
    found: dict[str, Any] = {}
    for entry in json.loads(fetched.raw)["manifests"]:
        part = Part(reference.with_digest(Digest.parse(entry["digest"])), entry)
        if part.platform is None:
            continue
        manifest = engine.registry.fetch_manifest(part.origin, cancel=engine.job.cancel).parse()
        if isinstance(manifest, Manifest):
            found.setdefault(str(part.platform), _config(engine, part.origin, manifest))
    return found


def _source(engine: Engine, text: str, request: IndexRequest, fetched: dict[str, FetchedManifest]) -> Source:
    if not text.lstrip().startswith("{"):
        if text.startswith("sha256:"):
            return _fetched(engine, _here(text, text, request), {}, fetched)
        return _fetched(engine, Reference.parse(text).with_default_tag(), {}, fetched)
    try:
        document = json.loads(text)
        entry = document.get("containerimage.descriptor", document)
        digest = str(entry["digest"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSource(text[:100], "it is no descriptor") from error
    name = str(document.get("image.name", "")).partition(",")[0]
    origin = _here(digest, text, request) if not name else Reference.parse(name)
    origin = origin.with_digest(Digest.parse(digest))
    said = {key: entry[key] for key in ("platform", "annotations") if isinstance(entry.get(key), dict)}
    return _fetched(engine, origin, said, fetched)


def _here(digest: str, text: str, request: IndexRequest) -> Reference:
    """A digest alone is one of the repository that everything else is in."""
    if not request.tags:
        raise InvalidSource(text[:100], "it has no repository, and there is no --tag")
    return request.tags[0].with_tag(None).with_digest(Digest.parse(digest))


def _fetched(
    engine: Engine, origin: Reference, said: Mapping[str, Any], known: dict[str, FetchedManifest]
) -> Source:
    """``said`` is what a descriptor has beyond type, digest and size."""
    fetched = engine.registry.fetch_manifest(origin, cancel=engine.job.cancel)
    known[str(fetched.digest)] = fetched
    origin = origin.with_tag(None).with_digest(fetched.digest)
    parsed = fetched.parse()
    entry: dict[str, Any] = {
        # The document's own word, where the server has none that says anything.
        "mediaType": parsed.media_type,
        "digest": str(fetched.digest),
        "size": len(fetched.raw),
        **said,
    }
    if isinstance(parsed, Manifest) and "platform" not in entry:
        config = _config(engine, origin, parsed)
        platform = {key: config[key] for key in _OF_PLATFORM if config.get(key)}
        if {"architecture", "os"} <= platform.keys():
            entry["platform"] = platform
    return Source(origin, fetched.raw, entry)


def _config(engine: Engine, reference: Reference, manifest: Manifest) -> dict[str, Any]:
    """As it is; {} where there is none, as of artifacts."""
    data = _small_blob(engine, reference, manifest.config)
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _small_blob(engine: Engine, reference: Reference, blob: Descriptor) -> bytes:
    if blob.size > _MAX_CONFIG:
        return b""
    data = bytearray()
    engine.registry.fetch_blob(reference, blob, data.extend, cancel=engine.job.cancel)
    return bytes(data)
