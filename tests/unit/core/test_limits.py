"""What the options about limits mean, and what they cannot be."""

from __future__ import annotations

import resource

import pytest

from builder.core.limits import (
    RLIMITS,
    InvalidLimit,
    Limits,
    Ulimit,
    parse_count,
    parse_cpus,
    parse_cpuset,
    parse_size,
    ulimits_of,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("512b", 512),
        ("1k", 1024),
        ("1kb", 1024),
        ("64m", 64 << 20),
        ("64MiB", 64 << 20),
        ("1.5g", 3 << 29),
        ("2 G", 2 << 30),
        ("1t", 1 << 40),
        ("0", 0),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """Docker's units, which are binary."""
    assert size == parse_size(text, "--memory")


@pytest.mark.parametrize("text", ["", "m", "-1", "1x", "1.m", "64mm", "1e3", "0x10"])
def test_no_sizes(text: str) -> None:
    """The error names the option and the text."""
    with pytest.raises(InvalidLimit, match="--memory cannot be"):
        parse_size(text, "--memory")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nofile=1024", Ulimit("nofile", 1024, 1024)),
        ("nofile=1024:2048", Ulimit("nofile", 1024, 2048)),
        ("core=-1", Ulimit("core", -1, -1)),
        ("core=0:-1", Ulimit("core", 0, -1)),
    ],
)
def test_ulimits(text: str, expected: Ulimit) -> None:
    """One value is both limits; -1 is none."""
    assert expected == Ulimit.parse(text)
    assert expected == Ulimit.parse(str(expected))


@pytest.mark.parametrize(
    "text",
    [
        "", "nofile", "nofile=", "nofile=x", "nofile=1:2:3", "nofile=1:", "nofile=-2", "files=1", "core=2:1",
        "nofile=-1:5", f"nofile={2**63}", "NOFILE=1",
    ],
)  # fmt: skip
def test_no_ulimits(text: str) -> None:
    """What is not NAME=SOFT[:HARD], or contradicts itself."""
    with pytest.raises(InvalidLimit):
        Ulimit.parse(text)


def test_numbers_of_ulimits() -> None:
    """The table is the kernel's, as Python knows it."""
    known = {name: getattr(resource, f"RLIMIT_{name.upper()}", None) for name in RLIMITS}

    assert {name: number for name, number in known.items() if number is not None} == {
        name: RLIMITS[name] for name, number in known.items() if number is not None
    }


def test_order_of_ulimits_is_no_identity() -> None:
    """The last of a name counts."""
    assert ulimits_of(["nproc=1", "core=0", "nproc=2"]) == ulimits_of(["core=0", "nproc=2"])


@pytest.mark.parametrize(("text", "nano"), [("1", 10**9), ("1.5", 15 * 10**8), ("0.01", 10**7), ("0", 0)])
def test_cpus(text: str, nano: int) -> None:
    """Processors, in billionths."""
    assert nano == parse_cpus(text)


@pytest.mark.parametrize("text", ["", "-1", "0.001", "1.", "a", "1e1"])
def test_no_cpus(text: str) -> None:
    """Too little, or no number."""
    with pytest.raises(InvalidLimit, match="--cpus"):
        parse_cpus(text)


def test_cpuset_and_counts() -> None:
    """Lists of processors and whole numbers."""
    assert parse_cpuset("0-2,7") == "0-2,7"
    assert parse_count("12", "--pids-limit") == 12
    for text in ("", "a", "0-", ",1", "1,,2"):
        with pytest.raises(InvalidLimit, match="--cpuset-cpus"):
            parse_cpuset(text)
    with pytest.raises(InvalidLimit, match="--pids-limit"):
        parse_count("-2", "--pids-limit")


@pytest.mark.parametrize(
    "limits",
    [Limits(memory=1 << 20), Limits(memory_swap=1 << 30), Limits(memory=64 << 20, memory_swap=32 << 20)],
)
def test_contradictions(limits: Limits) -> None:
    """Docker's rules for memory and swap."""
    with pytest.raises(InvalidLimit):
        limits.checked()


@pytest.mark.parametrize(
    "limits",
    [
        Limits(nano_cpus=10**9, cpu_quota=50_000),
        Limits(nano_cpus=10**9, cpu_period=50_000),
        Limits(cpu_period=999),
        Limits(cpu_period=1_000_001),
        Limits(cpu_quota=999),
    ],
)
def test_processor_time_that_contradicts_itself(limits: Limits) -> None:
    """--cpus says the same as period and quota, and the kernel has bounds for both."""
    with pytest.raises(InvalidLimit, match="--cpu"):
        limits.checked()
