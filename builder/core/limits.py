"""What a process may use at most, and what the command line says of every RUN."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Self

from builder.core.durations import parse_duration
from builder.core.errors import Kind, PybuildError
from builder.core.security import Security

# getrlimit(2) → the number in asm-generic/resource.h; the names are Docker's (go-units, ulimit.go).
RLIMITS = {
    "cpu": 0, "fsize": 1, "data": 2, "stack": 3, "core": 4, "rss": 5, "nproc": 6, "nofile": 7, "memlock": 8,
    "locks": 10, "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15,
}  # fmt: skip
SHM_SIZE = 64 << 20  # of /dev/shm, when nobody says otherwise

_LEAST_MEMORY = 6 << 20  # Docker's: less, and not even the start of a process succeeds
_NANO = 1_000_000_000
_LARGEST = 2**63 - 1


class InvalidLimit(PybuildError):
    """A limit that cannot be: not a number, out of range, or against another one."""

    kind = Kind.INVALID
    code = "invalid-limit"


class Ulimit(NamedTuple):
    """A limit of setrlimit(2); -1 is none."""

    name: str
    soft: int
    hard: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``NAME=SOFT[:HARD]``. Raises InvalidLimit."""
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise InvalidLimit(
                f'"{text}" is not a ulimit', hint="write it as nofile=1024 or nofile=1024:2048"
            )
        if name not in RLIMITS:
            raise InvalidLimit(f'unknown ulimit "{name}"', hint=f"there are {', '.join(sorted(RLIMITS))}")
        numbers = values.split(":")
        try:
            found = [int(number) for number in numbers]
        except ValueError:
            found = []
        if len(found) not in (1, 2) or any(not -1 <= number <= _LARGEST for number in found):
            raise InvalidLimit(f'"{values}" is not a value of the ulimit "{name}"', hint="-1 is no limit")
        soft, hard = found[0], found[-1]
        if hard != -1 and (soft == -1 or soft > hard):
            raise InvalidLimit(f'the soft limit of "{text}" is above the hard one')
        return cls(name, soft, hard)

    def __str__(self) -> str:
        return f"{self.name}={self.soft}:{self.hard}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a control group enforces; 0 is no limit."""

    memory: int = 0  # bytes
    memory_swap: int = 0  # bytes of memory and swap together; 0: twice ``memory``, -1: any
    nano_cpus: int = 0  # processor time in a second, in nanoseconds
    cpu_period: int = 0  # of the scheduler, in microseconds; 0: as usual
    cpu_quota: int = 0  # processor time in a period, in microseconds
    cpu_shares: int = 0  # the weight against others, 1024 is normal
    cpuset_cpus: str = ""  # "0-2,7"
    cpuset_mems: str = ""
    pids: int = 0

    def checked(self) -> Self:
        """The same. Raises InvalidLimit for what contradicts itself."""
        if self.memory and self.memory < _LEAST_MEMORY:
            raise InvalidLimit(f"a memory limit of {self.memory} bytes is too low", hint="the least is 6m")
        if self.nano_cpus and (self.cpu_period or self.cpu_quota):
            raise InvalidLimit(
                "--cpus excludes --cpu-period and --cpu-quota",
                hint="the latter two say the same: leave one out",
            )
        if self.cpu_period and not 1_000 <= self.cpu_period <= 1_000_000:
            raise InvalidLimit(
                f'--cpu-period cannot be "{self.cpu_period}"', hint="it is 1000 to 1000000 microseconds"
            )
        if 0 < self.cpu_quota < 1_000:
            raise InvalidLimit(
                f'--cpu-quota cannot be "{self.cpu_quota}"', hint="the least is 1000 microseconds"
            )
        if self.memory_swap and not self.memory:
            raise InvalidLimit(
                "a limit of memory and swap needs one of memory", hint="give --memory with --memory-swap"
            )
        if 0 < self.memory_swap < self.memory:
            raise InvalidLimit(
                "the limit of memory and swap together is below that of memory",
                hint="--memory-swap counts both",
            )
        return self


class TimeLimits(NamedTuple):
    """How long one step may run, and print nothing, in nanoseconds; 0 is any time."""

    total: int = 0
    silence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """What the options of a build say of every RUN."""

    hosts: tuple[tuple[str, str], ...] = ()  # name and address, lines of /etc/hosts
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = 0  # bytes; 0: as usual
    limits: Limits = Limits()
    cgroup_parent: str = ""
    security: Security = Security()
    times: TimeLimits = TimeLimits()
    entitlements: frozenset[str] = frozenset()  # what --allow grants


def parse_size(text: str, option: str) -> int:
    """Docker's ``64m``, ``1.5g``, ``512``: bytes in binary units. Raises InvalidLimit."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(?:([kmgtp])i?)?b?", text.strip().lower())
    if found is None:
        raise InvalidLimit(f'{option} cannot be "{text}"', hint="write a number with b, k, m or g: 512m")
    number, unit = found.groups()
    power = " kmgtp".index(unit or " ")
    return int(float(number) * 1024**power) if "." in number else int(number) << 10 * power


def parse_time(text: str, option: str) -> int:
    """Go's ``1m30s``, as nanoseconds. Raises InvalidLimit."""
    found = parse_duration(text)
    if found is None or found <= 0:
        raise InvalidLimit(f'{option} cannot be "{text}"', hint="write 90s, 10m or 1h30m")
    return found


def parse_count(text: str, option: str) -> int:
    """A number that is not negative; 0 is no limit. Raises InvalidLimit."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidLimit(f'{option} cannot be "{text}"', hint="write a number; 0 is no limit")
    return int(text)


def parse_cpus(text: str) -> int:
    """``1.5`` as billionths. Raises InvalidLimit."""
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,9})?", text):
        raise InvalidLimit(f'--cpus cannot be "{text}"', hint="write a number of processors: 1.5")
    whole, _, fraction = text.partition(".")
    cpus = int(whole) * _NANO + int(fraction.ljust(9, "0"))
    if 0 < cpus < _NANO // 100:
        raise InvalidLimit(f'--cpus cannot be "{text}"', hint="the least is 0.01")
    return cpus


def parse_cpuset(text: str, option: str = "--cpuset-cpus") -> str:
    """``0-2,7``, as it is. Raises InvalidLimit."""
    if not re.fullmatch(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*", text):
        raise InvalidLimit(f'{option} cannot be "{text}"', hint="write numbers: 0-2,7")
    return text


def ulimits_of(texts: tuple[str, ...] | list[str]) -> tuple[Ulimit, ...]:
    """The last of each name counts; sorted, so that their order is no identity. Raises InvalidLimit."""
    found = {ulimit.name: ulimit for ulimit in map(Ulimit.parse, texts)}
    return tuple(found[name] for name in sorted(found))
