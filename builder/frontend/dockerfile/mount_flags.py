"""The value of ``RUN --mount``: comma-separated keys, checked and expanded."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from builder.core.location import Location
from builder.core.suggest import did_you_mean
from builder.frontend.dockerfile.instructions import InvalidFlag
from builder.frontend.dockerfile.node import Word

SHARING = ("shared", "private", "locked")
ALIASES = {
    "src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite",
}  # fmt: skip
_KEYS = (
    "type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required", "size", "mode",
    "uid", "gid", "env", *ALIASES,
)  # fmt: skip
_SWITCHES = ("readonly", "readwrite", "required")
_PERMISSIONS = ("mode", "uid", "gid")
# By type: the keys that it has, and those that Docker reads over, which deserve a warning.
MOUNT_TYPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bind": (("from", "source", "target", "readonly", "readwrite"), ("id", "env")),
    "cache": (
        ("from", "source", "target", "readonly", "readwrite", "id", "sharing", *_PERMISSIONS), ("env",)
    ),
    "tmpfs": (("target", "readonly", "readwrite", "size"), ("id", "env", "from")),
    "secret": (
        ("source", "target", "id", "env", "required", *_PERMISSIONS), ("readonly", "readwrite")
    ),
    "ssh": (("target", "id", "required", *_PERMISSIONS), ("readonly", "readwrite", "env", "from")),
}  # fmt: skip
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_LARGEST_ID = 2**32 - 1


class MountFlag(NamedTuple):
    """One ``--mount``, expanded. What was not written is "" or None."""

    type: str
    origin: Word | None  # of from=
    source: str
    target: str
    is_read_only: bool | None  # None: by type
    id: str
    sharing: str
    size: int
    variable: str | None  # of env=
    is_required: bool
    mode: int | None
    uid: int | None
    gid: int | None
    unused: tuple[str, ...]  # keys that mean nothing for this type
    location: Location


def mount_origin(word: Word) -> Word | None:
    """The value of ``from``, which takes no variables. Raises InvalidFlag."""
    found = None
    for field in _fields(word):
        key, _, value = field.partition("=")
        if key.strip().lower() == "from":
            if re.search(r"\$.", value):
                raise InvalidFlag(
                    f'"from" of --mount does not support variables: "{value}"',
                    hint="give it a stage of its own: FROM image AS name, with ARGs above the first FROM",
                    location=word.location,
                )
            found = Word(value, word.location)
    return found if found is not None and found.text else None


def read_mount(word: Word, expand: Callable[[Word], str]) -> MountFlag:
    """Raises InvalidFlag, and what ``expand`` raises."""
    values: dict[str, str | None] = {}
    for field in _fields(word):
        written, equals, value = field.partition("=")
        key = ALIASES.get(written.lower(), written.lower())
        if key not in _KEYS:
            raise _wrong(
                word,
                f'unexpected key "{written}" in "{field}"',
                did_you_mean(written, _KEYS, otherwise=f"known: {', '.join(_KEYS)}"),
            )
        if not equals and key not in _SWITCHES:
            raise _wrong(word, f'the field "{field}" must be a key=value pair', f"write {written}=VALUE")
        if key in ("readonly", "readwrite"):
            values.pop({"readonly": "readwrite", "readwrite": "readonly"}[key], None)
        values[key] = expand(Word(value, word.location)) if equals and key != "from" else value or None
    return _checked(word, values)


def _checked(word: Word, values: dict[str, str | None]) -> MountFlag:
    kind = (values.pop("type", None) or "bind").lower()
    if kind not in MOUNT_TYPES:
        raise _wrong(
            word,
            f'unsupported mount type "{kind}"',
            did_you_mean(kind, MOUNT_TYPES, otherwise=f"it is one of {', '.join(MOUNT_TYPES)}"),
        )
    allowed, ignored = MOUNT_TYPES[kind]
    for key in values:
        if key not in (*allowed, *ignored):
            raise _wrong(
                word, f'the key "{key}" is not allowed for a {kind} mount', f"{kind} has {', '.join(allowed)}"
            )
    sharing = (values.get("sharing") or "").lower()
    if sharing and sharing not in SHARING:
        raise _wrong(
            word,
            f'unsupported sharing value "{sharing}"',
            did_you_mean(sharing, SHARING, otherwise=f"it is one of {', '.join(SHARING)}"),
        )
    return MountFlag(
        type=kind,
        origin=mount_origin(word),
        source=values.get("source") or "",
        target=values.get("target") or "",
        is_read_only=_read_only(word, values),
        id=values.get("id") or "",
        sharing=sharing or "shared",
        size=_size(word, values.get("size")),
        variable=values.get("env") if "env" in values else None,
        is_required="required" in values and _boolean(word, "required", values["required"]),
        mode=_number(word, "mode", values.get("mode"), 8),
        uid=_number(word, "uid", values.get("uid"), 10),
        gid=_number(word, "gid", values.get("gid"), 10),
        unused=tuple(key for key in values if key in ignored),
        location=word.location,
    )


def _read_only(word: Word, values: dict[str, str | None]) -> bool | None:
    """The last of readonly and readwrite counts."""
    if "readonly" in values:
        return _boolean(word, "readonly", values["readonly"])
    if "readwrite" in values:
        return not _boolean(word, "readwrite", values["readwrite"])
    return None


def _boolean(word: Word, key: str, text: str | None) -> bool:
    if text is None or text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise _wrong(word, f'the value of "{key}" is "{text}"', "it is true or false")


def _size(word: Word, text: str | None) -> int:
    """``64m``, ``1.5GiB``: in powers of 1024."""
    if text is None:
        return 0
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise _wrong(word, f'invalid size "{text}"', "write bytes, or a number with k, m or g")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))


def _number(word: Word, key: str, text: str | None, base: int) -> int | None:
    if text is None:
        return None
    digits = "01234567" if base == 8 else "0123456789"
    if not text or set(text) - set(digits) or len(text) > 16 or int(text, base) > _LARGEST_ID:
        kind = "an octal number, such as 0755" if base == 8 else "a number; names are not known to a mount"
        raise _wrong(word, f'invalid value "{text}" for "{key}"', f"it is {kind}")
    return int(text, base)


def _fields(word: Word) -> list[str]:
    """One line of CSV. Raises InvalidFlag."""
    fields: list[str] = []
    rest = word.text
    while True:
        if rest.startswith('"'):
            match = re.match(r'"((?:[^"]|"")*)"(?=,|\Z)', rest)
            if match is None:
                raise _wrong(word, f'a quote in "{word.text}" is not closed', "close it before the comma")
            fields.append(match[1].replace('""', '"'))
            rest = rest[match.end() :]
        else:
            field, comma, after = rest.partition(",")
            if '"' in field:
                raise _wrong(
                    word, f'a quote in the middle of "{field}"', "put the quotes around the whole key=value"
                )
            fields.append(field)
            rest = comma + after
        if not rest:
            return fields
        rest = rest[1:]


def _wrong(word: Word, message: str, hint: str) -> InvalidFlag:
    return InvalidFlag(message, hint=hint, location=word.location)
