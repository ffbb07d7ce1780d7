"""Errors and warnings as people see them: what is wrong, where, the line itself, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from builder.cli.render.excerpt import BLUE, BOLD, GREEN, RED, YELLOW, excerpt, paint
from builder.cli.render.text import clean, escape
from builder.core.errors import PybuildError, SeveralErrors
from builder.core.events import Warned
from builder.core.location import Location

_RULE = "------"


def render_error(error: PybuildError, source: bytes | None, *, color: bool) -> str:
    """The whole report, ending in a newline; ``source`` is the file that the location is in, if known."""
    if isinstance(error, SeveralErrors):
        reports = [render_error(each, source, color=color) for each in error.errors]
        return "\n".join((*reports, f"{paint(error.message, BOLD, color=color)}\n"))
    return _report(
        f"error[{error.code}]",
        RED,
        error.message,
        error.location,
        source,
        notes=getattr(error, "__notes__", ()),
        hint=error.hint,
        color=color,
    )


def render_warning(warning: Warned, source: bytes | None, *, color: bool) -> str:
    """Like an error; its code is the build check that it comes from, if any."""
    return _report(
        "warning" if warning.rule is None else f"warning[{warning.rule}]",
        YELLOW,
        warning.message,
        warning.location,
        source,
        notes=(),
        hint=warning.hint,
        color=color,
    )


def render_step_failure(
    name: str, tail: Sequence[str], error: PybuildError, source: bytes | None, *, color: bool
) -> str:
    """The end of the step's output (``Renderer.failure_tail``) under its name, then the error."""
    lines = [_RULE, paint(f" > {escape(name)}:", BOLD, color=color)]
    lines += [clean(line, keep_color=color) for line in tail]
    lines.append(_RULE)
    report = render_error(error, source, color=color)
    return "".join(f"{line}\n" for line in lines) + report if tail else report


def _report(
    title: str,
    title_style: str,
    message: str,
    location: Location | None,
    source: bytes | None,
    *,
    notes: Sequence[str],
    hint: str | None,
    color: bool,
) -> str:
    first, *more = _lines_of(message)
    lines = [paint(title, title_style, color=color) + paint(f": {first}", BOLD, color=color)]
    lines += [f"  {line}" for line in more]
    if location is not None:
        lines += excerpt(location, source, mark_style=title_style, color=color)
    for note in notes:
        lines += _labelled("note", BLUE, note, color=color)
    if hint is not None:
        lines += _labelled("hint", GREEN, hint, color=color)
    return "".join(f"{line}\n" for line in lines)


def _labelled(label: str, style: str, text: str, *, color: bool) -> list[str]:
    first, *more = _lines_of(text)
    indent = " " * (len(label) + 2)
    return [f"{paint(f'{label}:', style, color=color)} {first}", *(f"{indent}{line}" for line in more)]


def _lines_of(text: str) -> list[str]:
    """At least one line; tabs are kept out of the escaping, they are harmless in prose."""
    return [escape(line.expandtabs(4)) for line in text.rstrip("\n").split("\n")]
