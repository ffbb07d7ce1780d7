"""In-toto statements (in-toto.io/Statement/v1): what is said, and of which artefacts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from builder.core.digest import Digest

_TYPE = "https://in-toto.io/Statement/v1"


class Subject(NamedTuple):
    """What a statement is about."""

    name: str
    digest: Digest


class Predicate(NamedTuple):
    """What is said; ``file_name`` is its file where the artefact is a folder."""

    type: str
    value: Mapping[str, Any]
    file_name: str


def statement(predicate: Predicate, subjects: Sequence[Subject]) -> bytes:
    """Compact JSON: equal statements are equal bytes."""
    document = {
        "_type": _TYPE,
        "predicateType": predicate.type,
        "subject": [
            {"name": subject.name, "digest": {subject.digest.algorithm: subject.digest.hex}}
            for subject in subjects
        ],
        "predicate": predicate.value,
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    # Names of files that are no UTF-8 are lone surrogates here.
    return text.encode("utf-8", "replace")
