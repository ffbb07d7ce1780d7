"""The functions of templates: Go's own, and those that Docker adds."""

from __future__ import annotations

import html
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from builder.cli.template.printf import sprintf, type_of
from builder.cli.template.values import NilPointer, Record, Typed, encoded, is_true, printed, shown

Function = Callable[..., Any]


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping) and not isinstance(value, Record):
            if not isinstance(key, str):
                raise TypeError(f"value has type {type_of(key)}; should be string")
            value = value.get(key, value.zero if isinstance(value, Typed) else None)
        elif isinstance(value, Sequence) and isinstance(key, int) and not isinstance(key, bool):
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = value[key]
        else:
            raise TypeError(f"cannot index {shown(value)} with {shown(key)}")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    if not isinstance(value, str | list | tuple):
        raise TypeError(f"cannot slice {shown(value)}")
    start, end = (*bounds, 0, 0)[:2]
    end = bounds[1] if len(bounds) > 1 else len(value)
    if not 0 <= start <= end <= len(value):
        raise ValueError(f"index out of range: {start}:{end}")
    return value[start:end]


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, Mapping | list | tuple):
        return len(value)
    if value is None:
        return 0
    raise ValueError(f"len of {shown(value)}")


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    return any(_is_equal(first, other) for other in others)


def _is_equal(left: Any, right: Any) -> bool:
    if _is_nothing(left) or _is_nothing(right):
        return _is_nothing(left) and _is_nothing(right)
    for value in (left, right):
        if not isinstance(value, bool | int | float | str):
            raise TypeError(f"non-comparable type {shown(value, is_top=False)}")
    if _kind(left) is not _kind(right):
        raise TypeError("incompatible types for comparison")
    return bool(left == right)


def _is_nothing(value: object) -> bool:
    return value is None or isinstance(value, NilPointer)


def _kind(value: object) -> type:
    return next(kind for kind in (bool, int, float, str) if isinstance(value, kind))


def _compare(compare: Callable[[Any, Any], bool]) -> Function:
    def compared(left: Any, right: Any) -> bool:
        is_text, is_number = isinstance(left, str), isinstance(left, int | float)
        if not (is_text and isinstance(right, str)) and not (is_number and isinstance(right, int | float)):
            raise ValueError("incompatible types for comparison")
        return compare(left, right)

    return compared


def _and(*values: Any) -> Any:
    return next((value for value in values if not is_true(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if is_true(value)), values[-1])


def _title(text: str) -> str:
    """Go's strings.Title: a letter begins a word unless letters, digits or underscores stand before it."""
    return "".join(
        letter.upper() if not index or not (text[index - 1].isalnum() or text[index - 1] == "_") else letter
        for index, letter in enumerate(text)
    )


def _join(values: Any, separator: str) -> str:
    if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
        raise TypeError(f"wrong type for value; expected []string; got {type_of(values)}")
    return separator.join(values)


def _truncate(text: str, length: int) -> str:
    """By bytes, as Docker does it."""
    if length < 0:
        raise ValueError(f"slice bounds out of range [:{length}]")
    return text.encode("utf-8", "surrogateescape")[:length].decode("utf-8", "replace")


def _js(*values: Any) -> str:
    """Safe inside a string of JavaScript."""
    special = {"\\": "\\\\", "'": "\\'", '"': '\\"'}
    return "".join(
        special.get(letter) or (f"\\u{ord(letter):04X}" if letter in "<>&=" or ord(letter) < 32 else letter)
        for letter in printed(values)
    )


def _pad(text: str, before: int, after: int) -> str:
    return f"{' ' * before}{text}{' ' * after}" if text else ""


FUNCTIONS: Mapping[str, Function] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not is_true(value),
    "eq": _equal,
    "ne": lambda left, right: not _equal(left, right),
    "lt": _compare(operator.lt),
    "le": _compare(operator.le),
    "gt": _compare(operator.gt),
    "ge": _compare(operator.ge),
    "index": _index,
    "slice": _slice,
    "len": _length,
    "print": lambda *values: printed(values),
    "println": lambda *values: " ".join(shown(v, is_top=False) for v in values) + "\n",
    "printf": sprintf,
    "html": lambda *values: (
        html.escape(printed(values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    ),
    "js": _js,
    "urlquery": lambda *values: quote_plus(printed(values)),
    "json": encoded,
    "join": _join,
    "split": lambda text, separator: text.split(separator) if separator else list(text),
    "title": _title,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": _truncate,
}

# In the head of a table a column's name stays what it is.
HEAD_FUNCTIONS: Mapping[str, Function] = {
    **FUNCTIONS,
    **{
        name: lambda value, *rest: value
        for name in ("json", "title", "lower", "upper", "truncate", "join", "split")
    },
}
