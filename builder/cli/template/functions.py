"""The functions of templates: Go's own, and those that Docker adds."""

from __future__ import annotations

import html
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from builder.cli.template.values import encoded, is_true, printed, shown

Function = Callable[..., Any]


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, Sequence) and isinstance(key, int):
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
    return any(type(first) is type(other) and first == other for other in others)


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


def _printf(form: str, *values: Any) -> str:
    """The verbs that people use: %s %v %q %d %x %t %f %%, with widths."""
    import re

    left = list(values)

    def one(match: re.Match[str]) -> str:
        flags, verb = match[1], match[2]
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        if verb in "sv":
            return f"%{flags}s" % shown(value, is_top=False)
        if verb == "q":
            return f"%{flags}s" % json.dumps(shown(value, is_top=False), ensure_ascii=False)
        if verb == "t" and isinstance(value, bool):
            return shown(value)
        if verb in "dxXo" and isinstance(value, int):
            return f"%{flags}{verb}" % value
        if verb in "feg" and isinstance(value, float):
            return f"%{flags}{verb}" % value
        return f"%!{verb}({type(value).__name__}={shown(value)})"

    text = re.sub(r"%([-+ 0#]*\d*(?:\.\d+)?)([a-zA-Z%])", one, form)
    return text + (f"%!(EXTRA {', '.join(map(shown, left))})" if left else "")


def _title(text: str) -> str:
    return "".join(
        letter.upper() if not index or text[index - 1].isspace() else letter
        for index, letter in enumerate(text)
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
    "printf": _printf,
    "html": lambda *values: (
        html.escape(printed(values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    ),
    "urlquery": lambda *values: quote_plus(printed(values)),
    "json": encoded,
    "join": lambda values, separator: separator.join(values or ()),
    "split": lambda text, separator: text.split(separator) if separator else list(text),
    "title": _title,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": lambda text, length: text[:length],
}

# In the head of a table a column's name stays what it is.
HEAD_FUNCTIONS: Mapping[str, Function] = {
    **FUNCTIONS,
    **{
        name: lambda value, *rest: value
        for name in ("json", "title", "lower", "upper", "truncate", "join", "split")
    },
}
