"""From a name at a remote to the caches that it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from builder.cache.document import LARGEST_CONFIG, CacheDocument, InvalidCache, NoSharedCache, decode
from builder.cache.interface import CacheRemote, RemoteManifest
from builder.core.job import Cancel
from builder.core.platform import Platform
from builder.registry.interface import Index, Manifest, NoMatchingPlatform, choose, parse_manifest

# BuildKit's caches are indexes with layers in them, or manifests with this config.
_FOREIGN = b"application/vnd.buildkit.cacheconfig"


def read_caches(
    remote: CacheRemote, name: str, platforms: Sequence[Platform], cancel: Cancel
) -> list[CacheDocument]:
    """One, or of an index of images with inline caches one for each of the platforms.

    Raises NoSharedCache, InvalidCache, and what the remote raises.
    """
    top = remote.manifest(name, cancel)
    if top is None:
        raise NoSharedCache(is_missing=True)
    documents = []
    for manifest in _manifests(remote, top, platforms, cancel):
        if manifest.config.size > LARGEST_CONFIG:
            raise InvalidCache(f"its config has {manifest.config.size} bytes")
        config = bytearray()
        remote.read_blob(manifest.config, config.extend, cancel)
        documents.append(decode(bytes(config), manifest.config.media_type, manifest.layers))
    return documents


def _manifests(
    remote: CacheRemote, top: RemoteManifest, platforms: Sequence[Platform], cancel: Cancel
) -> Iterator[Manifest]:
    if _FOREIGN in top.raw:
        raise NoSharedCache(is_foreign=True)
    parsed = parse_manifest(top.raw, top.media_type)
    if isinstance(parsed, Manifest):
        yield parsed
        return
    assert isinstance(parsed, Index)
    is_found = False
    for platform in platforms:
        try:
            entry = choose(parsed, platform)
        except NoMatchingPlatform:
            continue
        below = remote.manifest(str(entry.digest), cancel)
        manifest = parse_manifest(below.raw, below.media_type) if below is not None else None
        if isinstance(manifest, Manifest):
            is_found = True
            yield manifest
    if not is_found:
        raise NoSharedCache
