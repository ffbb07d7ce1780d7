"""Ports, signals, modes, Go's quoting and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.durations import format_duration, parse_duration
from builder.core.suggest import closest
from builder.frontend.dockerfile.gotext import quote, quote_list, quote_rune
from builder.frontend.dockerfile.values import is_mode, is_signal, is_stage_name, ports


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", ["80/tcp"]), ("80/UDP", ["80/udp"]), ("80-82/sctp", ["80/sctp", "81/sctp", "82/sctp"]),
        ("0", ["0/tcp"]), ("080", ["80/tcp"]), ("80/", ["80/tcp"]), ("8080:80", ["80/tcp"]),
        ("1.2.3.4:80:90", ["90/tcp"]), ("65535", ["65535/tcp"]), (":80", ["80/tcp"]),
    ],
)  # fmt: skip
def test_ports(text: str, expected: list[str]) -> None:
    """Each container port with its protocol; a host's part is read over."""
    assert expected == ports(text)


@pytest.mark.parametrize("text", ["foo", "70000", "80/foo", "90-80", "/tcp", "", "-1", "x:80", "80-", "1:2:"])
def test_no_ports(text: str) -> None:
    """Whatever is no port is an error with the reason."""
    with pytest.raises(ValueError, match=r"port|protocol|within"):
        ports(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SIGKILL", True), ("kill", True), ("9", True), ("65", True), ("SIGRTMIN+3", True),
        ("rtmax-14", True),
        ("RTMAX", True), ("0", False), ("SIGFOO", False), ("9 9", False), ("", False), ("-1", False),
        ("RTMIN+16", False), ("SIGSIGKILL", False),
    ],
)  # fmt: skip
def test_signals(text: str, expected: bool) -> None:
    """A name with or without SIG, in any case, or a positive number."""
    assert expected == is_signal(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("755", True), ("0", True), ("07777", True), ("0755", True), ("u=rwX,go=rX", True), ("+x", True),
        ("a+rw", True), ("g=u", True), ("u+s,+t", True), ("77777", False), ("9", False), ("0o755", False),
        ("x", False), ("", False), ("u=rwx,", False), ("u", False), ("z+x", False),
    ],
)  # fmt: skip
def test_modes(text: str, expected: bool) -> None:
    """Octal up to 07777, or chmod's symbolic modes."""
    assert expected == is_mode(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", True), ("b_-.x9", True), ("1b", False), ("b$", False), ("", False), ("é", False)],
)
def test_stage_names(text: str, expected: bool) -> None:
    """A letter, then letters, digits and three signs."""
    assert expected == is_stage_name(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0), ("5s", 5_000_000_000), ("1m30s", 90_000_000_000), ("1.5h2m", 5_520_000_000_000),
        ("1us", 1000),
        ("1µs", 1000), ("500ms", 500_000_000), (".5s", 500_000_000), ("1.s", 1_000_000_000),
        ("-2s", -2_000_000_000),
        ("5", None), ("", None), ("s", None), (".s", None), ("1 s", None), ("1d", None), ("9999999h", None),
    ],
)  # fmt: skip
def test_durations(text: str, nanoseconds: int | None) -> None:
    """Go's durations, and nothing else."""
    assert nanoseconds == parse_duration(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"), (1, "1ns"), (1500, "1.5µs"), (2_000_000, "2ms"), (1_500_000_000, "1.5s"),
        (-60_000_000_000, "-1m0s"),
        (3_600_000_000_000, "1h0m0s"), (5_520_000_000_000, "1h32m0s"), (90_000_000_000, "1m30s"),
    ],
)  # fmt: skip
def test_formatted_durations(nanoseconds: int, text: str) -> None:
    """As Go prints them."""
    assert text == format_duration(nanoseconds)


@given(st.integers(min_value=-(1 << 62), max_value=1 << 62))
def test_durations_round_trip(nanoseconds: int) -> None:
    """What is formatted can be parsed again."""
    assert nanoseconds == parse_duration(format_duration(nanoseconds))


def test_quoting() -> None:
    """As Go's %q: printable characters stay, the others are escaped."""
    assert quote('a"b\\c\n\x01é\x7f\u200b\U000e0001') == r'"a\"b\\c\n\x01é\x7f\u200b\U000e0001"'
    assert quote_list(["a b", ""]) == '["a b" ""]'
    assert quote_list([]) == "[]"
    assert [quote_rune(number) for number in (3, 10, 39, 34, 65, 0xD800)] == [
        r"'\x03'",
        r"'\n'",
        r"'\''",
        "'\"'",
        "'A'",
        "'\ufffd'",
    ]


def test_suggestions() -> None:
    """Near enough is two edits; the nearest wins."""
    assert closest("rum", ["CMD", "RUN", "ENV"]) == "RUN"
    assert closest("form", ["from", "chown"]) == "from"
    assert closest("whatever", ["from", "chown"]) is None
    assert closest("abc", ["a", "ab", "abx"]) == "ab"
