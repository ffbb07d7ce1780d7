"""The one definition of "the same": a canonical byte form of frozen values, and its digest.

Identity is opt-out: every dataclass field counts unless it was declared ``unhashed()``. Fields that equal
their default are left out, so that a new option with a default keeps every old key. ``IDENTITY_VERSION`` on
a class is the only way to invalidate on purpose.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Mapping
from typing import Any, TypeAlias

from builder.core.digest import Digest

_UNHASHED = "pybuild.unhashed"

Plain: TypeAlias = "bool | int | str | list[Plain] | dict[str, Plain] | None"


def unhashed(default: Any = None) -> Any:
    """A dataclass field that people read and identity does not: names, locations."""
    return dataclasses.field(default=default, compare=False, metadata={_UNHASHED: True})


def encode(value: object) -> bytes:
    """The canonical bytes of a value; equal iff the values are equal. Raises TypeError for unknown types."""
    parts: list[bytes] = []
    _encode(value, parts)
    return b"".join(parts)


def digest_of(value: object) -> Digest:
    """The sha256 of ``encode(value)``."""
    return Digest("sha256", hashlib.sha256(encode(value)).hexdigest())


def plain(value: object) -> Plain:
    """What of a value counts, as JSON has it, for people to compare: what ``encode`` leaves out is not there.

    Data is shown as its digest: it may be a here-document with secrets in it.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case enum.Enum():
            return plain(value.value)
        case bytes():
            return {"digest": str(Digest.of(value)), "size": len(value)}
        case Digest():
            return str(value)
        case tuple():
            return [plain(item) for item in value]
        case frozenset():
            return sorted((plain(item) for item in value), key=str)
        case Mapping():
            return {str(key): plain(item) for key, item in sorted(value.items())}
        case _:
            if not dataclasses.is_dataclass(value) or isinstance(value, type):
                raise TypeError(f"{type(value).__name__} has no canonical form")
            counted = ((name, getattr(value, name), default) for name, default in _fields(type(value)))
            return {
                "is": type(value).__name__,
                **{name: plain(item) for name, item, default in counted if item != default},
            }


def _encode(value: object, out: list[bytes]) -> None:
    match value:
        case None:
            out.append(b"n;")
        case bool():
            out.append(b"t;" if value else b"f;")
        case enum.Enum():
            out.append(f"e{type(value).__name__}:".encode())
            _encode(value.value, out)
        case int():
            out.append(b"i%d;" % value)
        case str():
            # Not surrogateescape: the two halves of an escaped "é" would equal the letter itself.
            data = value.encode("utf-8", "surrogatepass")
            out.append(b"s%d:" % len(data) + data)
        case bytes():
            out.append(b"b%d:" % len(value) + value)
        case Digest():
            out.append(b"d" + str(value).encode() + b";")
        case tuple():
            out.append(b"(%d:" % len(value))
            for item in value:
                _encode(item, out)
        case frozenset():
            out.append(b"{%d:" % len(value))
            out.extend(sorted(encode(item) for item in value))
        case Mapping():
            out.append(b"m%d:" % len(value))
            for key, item in sorted(value.items()):
                _encode(key, out)
                _encode(item, out)
        case _:
            if not dataclasses.is_dataclass(value) or isinstance(value, type):
                raise TypeError(f"{type(value).__name__} has no canonical form")
            _encode_dataclass(value, out)


def _encode_dataclass(value: object, out: list[bytes]) -> None:
    kind: type = type(value)
    version = getattr(kind, "IDENTITY_VERSION", 1)
    out.append(f"<{kind.__name__}/{version}:".encode())
    for name, default in _fields(kind):
        item = getattr(value, name)
        if item != default or type(item) is not type(default):
            out.append(f"{name}=".encode())
            _encode(item, out)
    out.append(b">")


_known_fields: dict[type, tuple[tuple[str, object], ...]] = {}


def _fields(kind: type) -> tuple[tuple[str, object], ...]:
    known = _known_fields.get(kind)
    if known is not None:
        return known
    found = []
    for field in dataclasses.fields(kind):
        if not field.metadata.get(_UNHASHED):
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            found.append((field.name, default))
    known = tuple(sorted(found, key=lambda item: item[0]))
    _known_fields[kind] = known
    return known
