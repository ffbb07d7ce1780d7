"""The live view as rows of text, computed from the steps; knows no terminal library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from builder.cli.render.base import Step
from builder.cli.render.text import amount, clean, one_line

DONE = "done"
FAILED = "failed"
CANCELED = "canceled"
RUNNING = "running"
DETAIL = "detail"
HEADER = "header"

_MOST_TRANSFERS = 6  # rows about transfers of one running step; the unfinished ones first


class Row(NamedTuple):
    """One line of the screen."""

    left: str
    right: str  # flush with the right edge, never cut
    style: str


def header(done: int, total: int, seconds: float, ending: str) -> Row:
    """``[+] Building 1.2s (3/5)``; ``ending`` is how it went, once it is over."""
    return Row(f"[+] Building {seconds:.1f}s ({done}/{total}) {ending}".rstrip(), "", HEADER)


def finished_row(step: Step) -> Row:
    """The one line that stays of a step that is over."""
    assert step.finished is not None
    end = step.finished
    right = f"{step.seconds(end.at):.1f}s"
    if end.is_cancelled:
        return Row(f" => CANCELED {step.name}", right, CANCELED)
    if end.error is not None:
        return Row(f" => ERROR {step.name}", right, FAILED)
    return Row(f" => {'CACHED ' if end.is_cached else ''}{step.name}", right, DONE)


def cause_row(step: Step) -> Row:
    """Why a step runs, or ran."""
    return Row(f" => => why: {step.cause}", "", DETAIL)


def live_rows(running: Sequence[Step], now: float, room: int, log_lines: int) -> list[Row]:
    """At most ``room`` rows about the running steps; details go before steps do."""
    if len(running) > room:
        shown = running[: max(0, room - 1)]
        rest = Row(f" => … and {len(running) - len(shown)} more", "", DETAIL)
        return [*(_running_row(step, now) for step in shown), rest][:room]
    details = [_details(step, now, log_lines) for step in running]
    allowed = _share(room - len(running), [len(rows) for rows in details])
    rows = []
    for step, about, count in zip(running, details, allowed, strict=True):
        rows.append(_running_row(step, now))
        # The newest are at the end: log lines follow transfers.
        rows += about[len(about) - count :]
    return rows


def _share(room: int, wanted: list[int]) -> list[int]:
    """Deal out ``room`` rows one by one in turn, so that no talkative step starves the others."""
    given = [0] * len(wanted)
    while room > 0 and given != wanted:
        for index, want in enumerate(wanted):
            if given[index] < want and room > 0:
                given[index] += 1
                room -= 1
    return given


def _running_row(step: Step, now: float) -> Row:
    return Row(f" => {step.name}", f"{step.seconds(now):.1f}s", RUNNING)


def _details(step: Step, now: float, log_lines: int) -> list[Row]:
    items = sorted(step.items.values(), key=lambda item: 0 < item.total <= item.current)[:_MOST_TRANSFERS]
    rows = [] if not step.cause else [cause_row(step)]
    for item in items:
        current = amount(item.current, item.unit)
        right = f"{current} / {amount(item.total, item.unit)}" if item.total else current
        rows.append(Row(f" => => {one_line(item.item)}", right, DETAIL))
    if step.output is not None:
        for line in step.output.tail(log_lines):
            text = clean(line.text, keep_color=False).expandtabs(8)
            rows.append(Row(f" => => # {text}", "", DETAIL))
    return rows
