"""Values as Go prints, compares and encodes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


class Record(dict[str, Any]):
    """A Go struct: its JSON has ``self``; a template also sees members that are left out when empty.

    ``order``: it is printed with these members, those that are left out too.
    """

    def __init__(
        self, fields: Mapping[str, Any], absent: Mapping[str, Any], order: tuple[str, ...] = ()
    ) -> None:
        super().__init__(fields)
        self.absent = absent
        self.order = order


class Row(dict[str, Any]):
    """A line of a list: its JSON is safe inside HTML, as that of Go types with their own encoding is."""


class Typed(dict[str, Any]):
    """A Go map whose values are of one type: ``zero`` is what it gives for a key that it has not."""

    def __init__(self, values: Mapping[str, Any], zero: object) -> None:
        super().__init__(values)
        self.zero = zero


class NilMap(Typed):
    """The same without a map: empty, and null in JSON."""

    def __init__(self, zero: object = "") -> None:
        super().__init__({}, zero)


class NilList(list[Any]):
    """A Go slice that is nil: empty, and null in JSON."""


class NilPointer:
    """To nothing: ``<nil>``, where a map without the key says ``<no value>``."""

    def __bool__(self) -> bool:
        return False


class Duration(int):
    """Nanoseconds."""


class Int64(int):
    """A number of that type, which `printf` tells apart."""


class Time(str):
    """A time as JSON has it, which Go prints otherwise."""

    __slots__ = ()


def shown(value: object, *, is_top: bool = True) -> str:
    """``%v``."""
    match value:
        case None:
            return "<no value>" if is_top else "<nil>"
        case bool():
            return "true" if value else "false"
        case Duration():
            return duration(value)
        case Time():
            return f"{value[:10]} {value[11:].removesuffix('Z')} +0000 UTC"
        case str():
            return value
        case float():
            return go_float(value)
        case NilPointer():
            return "<nil>"
        case Record():
            members = [value.get(key, value.absent.get(key)) for key in value.order or value]
            return f"{{{' '.join(shown(each, is_top=False) for each in members)}}}"
        case Mapping():
            pairs = (f"{key}:{shown(value[key], is_top=False)}" for key in sorted(value))
            return f"map[{' '.join(pairs)}]" if value or is_top else "{}"
        case list() | tuple():
            return f"[{' '.join(shown(each, is_top=False) for each in value)}]"
        case _:
            return str(value)


def is_true(value: object) -> bool:
    """What ``{{if}}`` takes for true; a struct always is."""
    return True if isinstance(value, Record) else bool(value)


def encoded(value: object) -> str:
    """As Go's encoding/json has it, in one line."""
    text = json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029" if isinstance(value, Row) else "\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: object) -> object:
    match value:
        case NilMap() | NilList() | NilPointer():
            return None
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def go_float(value: float) -> str:
    """``%v``: as few digits as tell it apart, with an exponent from 21 digits on."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def duration(nanoseconds: int) -> str:
    """Go's Duration.String: ``1m30s``, ``1.5s``, ``250ms``."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if rest < size * 1000:
            return f"{sign}{_decimal(rest, size)}{unit}"
    hours, rest = divmod(rest, 3600 * 10**9)
    minutes, rest = divmod(rest, 60 * 10**9)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{text}{_decimal(rest, 10**9)}s"


def _decimal(count: int, size: int) -> str:
    whole, rest = divmod(count, size)
    digits = str(rest).rjust(len(str(size)) - 1, "0").rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def printed(values: Iterable[object]) -> str:
    """``print``: a blank between two operands of which neither is a string."""
    text, before = "", ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and before != "str":
            text += " "
        text += shown(value, is_top=False)
        before = "str" if isinstance(value, str) else ""
    return text
