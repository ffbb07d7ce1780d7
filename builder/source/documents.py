"""The JSON documents of image archives and layouts, read without trusting them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest, InvalidDigest
from builder.source.interface import BrokenImage


def parse(data: bytes, name: str) -> Any:
    """Raises BrokenImage, also for documents nested without end."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BrokenImage(f"{name} is not JSON: {error}") from error


def entries(document: Any, key: str) -> list[Mapping[str, Any]]:
    """The objects under ``key``. Raises BrokenImage."""
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise BrokenImage(f'a document of the image has no list "{key}"')
    return found


def descriptor(value: Any) -> Descriptor:
    """Raises BrokenImage."""
    try:
        return Descriptor(
            media_type=str(value["mediaType"]),
            digest=Digest.parse(str(value["digest"])),
            size=int(value["size"]),
        )
    except (KeyError, TypeError, ValueError, InvalidDigest) as error:
        raise BrokenImage(f"a descriptor of the image is incomplete: {error}") from error
