"""A warning in the shape of BuildKit's ``VertexWarning``, for programs."""

from __future__ import annotations

import re
from base64 import b64encode

from builder.core.events import Warned
from builder.core.location import Location

# Where Docker describes its build checks, which pybuild has by the same names.
_RULES = "https://docs.docker.com/go/dockerfile/rule"


def warning_document(warning: Warned) -> dict[str, object]:
    """Texts in base64; as in BuildKit the rule leads the text."""
    short = warning.message if warning.rule is None else f"{warning.rule}: {warning.message}"
    entry: dict[str, object] = {"level": 1, "short": _base64(short)}
    if warning.hint is not None:
        entry["detail"] = [_base64(warning.hint)]
    if warning.rule is not None:
        words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", warning.rule)
        entry["url"] = f"{_RULES}/{'-'.join(words).lower()}/"
    if warning.location is not None:
        entry["sourceInfo"] = {"filename": warning.location.file}
        entry["range"] = [_range(warning.location)]
    return entry


def _base64(text: str) -> str:
    return b64encode(text.encode("utf-8", "replace")).decode("ascii")


def _range(location: Location) -> dict[str, dict[str, int]]:
    """Lines count from 1, characters from 0, as in BuildKit's ``pb.Position``."""
    return {
        "start": {"line": location.start_line, "character": max(0, location.start_column - 1)},
        "end": {"line": location.end_line, "character": max(0, location.end_column - 1)},
    }
