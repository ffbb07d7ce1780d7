"""Package URLs (package-url/purl-spec): the names that scanners and policies know packages by."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from builder.core.platform import Platform
from builder.core.reference import Reference


def purl(
    kind: str,
    namespace: str,
    name: str,
    version: str,
    qualifiers: Sequence[tuple[str, str]] = (),
) -> str:
    """``pkg:KIND/NAMESPACE/NAME@VERSION?KEY=VALUE&…``; empty parts are left out, qualifiers sorted."""
    parts = [kind, *filter(None, namespace.split("/")), name]
    text = f"pkg:{'/'.join(map(_quoted, parts))}"
    if version:
        text += f"@{_quoted(version)}"
    pairs = [f"{key}={_quoted(value)}" for key, value in sorted(qualifiers) if value]
    return f"{text}?{'&'.join(pairs)}" if pairs else text


def image_purl(reference: Reference, platform: Platform | None) -> str:
    """An image as BuildKit names it: the registry is part of the namespace, docker.io is not."""
    familiar = reference.with_tag(None).with_digest(None).familiar()
    namespace, _, name = familiar.rpartition("/")
    version = reference.tag or ("" if reference.digest is not None else "latest")
    qualifiers = [("digest", str(reference.digest or "")), ("platform", str(platform or ""))]
    return purl("docker", namespace, name, version, qualifiers)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe=":")
