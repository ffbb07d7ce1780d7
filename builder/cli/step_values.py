"""What the options about processes mean; without Typer, which `run` does without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.hosts import parse_host
from builder.core.limits import (
    InvalidLimit,
    Limits,
    StepSettings,
    TimeLimits,
    parse_count,
    parse_cpus,
    parse_cpuset,
    parse_size,
    parse_time,
    ulimits_of,
)
from builder.core.security import security_of

_ENTITLEMENTS = ("network.host", "security.insecure")


class InvalidEntitlement(PybuildError):
    """--allow with a word that grants nothing."""

    kind = Kind.INVALID
    code = "invalid-entitlement"


class ArgumentFileNotFound(PybuildError):
    """--build-arg-file names no file that can be read."""

    kind = Kind.NOT_FOUND
    code = "argument-file-not-found"


class ProfileNotFound(PybuildError):
    """--security-opt seccomp= names no file that can be read."""

    kind = Kind.NOT_FOUND
    code = "profile-not-found"


def settings_of(
    *,
    hosts: Sequence[str] | None,
    ulimits: Sequence[str] | None,
    shm_size: str | None,
    limits: Limits,
    cgroup_parent: str | None,
    security: Sequence[str] | None,
    step_timeout: str | None = None,
    silence_timeout: str | None = None,
    allow: Sequence[str] | None = None,
) -> StepSettings:
    """Raises InvalidHost, InvalidLimit, InvalidEntitlement, InvalidSecurityOption and others."""
    if cgroup_parent is not None and (".slice" in cgroup_parent or "\n" in cgroup_parent):
        raise Unsupported(
            "--cgroup-parent with a slice of systemd is not built yet",
            hint="name a path below /sys/fs/cgroup",
        )
    return StepSettings(
        hosts=tuple(map(parse_host, hosts or ())),
        ulimits=ulimits_of(list(ulimits or ())),
        shm_size=_positive(shm_size, "--shm-size"),
        limits=limits,
        cgroup_parent=(cgroup_parent or "").strip("/"),
        security=security_of(security or (), _read_profile),
        times=TimeLimits(
            parse_time(step_timeout, "--step-timeout") if step_timeout else 0,
            parse_time(silence_timeout, "--silence-timeout") if silence_timeout else 0,
        ),
        entitlements=frozenset(map(_entitlement, allow or ())),
    )


def limits_of(
    *,
    memory: str | None,
    memory_swap: str | None,
    cpus: str | None,
    cpu_shares: str | None,
    cpuset_cpus: str | None,
    cpuset_mems: str | None,
    cpu_period: str | None,
    cpu_quota: str | None,
    pids_limit: str | None,
) -> Limits:
    """Raises InvalidLimit."""
    return Limits(
        memory=_positive(memory, "--memory"),
        memory_swap=-1 if memory_swap == "-1" else _positive(memory_swap, "--memory-swap"),
        nano_cpus=parse_cpus(cpus) if cpus is not None else 0,
        cpu_shares=parse_count(cpu_shares, "--cpu-shares") if cpu_shares else 0,
        cpuset_cpus=parse_cpuset(cpuset_cpus) if cpuset_cpus else "",
        cpuset_mems=parse_cpuset(cpuset_mems, "--cpuset-mems") if cpuset_mems else "",
        cpu_period=parse_count(cpu_period, "--cpu-period") if cpu_period else 0,
        cpu_quota=parse_count(cpu_quota, "--cpu-quota") if cpu_quota not in (None, "-1") else 0,
        pids=parse_count(pids_limit, "--pids-limit") if pids_limit not in (None, "-1") else 0,
    ).checked()


def lines_of(data: bytes) -> list[str]:
    """Of a --build-arg-file: without empty lines and comments."""
    lines = (line.removesuffix("\r") for line in data.decode("utf-8", "surrogateescape").split("\n"))
    return [line for line in lines if line.strip() and not line.startswith("#")]


def names_of(given: Sequence[str] | None) -> frozenset[str]:
    """``--no-cache-filter a,b`` and several of them."""
    return frozenset(name.strip() for text in given or () for name in text.split(",") if name.strip())


def _positive(text: str | None, option: str) -> int:
    if text is None:
        return 0
    size = parse_size(text, option)
    if not size:
        raise InvalidLimit(f'{option} cannot be "{text}"', hint="leave it out for no limit")
    return size


def _read_profile(file: str) -> str:
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ProfileNotFound(
            f'cannot read the seccomp profile "{file}": {why}', hint="or give seccomp=unconfined"
        ) from error


def _entitlement(text: str) -> str:
    if text == "device" or text.startswith("device="):
        raise Unsupported("--allow device is not built yet", hint="RUN --device is not either")
    if text not in _ENTITLEMENTS:
        raise InvalidEntitlement(
            f'--allow cannot be "{text}"', hint=f"there are {' and '.join(_ENTITLEMENTS)}"
        )
    return text
