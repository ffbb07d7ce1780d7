"""The header of an rpm package, as its database holds it (rpm's docs/manual/format_header.md)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

_ENTRY = struct.Struct(">4I")  # tag, type, offset, count
_COUNTS = struct.Struct(">2I")
_ENTRY_LIMIT = 1 << 16  # of rpm itself (HEADER_TAGS_MAX)
_TEXT_LIMIT = 1000  # bytes
_INT32, _STRING, _BINARY, _STRINGS, _I18N = 4, 6, 7, 8, 9

NAME, VERSION, RELEASE, EPOCH = 1000, 1001, 1002, 1003
VENDOR, LICENSE, URL, ARCH, SOURCE_RPM = 1011, 1014, 1020, 1022, 1044
_WANTED = frozenset({NAME, VERSION, RELEASE, EPOCH, VENDOR, LICENSE, URL, ARCH, SOURCE_RPM})


class BrokenHeader(ValueError):
    """The bytes are no header."""


class RpmHeader(NamedTuple):
    """The tags that an SBOM needs; what is missing is ""."""

    values: Mapping[int, str]

    @classmethod
    def parse(cls, data: bytes) -> RpmHeader:
        """Raises BrokenHeader."""
        if len(data) < _COUNTS.size:
            raise BrokenHeader("it is too short")
        count, size = _COUNTS.unpack_from(data)
        start = _COUNTS.size + count * _ENTRY.size
        if count > _ENTRY_LIMIT or start + size > len(data):
            raise BrokenHeader("it is shorter than it says")
        values: dict[int, str] = {}
        for number in range(count):
            tag, kind, offset, _ = _ENTRY.unpack_from(data, _COUNTS.size + number * _ENTRY.size)
            if tag in _WANTED:
                values[tag] = _value(data, kind, start + offset, start + size)
        return cls(values)

    def get(self, tag: int) -> str:
        """The first value of a tag."""
        return self.values.get(tag, "")

    @property
    def version(self) -> str:
        """``VERSION-RELEASE``."""
        release = self.get(RELEASE)
        return f"{self.get(VERSION)}-{release}" if release else self.get(VERSION)


def _value(data: bytes, kind: int, start: int, end: int) -> str:
    if kind == _INT32 and start + 4 <= end:
        return str(int.from_bytes(data[start : start + 4], "big"))
    if kind in (_STRING, _STRINGS, _I18N) and start < end:
        stop = data.find(b"\0", start, min(end, start + _TEXT_LIMIT))
        if stop >= 0:
            return data[start:stop].decode("utf-8", "replace")
    raise BrokenHeader("a value of it lies outside")
