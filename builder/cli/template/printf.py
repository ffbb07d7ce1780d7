"""Go's fmt.Sprintf, as far as templates have values for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from builder.cli.template.values import Duration, Int64, Record, go_float, shown

_VERB = re.compile(r"%([-+ 0#]*)(\d*)(\.\d*)?([a-zA-Z%])")


def sprintf(form: str, *values: Any) -> str:
    """What is wrong with a verb or a value is said in the text, as Go says it."""
    left = list(values)

    def one(match: re.Match[str]) -> str:
        flags, width, precision, verb = match[1], match[2], match[3] or "", match[4]
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        text = _verb(verb, left.pop(0), flags, precision)
        if "-" in flags:
            return text.ljust(int(width or 0))
        if "0" in flags and text[:1] in "+-":
            return text[:1] + text[1:].rjust(int(width or 1) - 1, "0")
        return text.rjust(int(width or 0), "0" if "0" in flags else " ")

    text = _VERB.sub(one, form)
    if re.search(r"(?:^|[^%])(?:%%)*%[-+ 0#\d.]*$", form):
        text = re.sub(r"%[-+ 0#\d.]*$", "%!(NOVERB)", text)
    if left:
        text += f"%!(EXTRA {', '.join(f'{type_of(value)}={shown(value, is_top=False)}' for value in left)})"
    return text


def type_of(value: object) -> str:
    """As Go names it."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case Duration():
            return "time.Duration"
        case Int64():
            return "int64"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case list() | tuple():
            return "[]string" if all(isinstance(each, str) for each in value) else "[]interface {}"
        case Record():
            return "struct"
        case Mapping():
            return "map[string]interface {}"
        case _:
            return type(value).__name__


def quoted(text: str) -> str:
    """A string as Go source has it."""
    return json.dumps(text, ensure_ascii=False)


def _verb(verb: str, value: Any, flags: str, precision: str) -> str:
    if isinstance(value, list | tuple) and verb in "sqxXd":
        return f"[{' '.join(_verb(verb, each, flags, precision) for each in value)}]"
    is_number = isinstance(value, int) and not isinstance(value, bool)
    match verb:
        case "v" if "#" in flags:
            return _source(value)
        case "v" if is_number and "+" in flags:
            return f"{value:+d}"
        case "v":
            return _cut(shown(value, is_top=False), precision if isinstance(value, str) else "")
        case "T":
            return type_of(value)
        case "s" if isinstance(value, str | Mapping | Duration):
            return _cut(shown(value, is_top=False), precision)
        case "q" if isinstance(value, str):
            return quoted(value)
        case "q" if is_number:
            return f"'{chr(value)}'"
        case "x" | "X" if isinstance(value, str):
            digits = value.encode("utf-8", "surrogateescape").hex()
            return digits.upper() if verb == "X" else digits
        case "t" if isinstance(value, bool):
            return shown(value)
        case "d" | "b" | "o" | "x" | "X" if is_number:
            sign = "+" if "+" in flags else " " if " " in flags else ""
            return f"{int(value):{sign}{'#' if '#' in flags else ''}{verb}}"
        case "c" if is_number:
            return chr(value)
        case "U" if is_number:
            return f"U+{value:04X}"
        case "f" | "F" | "e" | "E" if isinstance(value, float):
            return f"{value:{'+' if '+' in flags else ''}{precision}{verb}}"
        case "g" | "G" if isinstance(value, float):
            return f"{value:{precision}{verb}}" if precision else go_float(value)
        case _:
            return (
                f"%!{verb}({type_of(value)}={shown(value, is_top=False)})"
                if value is not None
                else (f"%!{verb}(<nil>)")
            )


def _cut(text: str, precision: str) -> str:
    return text[: int(precision[1:] or 0)] if precision else text


def _source(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list | tuple):
        return f"{type_of(value)}{{{', '.join(map(_source, value))}}}"
    return shown(value, is_top=False)
