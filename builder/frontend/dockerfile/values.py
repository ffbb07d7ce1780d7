"""The small languages inside of instructions: ports, signals, modes, stage names."""

from __future__ import annotations

import re

_PROTOCOLS = ("tcp", "udp", "sctp")
_HIGHEST_PORT = 65535
_PORT_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*")
# chmod(1)'s symbolic modes: who, operator, permissions or the one to copy from.
_CLAUSE = r"[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+"
_SYMBOLIC_MODE = re.compile(rf"{_CLAUSE}(?:,{_CLAUSE})*")
_OCTAL_MODE = re.compile(r"0*[0-7]{1,4}")
# Linux's, under the names that github.com/moby/sys/signal knows.
_SIGNALS = frozenset({
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    *(f"RTMIN+{n}" for n in range(1, 16)), *(f"RTMAX-{n}" for n in range(1, 15)),
})  # fmt: skip


def is_stage_name(text: str) -> bool:
    """``text`` in lower case."""
    return _STAGE_NAME.fullmatch(text) is not None


def is_signal(text: str) -> bool:
    """A name with or without SIG, in any case, or a number; 0 is none."""
    if text.isascii() and text.isdecimal():
        return int(text) > 0
    return text.upper().removeprefix("SIG") in _SIGNALS


def is_mode(text: str) -> bool:
    """Octal up to 07777, or symbolic."""
    return _OCTAL_MODE.fullmatch(text) is not None or _SYMBOLIC_MODE.fullmatch(text) is not None


def ports(text: str) -> list[str]:
    """``80``, ``80-82/udp``, ``ip:host:80``: each container port with its protocol. Raises ValueError."""
    before_slash, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if not before_slash:
        raise ValueError("there is no port")
    if protocol not in _PROTOCOLS:
        raise ValueError(f'"{protocol}" is not a protocol, these are: {", ".join(_PROTOCOLS)}')
    # The host's part is for "docker run"; EXPOSE has always read over it.
    *host, container = before_slash.rsplit(":", 2)
    if host and host[-1]:
        _range(host[-1])
    low, high = _range(container)
    return [f"{port}/{protocol}" for port in range(low, high + 1)]


def _range(text: str) -> tuple[int, int]:
    match = _PORT_RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a port or a range of ports')
    low = int(match[1])
    high = int(match[2] or low)
    if not low <= high <= _HIGHEST_PORT:
        raise ValueError(f'"{text}" is not within 0 and {_HIGHEST_PORT}, from low to high')
    return low, high
