"""--cache-from and --cache-to: how they are read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli.cache_options import read_sharing
from builder.core.errors import PybuildError
from builder.core.reference import Reference
from builder.engine.sharing.options import CachePlace, CacheTarget
from builder.exporter.packed import PackOptions

DIGEST = "sha256:" + "a" * 64
REPOSITORY = CachePlace(reference=Reference.parse("registry.example/app:cache"), name="cache")


def source(text: str) -> CachePlace:
    (place,) = read_sharing([text], None).sources
    return place


def target(text: str) -> CacheTarget:
    (found,) = read_sharing(None, [text]).targets
    return found


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("registry.example/app:cache", REPOSITORY),
        ("type=registry,ref=registry.example/app:cache", REPOSITORY),
        ("Type=registry,REF=registry.example/app:cache", REPOSITORY),
        (f"type=registry,ref=r.example/a@{DIGEST}",
         CachePlace(reference=Reference.parse(f"r.example/a@{DIGEST}"), name=DIGEST)),
        ("type=local,src=/c", CachePlace(folder=Path("/c"))),
        ("type=local,src=/c,tag=main", CachePlace(folder=Path("/c"), name="main")),
        (f"type=local,src=/c,digest={DIGEST}", CachePlace(folder=Path("/c"), name=DIGEST)),
        ('"type=local","src=/with,comma"', CachePlace(folder=Path("/with,comma"))),
    ],
)  # fmt: skip
def test_sources(text: str, place: CachePlace) -> None:
    """A name alone is one in a registry; folders have tags and digests."""
    assert source(text) == place


def test_targets() -> None:
    """Every option reaches the export; the defaults are min, gzip and a warning on failure."""
    assert target("registry.example/app:cache") == CacheTarget(place=REPOSITORY)
    assert target("type=inline") == CacheTarget()
    assert target(
        "type=local,dest=/c,tag=main,mode=max,compression=zstd,compression-level=3,force-compression=true,"
        "ignore-error=false,image-manifest=true,oci-mediatypes=true"
    ) == CacheTarget(
        place=CachePlace(folder=Path("/c"), name="main"),
        mode="max",
        pack=PackOptions(compression="zstd", level=3, is_forced=True),
        fails_build=True,
    )
    assert not target("type=registry,ref=a,oci-mediatypes=false").pack.is_oci


def test_mounts() -> None:
    """By their ids, one after the other or each by itself; all is all."""
    assert target("type=local,dest=/c,mounts=npm,pip,mode=max").mounts == ("npm", "pip")
    assert target('type=local,dest=/c,"mounts=npm,pip"').mounts == ("npm", "pip")
    assert target("type=local,dest=/c,mounts=npm,mounts=/root/.cache").mounts == ("npm", "root/.cache")
    assert target("type=local,dest=/c,mode=max,mounts=npm,all").has_all_mounts


@pytest.mark.parametrize(("value", "is_inline"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_argument_for_an_inline_cache(value: str, is_inline: bool) -> None:
    """As Docker has it where there are no other caches."""
    assert read_sharing(None, None, {"BUILDKIT_INLINE_CACHE": value}).is_inline == is_inline


@pytest.mark.parametrize(
    ("option", "text", "code", "said"),
    [
        ("from", "type=gha", "unsupported", "ghcr.io"),
        ("to", "type=s3,bucket=b,region=r", "unsupported", "bucket"),
        ("to", "type=azblob,name=n", "unsupported", "container"),
        ("from", "type=inline", "invalid-cache-option", "local, registry"),
        ("from", "type=locl,src=/c", "invalid-cache-option", "local"),
        ("from", "type=local", "invalid-cache-option", "src"),
        ("from", "type=local,dest=/c", "invalid-cache-option", 'no "dest"'),
        ("to", "type=local,src=/c", "invalid-cache-option", 'no "src"'),
        ("to", "type=registry", "invalid-cache-option", "ref"),
        ("to", f"type=registry,ref=a@{DIGEST}", "invalid-cache-option", "names a digest"),
        ("to", "type=registry,ref=A", "invalid-reference", "lowercase"),
        ("from", "type=local,src=/c,digest=sha256:1", "invalid-digest", "sha256:1"),
        ("to", "type=inline,mode=max", "invalid-cache-option", "mode=max"),
        ("to", "type=inline,compression=zstd", "invalid-cache-option", "compression"),
        ("to", "type=local,dest=/c,mode=most", "invalid-cache-option", "min or max"),
        ("to", "type=local,dest=/c,compression=lzma", "unknown-compression", "lzma"),
        ("to", "type=local,dest=/c,compression=estargz", "unsupported", "eStargz"),
        ("to", "type=local,dest=/c,compression=zstd,oci-mediatypes=false", "needs-oci-types", "zstd"),
        ("to", "type=local,dest=/c,image-manifest=false", "unsupported", "image manifest"),
        ("to", "type=local,dest=/c,ignore-error=maybe", "invalid-cache-option", "true or false"),
        ("to", "type=local,dest=/c,compression-level=x", "invalid-cache-option", "number"),
        ("to", 'type=local,"dest=/c', "invalid-cache-option", "cannot be read"),
        ("to", "type=local,dest=/c,max", "invalid-cache-option", "key=value"),
        ("from", "", "invalid-cache-option", ""),
    ],
)
def test_refused(option: str, text: str, code: str, said: str) -> None:
    """What cannot be done is said by name, with what can."""
    with pytest.raises(PybuildError) as caught:
        read_sharing([text] if option == "from" else None, [text] if option == "to" else None)

    assert caught.value.code == code
    assert said in f"{caught.value.message} {caught.value.hint}"
