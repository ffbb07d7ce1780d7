"""How a step's bytes become lines."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from builder.cli.render.log import TAIL_LINES, StepOutput
from builder.cli.render.text import amount, cells, clean, escape, one_line


def texts(output: StepOutput, *chunks: bytes) -> list[str]:
    return [line.text for chunk in chunks for line in output.feed(1, chunk, 0.5)]


def test_lines_are_the_same_however_they_are_cut_into_chunks() -> None:
    """Chunks are not line-aligned, and a character may be cut in two."""
    data = "één\nzwei 🙂\n\nlast\n".encode()

    for size in range(1, len(data)):
        chunks = [data[start : start + size] for start in range(0, len(data), size)]

        assert texts(StepOutput(), *chunks) == ["één", "zwei 🙂", "", "last"]


def test_streams_do_not_share_half_lines() -> None:
    """Half a line of stdout and half a line of stderr stay apart."""
    output = StepOutput()
    output.feed(1, b"out", 0.1)
    output.feed(2, b"err", 0.2)

    assert [line.text for line in output.finish(0.3)] == ["out", "err"]
    assert output.finish(0.4) == []


def test_progress_bar_is_its_last_state() -> None:
    """A carriage return starts a line over, also across chunks; one before a newline is a line end."""
    output = StepOutput()

    assert texts(output, b" 1%\r 2%\r", b" 3%", b"\r", b"100%\r\n") == ["100%"]
    assert texts(output, b"dos\r\n") == ["dos"]


def test_unfinished_progress_bar_takes_no_memory() -> None:
    """A bar that is redrawn for ever without a newline is one short line."""
    output = StepOutput()
    for count in range(20_000):
        assert output.feed(1, b"%7d of many\r" % count, 0.0) == []

    assert [line.text for line in output.tail()] == ["  19999 of many"]


def test_overlong_line_comes_in_pieces() -> None:
    """A line without an end is shown in pieces that cut no character."""
    output = StepOutput()
    text = "x" + "é" * 30_000

    pieces = [*texts(output, text.encode()), *(line.text for line in output.finish(1.0))]

    assert len(pieces) == 4
    assert "".join(pieces) == text


def test_display_is_clipped_and_the_tail_is_not() -> None:
    """Beyond the limit there is one note and nothing else, but the last lines are remembered."""
    output = StepOutput(limit=2 * 1024 * 1024)
    chunk = b"".join(b"%09d\n" % number for number in range(1000))

    seen = [line.text for _ in range(300) for line in output.feed(1, chunk, 0.0)]
    output.feed(1, b"the reason\n", 0.0)

    assert seen.count("[output clipped, log limit 2MiB reached]") == 1
    assert seen[-1] == "[output clipped, log limit 2MiB reached]"
    assert len(seen) - 1 == 2 * 1024 * 1024 // 10
    assert [line.text for line in output.tail()][-2:] == ["000000999", "the reason"]


def test_tail_is_bounded() -> None:
    """The last 50 lines, the unfinished one included."""
    output = StepOutput()
    output.feed(1, b"".join(b"%d\n" % number for number in range(200)) + b"end", 0.0)

    tail = [line.text for line in output.tail()]

    assert tail == [*(str(number) for number in range(151, 200)), "end"]
    assert len(tail) == TAIL_LINES
    assert [line.text for line in output.tail(2)] == ["199", "end"]
    assert output.tail(0) == []


@given(st.text(st.sampled_from("\x1b[]0;1mJP\\\x07\x9b\x9d\x9c()?> ~ab\n\r\x00"), max_size=60), st.booleans())
def test_clean_leaves_colours_at_most(text: str, keep_color: bool) -> None:
    """Whatever the bytes, only complete SGR sequences are left, and they are reset at the end."""
    cleaned = clean(text, keep_color=keep_color)
    colors = re.findall(r"\x1b\[[0-9;:]*m", cleaned)

    assert re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", re.sub(r"\x1b\[[0-9;:]*m", "", cleaned)) is None
    assert colors == [] or (keep_color and colors[-1] in ("\x1b[0m", "\x1b[m"))
    assert clean(cleaned, keep_color=keep_color) == cleaned


def test_names_are_one_line() -> None:
    """White space is joined; control sequences go."""
    assert one_line("RUN a \\\n\t b\x1b[31m\r\n") == "RUN a \\ b"


def test_escape_writes_out_what_cannot_be_seen() -> None:
    """Controls, direction overrides, zero-width and tag characters are spelled; letters stay."""
    assert escape("a\x1b\t\u202eb\u200b\U000e0041é漢") == "a\\x1b\\x09\\u202eb\\u200b\\U000e0041é漢"


def test_cells() -> None:
    """Wide characters take two columns, combining ones none."""
    assert [cells(character) for character in ("a", "é", "漢", "🙂", "\u0301")] == [1, 1, 2, 2, 0]


def test_amounts_are_decimal() -> None:
    """Bytes as Docker shows them; plain counts as they are."""
    assert [amount(size, "B") for size in (0, 357, 999, 1000, 29_780_000, 999_999, 10**10)] == [
        "0B",
        "357B",
        "999B",
        "1kB",
        "29.78MB",
        "1MB",
        "10GB",
    ]
    assert amount(12, "") == "12"
