"""The tags of a repository, page by page."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from builder.core.errors import PybuildError
from builder.core.job import Cancel
from builder.core.reference import Reference
from builder.registry.answer import read_capped
from builder.registry.config import Endpoint
from builder.registry.exchange import Call, Exchange, repository_url, scope_of
from builder.registry.retry import EndpointFailed
from builder.registry.transport import is_at

_MAX_PAGE = 4 << 20
# The largest public repositories have some ten thousand tags; a registry that never ends is none.
_MAX_TAGS = 200_000
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next\b')


def tags_at(exchange: Exchange, endpoint: Endpoint, reference: Reference, cancel: Cancel | None) -> list[str]:
    """All of them, in the registry's order. Raises EndpointFailed."""
    url, scope = (
        repository_url(endpoint, reference, "tags/list"),
        scope_of(endpoint, reference.path, "pull"),
    )
    found: dict[str, None] = {}
    seen: set[str] = set()
    while url not in seen:
        seen.add(url)
        answer = exchange.send(endpoint, Call("GET", url, scope, frozenset({200})), cancel)
        found.update(
            dict.fromkeys(_tags(endpoint, reference, read_capped(answer, endpoint, _MAX_PAGE, cancel)))
        )
        if len(found) > _MAX_TAGS or len(seen) > _MAX_TAGS:
            raise EndpointFailed(endpoint, f"the list of tags has more than {_MAX_TAGS}")
        match = _NEXT.search(answer.response.headers.get("Link", ""))
        if match is None:
            break
        # The specification lets it be relative. Another host has no say in what this repository holds.
        url = urljoin(url, match[1])
        if not is_at(url, endpoint):
            raise EndpointFailed(endpoint, "the list of tags goes on at another host")
    return list(found)


def _tags(endpoint: Endpoint, reference: Reference, raw: bytes) -> list[str]:
    import json

    try:
        document = json.loads(raw)
        tags = document["tags"] or []
        return [_checked(reference, tag) for tag in tags]
    except (ValueError, KeyError, TypeError, RecursionError, PybuildError) as error:
        raise EndpointFailed(endpoint, "the list of tags is not one") from error


def _checked(reference: Reference, tag: str) -> str:
    """A tag that is none must not become a URL. Raises InvalidReference."""
    reference.with_tag(tag)
    return tag
