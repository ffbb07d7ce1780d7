"""The documents of `inspect` as the Go values that templates are written for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.cli.template.evaluate import Template
from builder.cli.template.syntax import InvalidTemplate
from builder.cli.template.values import (
    Duration,
    Int64,
    NilList,
    NilMap,
    NilPointer,
    Record,
    Time,
    Typed,
)

_HEALTHCHECK = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
_DURATIONS = _HEALTHCHECK[1:5]
_NOTHING = Record({}, {})
# Of Docker's configuration: the type of a map's values, and what its JSON leaves out where there is nothing.
# A port is a type of its own there, which no template can name: `index` falls back to the JSON.
_MAPS: dict[str, object] = {"ExposedPorts": None, "Volumes": _NOTHING, "Labels": ""}
_LISTS = ("Env", "Cmd", "Entrypoint", "OnBuild", "Shell")
_UNSAID: dict[str, Any] = {
    "ExposedPorts": NilMap(None), "Healthcheck": NilPointer(), "ArgsEscaped": False, "StopSignal": "",
    "StopTimeout": NilPointer(), "Shell": NilList(), "NetworkDisabled": False, "MacAddress": "",
}  # fmt: skip


def inspected(template: Template, document: Mapping[str, Any]) -> str:
    """The template applied to the value, else to the JSON as it is, as Docker's client tries both.

    Raises InvalidTemplate.
    """
    try:
        return template.apply(_record(document))
    except InvalidTemplate as error:
        try:
            return template.apply(document)
        except InvalidTemplate:
            raise error from None


def _record(document: Mapping[str, Any]) -> Record:
    fields: dict[str, Any] = {**document, "Config": Record(_config(document["Config"]), _UNSAID)}
    if "Size" in fields:
        fields["Size"] = Int64(fields["Size"])
    if "RootFS" in fields:
        fields["RootFS"] = Record(fields["RootFS"], {"Layers": NilList()})
    if "Metadata" in fields:
        fields["Metadata"] = Record({key: Time(value) for key, value in fields["Metadata"].items()}, {})
    absent = {"Variant": "", "OsVersion": "", "VirtualSize": Int64(0), "Created": "", "ID": document["Id"]}
    return Record(fields, absent)


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(config)
    for key in _LISTS:
        if key in found and found[key] is None:
            found[key] = NilList()
    for key, zero in _MAPS.items():
        if key in found:
            found[key] = NilMap(zero) if found[key] is None else Typed(_values(found[key], zero), zero)
    if found.get("Healthcheck"):
        said = {key: Duration(v) if key in _DURATIONS else v for key, v in found["Healthcheck"].items()}
        absent = {**dict.fromkeys(_DURATIONS, Duration(0)), "Test": NilList(), "Retries": 0}
        found["Healthcheck"] = Record(said, absent, _HEALTHCHECK)
    return found


def _values(values: Mapping[str, Any], zero: object) -> dict[str, Any]:
    return {key: zero if value == {} and zero is not None else value for key, value in values.items()}
