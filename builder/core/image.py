"""Image configs as values, and their JSON as the OCI image specification and Docker have it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.core.digest import Digest
from builder.core.platform import Platform

# What has a field of its own; the rest of a document is kept as it is.
_KNOWN = frozenset(
    {
        "User", "Env", "Entrypoint", "Cmd", "WorkingDir", "Labels", "ExposedPorts", "Volumes",
        "StopSignal", "Shell", "Healthcheck", "OnBuild", "ArgsEscaped",
    }
)  # fmt: skip
_KNOWN_ROOT = frozenset({"architecture", "os", "variant", "created", "author", "config", "rootfs", "history"})


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One line of an image's history; ``created`` is RFC 3339 or "" while it is not known yet."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    is_empty_layer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """Docker's HEALTHCHECK; durations in nanoseconds, 0: inherit the default."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What an image says about running itself. ``entrypoint``/``cmd`` None: not set, (): set to empty.

    ``extra`` and ``extra_root`` keep members that we do not know, of ``config`` and of the document.
    """

    platform: Platform
    created: str = ""
    author: str = ""
    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None
    healthcheck: Healthcheck | None = None
    on_build: tuple[str, ...] = ()
    args_escaped: bool = False
    diff_ids: tuple[Digest, ...] = ()  # of uncompressed layer tars, base first
    history: tuple[History, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    extra_root: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: bytes) -> ImageConfig:
        """Raises ValueError, KeyError, TypeError or InvalidDigest when it is no image config."""
        try:
            document = _mapping(_unicode(json.loads(data), data))
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        inner = _mapping(document.get("config"))
        health = _mapping(inner.get("Healthcheck"))
        return cls(
            platform=Platform(
                _text(document["os"]), _text(document["architecture"]), _text(document.get("variant"))
            ),
            created=_text(document.get("created")),
            author=_text(document.get("author")),
            user=_text(inner.get("User")),
            env=_texts(inner.get("Env")) or (),
            entrypoint=_texts(inner.get("Entrypoint")),
            cmd=_texts(inner.get("Cmd")),
            working_dir=_text(inner.get("WorkingDir")),
            labels={key: _text(value) for key, value in _mapping(inner.get("Labels")).items()},
            exposed_ports=tuple(sorted(_mapping(inner.get("ExposedPorts")))),
            volumes=tuple(sorted(_mapping(inner.get("Volumes")))),
            stop_signal=_text(inner.get("StopSignal")),
            shell=_texts(inner.get("Shell")),
            healthcheck=_healthcheck_from(health) if health else None,
            on_build=_texts(inner.get("OnBuild")) or (),
            args_escaped=bool(inner.get("ArgsEscaped")),
            diff_ids=tuple(map(Digest.parse, _texts(_mapping(document.get("rootfs")).get("diff_ids")) or ())),
            history=tuple(_history_from(_mapping(entry)) for entry in _list(document.get("history"))),
            extra={k: v for k, v in inner.items() if k not in _KNOWN},
            extra_root={k: v for k, v in document.items() if k not in _KNOWN_ROOT},
        )

    def to_json(self) -> bytes:
        """Compact, keys in a fixed order: equal values give equal bytes, and so the same image ID."""
        inner: dict[str, Any] = {}
        _put(inner, "User", self.user)
        _put(inner, "ExposedPorts", {p: {} for p in sorted(self.exposed_ports)})
        _put(inner, "Env", list(self.env))
        if self.entrypoint is not None:
            inner["Entrypoint"] = list(self.entrypoint)
        if self.cmd is not None:
            inner["Cmd"] = list(self.cmd)
        _put(inner, "Healthcheck", _healthcheck_to(self.healthcheck) if self.healthcheck else None)
        _put(inner, "ArgsEscaped", self.args_escaped)
        _put(inner, "Volumes", {v: {} for v in sorted(self.volumes)})
        _put(inner, "WorkingDir", self.working_dir)
        _put(inner, "OnBuild", list(self.on_build))
        _put(inner, "Labels", dict(sorted(self.labels.items())))
        _put(inner, "StopSignal", self.stop_signal)
        if self.shell is not None:
            inner["Shell"] = list(self.shell)
        inner.update(self.extra)
        document: dict[str, Any] = {"architecture": self.platform.architecture, "os": self.platform.os}
        _put(document, "variant", self.platform.variant)
        _put(document, "created", self.created)
        _put(document, "author", self.author)
        document["config"] = inner
        document["rootfs"] = {"type": "layers", "diff_ids": [str(d) for d in self.diff_ids]}
        document["history"] = [_history_to(h) for h in self.history]
        document.update(self.extra_root)
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        try:
            return text.encode()
        except UnicodeEncodeError:
            # Bytes of a Dockerfile that are not UTF-8 are lone surrogates here; Go writes U+FFFD for each.
            return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text).encode()


def chain_ids(diff_ids: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """The identity of each layer stack, base first (OCI config.md, "Layer ChainID")."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(Digest.of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def _unicode(value: Any, data: bytes) -> Any:
    """Halves of surrogate pairs, which JSON can name and nobody prints, become U+FFFD, as with Docker."""
    if b"\\u" not in data and b"\xed" not in data:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _mapping(value: object) -> Mapping[str, Any]:
    """A JSON object; null is an empty one, as it is for Go."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.60} is no object")
    return value


def _list(value: object) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.60} is no list")
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no string")
    return value


def _texts(value: object) -> tuple[str, ...] | None:
    """None stays None: not set is not empty. Docker takes a single string for a list of one."""
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(_text(item) for item in _list(value))


def _number(value: object) -> int:
    if value is None:
        return 0
    if not isinstance(value, int):
        raise TypeError(f"{value!r:.60} is no whole number")
    return value


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    if value:
        target[key] = value


def _healthcheck_from(value: Mapping[str, Any]) -> Healthcheck:
    return Healthcheck(
        test=_texts(value.get("Test")) or (),
        interval=_number(value.get("Interval")),
        timeout=_number(value.get("Timeout")),
        start_period=_number(value.get("StartPeriod")),
        start_interval=_number(value.get("StartInterval")),
        retries=_number(value.get("Retries")),
    )


def _healthcheck_to(value: Healthcheck) -> dict[str, Any]:
    out: dict[str, Any] = {}
    _put(out, "Test", list(value.test))
    _put(out, "Interval", value.interval)
    _put(out, "Timeout", value.timeout)
    _put(out, "StartPeriod", value.start_period)
    _put(out, "StartInterval", value.start_interval)
    _put(out, "Retries", value.retries)
    return out


def _history_from(value: Mapping[str, Any]) -> History:
    return History(
        created=_text(value.get("created")),
        created_by=_text(value.get("created_by")),
        comment=_text(value.get("comment")),
        author=_text(value.get("author")),
        is_empty_layer=bool(value.get("empty_layer")),
    )


def _history_to(value: History) -> dict[str, Any]:
    out: dict[str, Any] = {}
    _put(out, "created", value.created)
    _put(out, "created_by", value.created_by)
    _put(out, "author", value.author)
    _put(out, "comment", value.comment)
    _put(out, "empty_layer", value.is_empty_layer)
    return out
