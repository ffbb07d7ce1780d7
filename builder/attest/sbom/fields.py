"""Fields in the form of mail headers, as Debian and Python write them: ``Name: value``, folded lines."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

_LINE_LIMIT = 1 << 16
_VALUE_LIMIT = 1000  # characters of a value that is kept


def paragraphs(data: bytes, *, is_first_line_only: bool = False) -> Iterator[dict[str, str]]:
    """One mapping for each paragraph; of a name that is there twice the first counts, names in lower case.

    ``is_first_line_only`` leaves out the lines that a value goes on in.
    """
    fields: dict[str, str] = {}
    last = ""
    for raw in BytesIO(data):
        line = raw[:_LINE_LIMIT].decode("utf-8", "replace").rstrip("\r\n")
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] in " \t":
            if last and not is_first_line_only and len(fields[last]) < _VALUE_LIMIT:
                fields[last] = f"{fields[last]} {line.strip()}"[:_VALUE_LIMIT].strip()
        else:
            name, colon, value = line.partition(":")
            last = name.strip().lower() if colon else ""
            if last in fields:
                last = ""
            elif last:
                fields[last] = value.strip()[:_VALUE_LIMIT]
    if fields:
        yield fields
