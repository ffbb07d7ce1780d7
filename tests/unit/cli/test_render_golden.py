"""Renderers against scripted events: ``testdata/render/<case>/events.txt``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from render_cases import CASES, Clock, Screen, play

from builder.cli.render.plain import Plain
from builder.cli.render.rawjson import RawJson
from builder.cli.render.tty import Tty

SCRIPTS = sorted(CASES.glob("*/events.txt"))
Golden = Callable[[Path, str], None]


def sources(case: Path) -> Callable[[str], bytes | None]:
    return lambda name: (case / name).read_bytes() if (case / name).exists() else None


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.parent.name)
def test_plain_progress(path: Path, golden: Golden) -> None:
    """Plain progress of a script is what plain.txt says; ESC is written as ␛."""
    clock, stream = Clock(), io.BytesIO()

    with Plain(stream, clock=clock, tick_s=0, sources=sources(path.parent)) as renderer:
        play(path, clock, renderer.emit, renderer.tick)

    golden(path.parent / "plain.txt", stream.getvalue().decode().replace("\x1b", "␛"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.parent.name)
def test_rawjson_progress(path: Path, golden: Golden) -> None:
    """Raw JSON of a script is what rawjson.txt says, and each line is one object."""
    clock, stream = Clock(), io.StringIO()

    with RawJson(stream) as renderer:
        play(path, clock, renderer.emit, lambda: None)

    text = stream.getvalue()
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    golden(path.parent / "rawjson.txt", text)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.parent.name)
def test_live_view(path: Path, golden: Golden) -> None:
    """The screen after each tick, and all that was ever shown at the end, is what screen.txt says."""
    clock, screen = Clock(), Screen(60, 10)
    seen: list[str] = []
    renderer = Tty(screen, size=(60, 10), clock=clock, tick_s=0, sources=sources(path.parent))

    def tick() -> None:
        renderer.tick()
        seen.extend([f"--- at {clock.now:.2f}", *screen.shown()])

    with renderer:
        play(path, clock, renderer.emit, tick)
    seen += ["--- at the end", *screen.everything()]

    assert not screen.is_cursor_hidden
    golden(path.parent / "screen.txt", "\n".join(seen) + "\n")
