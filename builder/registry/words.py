"""Text that a server wrote, made fit for messages."""

from __future__ import annotations


def registry_words(body: bytes) -> str:
    """The message of an error body, on one line, safe for a terminal; "" if it is not for people."""
    import json

    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    errors = document.get("errors")
    entries = errors if isinstance(errors, list) else [document]
    found: list[str] = []
    for entry in entries[:3]:
        if isinstance(entry, dict):
            text = entry.get("message") or entry.get("details") or entry.get("code") or ""
            found.append(printable(str(text)))
    return "; ".join(t for t in found if t)


def printable(text: str, limit: int = 300) -> str:
    """One line of at most ``limit`` characters, without control characters: it goes to a terminal."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text[: 8 * limit]).split())
    return flat[:limit]
