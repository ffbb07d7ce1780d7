"""Image configs as values, and their JSON as the OCI image specification and Docker have it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.core.digest import Digest
from builder.core.platform import Platform


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
        """Raises ValueError (of json), KeyError or TypeError when it is no image config."""
        document = json.loads(data)
        inner = document.get("config") or {}
        health = inner.get("Healthcheck")
        known = {
            "User", "Env", "Entrypoint", "Cmd", "WorkingDir", "Labels", "ExposedPorts", "Volumes",
            "StopSignal", "Shell", "Healthcheck", "OnBuild", "ArgsEscaped",
        }  # fmt: skip
        known_root = {"architecture", "os", "variant", "created", "author", "config", "rootfs", "history"}
        return cls(
            platform=Platform(document["os"], document["architecture"], document.get("variant") or ""),
            created=document.get("created") or "",
            author=document.get("author") or "",
            user=inner.get("User") or "",
            env=tuple(inner.get("Env") or ()),
            entrypoint=_optional_tuple(inner.get("Entrypoint")),
            cmd=_optional_tuple(inner.get("Cmd")),
            working_dir=inner.get("WorkingDir") or "",
            labels=dict(inner.get("Labels") or {}),
            exposed_ports=tuple(sorted(inner.get("ExposedPorts") or ())),
            volumes=tuple(sorted(inner.get("Volumes") or ())),
            stop_signal=inner.get("StopSignal") or "",
            shell=_optional_tuple(inner.get("Shell")),
            healthcheck=_healthcheck_from(health) if health else None,
            on_build=tuple(inner.get("OnBuild") or ()),
            args_escaped=bool(inner.get("ArgsEscaped")),
            diff_ids=tuple(Digest.parse(d) for d in (document.get("rootfs") or {}).get("diff_ids") or ()),
            history=tuple(
                History(
                    created=h.get("created") or "",
                    created_by=h.get("created_by") or "",
                    comment=h.get("comment") or "",
                    author=h.get("author") or "",
                    is_empty_layer=bool(h.get("empty_layer")),
                )
                for h in document.get("history") or ()
            ),
            extra={k: v for k, v in inner.items() if k not in known},
            extra_root={k: v for k, v in document.items() if k not in known_root},
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
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def chain_ids(diff_ids: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """The identity of each layer stack, base first (OCI config.md, "Layer ChainID")."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(Digest.of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def _optional_tuple(value: list[str] | str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    if value:
        target[key] = value


def _healthcheck_from(value: Mapping[str, Any]) -> Healthcheck:
    return Healthcheck(
        test=tuple(value.get("Test") or ()),
        interval=value.get("Interval") or 0,
        timeout=value.get("Timeout") or 0,
        start_period=value.get("StartPeriod") or 0,
        start_interval=value.get("StartInterval") or 0,
        retries=value.get("Retries") or 0,
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


def _history_to(value: History) -> dict[str, Any]:
    out: dict[str, Any] = {}
    _put(out, "created", value.created)
    _put(out, "created_by", value.created_by)
    _put(out, "author", value.author)
    _put(out, "comment", value.comment)
    _put(out, "empty_layer", value.is_empty_layer)
    return out
