"""Text that a server wrote, made fit for messages."""

from __future__ import annotations

from collections.abc import Iterable


def registry_words(body: bytes, content_type: str = "", *, secrets: Iterable[str] = ()) -> str:
    """The message of an error body, on one line, safe for a terminal; "" if it is not for people.

    ``secrets`` are not repeated.
    """
    import json

    if content_type.partition(";")[0].strip().lower() == "text/plain":
        return printable(without(body.decode("utf-8", "replace"), secrets))
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
            found.append(printable(without(str(text), secrets)))
    return "; ".join(t for t in found if t)


def without(text: str, secrets: Iterable[str]) -> str:
    """What a server may have heard from us stays untold, whoever says it."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return text


def secrets_of(authorization: str, form: bytes = b"") -> tuple[str, ...]:
    """What is secret in a request: its header, and a refresh token in the form that it sends."""
    import base64
    from contextlib import suppress
    from urllib.parse import parse_qs

    scheme, _, value = authorization.partition(" ")
    found = [value, *parse_qs(form.decode("ascii", "replace")).get("refresh_token", ())]
    if scheme == "Basic":
        with suppress(ValueError):
            found.append(base64.b64decode(value).decode().partition(":")[2])
    return tuple(secret for secret in found if secret)


def printable(text: str, limit: int = 300) -> str:
    """One line of at most ``limit`` characters, without control characters: it goes to a terminal."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text[: 8 * limit]).split())
    return flat[:limit]
