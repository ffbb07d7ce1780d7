"""What all renderers promise: never raise, any thread, little memory, few imports."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO

import pytest
from render_cases import Clock, Screen

from builder.cli.render.base import Renderer
from builder.cli.render.choose import UnknownProgressMode, choose, wants_color
from builder.cli.render.plain import Plain
from builder.cli.render.quiet import Quiet
from builder.cli.render.rawjson import RawJson
from builder.cli.render.tty import Tty
from builder.core.events import StepFinished, StepLog, StepProgress, StepQueued, StepStarted

MAKERS: dict[str, Callable[[IO[str] | IO[bytes]], Renderer]] = {
    "plain": Plain,
    "tty": lambda stream: Tty(stream, size=(80, 24), tick_s=0.001),
    "rawjson": RawJson,
    "quiet": lambda stream: Quiet(),
}
every_renderer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A terminal whose other end was closed."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def isatty(self) -> bool:
        return True


def build(renderer: Renderer, name: str, lines: int) -> None:
    renderer.emit(StepQueued(name, f"RUN {name}", (), None))
    renderer.emit(StepStarted(name, 0.0))
    for number in range(lines):
        renderer.emit(StepLog(name, 1, f"{name} line {number}\n".encode(), 0.1))
    renderer.emit(StepFinished(name, 0.2, False, None))


@every_renderer
def test_emit_from_many_threads(make: Callable[[IO[str] | IO[bytes]], Renderer]) -> None:
    """Threads that emit at the same time neither fail nor lose a step."""
    stream = io.StringIO()
    failures: list[BaseException] = []

    def work(renderer: Renderer, number: int) -> None:
        try:
            build(renderer, f"step-{number}", 40)
        except BaseException as error:  # noqa: BLE001 - the test reports whatever it is
            failures.append(error)

    with make(stream) as renderer:
        threads = [threading.Thread(target=work, args=(renderer, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert failures == []
    if not isinstance(renderer, Quiet):
        assert all(f"RUN step-{number}" in stream.getvalue() for number in range(8))


def test_plain_blocks_do_not_mix_under_threads() -> None:
    """Each line is under a header of its own step, and every line is there once, in order."""
    stream = io.StringIO()
    with Plain(stream) as renderer:
        threads = [
            threading.Thread(target=build, args=(renderer, f"step-{number}", 60)) for number in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    lines: dict[str, list[int]] = {}
    for block in stream.getvalue().split("\n\n"):
        header, *rest = block.splitlines()
        number, _, name = header.partition(" RUN ")
        assert all(line.startswith(f"{number} ") for line in rest)
        for line in rest:
            if match := re.fullmatch(r"#\d+ 0\.100 (\S+) line (\d+)", line):
                assert match[1] == name
                lines.setdefault(name, []).append(int(match[2]))
    assert lines == {f"step-{number}": list(range(60)) for number in range(6)}


@every_renderer
def test_stream_that_went_away(make: Callable[[IO[str] | IO[bytes]], Renderer]) -> None:
    """A closed terminal or pipe does not fail the build."""
    closed = io.BytesIO()
    closed.close()
    for stream in (Gone(), closed):
        with make(stream) as renderer:
            build(renderer, "a", 3)

        assert renderer.step_name("a") == "RUN a"


@every_renderer
def test_stream_of_another_encoding(make: Callable[[IO[str] | IO[bytes]], Renderer]) -> None:
    """Names that the stream cannot write, or that are no text at all, do not fail the build."""
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding="ascii", write_through=True)
    with make(stream) as renderer:
        renderer.emit(StepQueued("a", "RUN 漢 \udcff", (), None))
        renderer.emit(StepStarted("a", 0.0))
        renderer.emit(StepFinished("a", 1.0, False, "漢 \udcff"))

    assert data.getvalue().isascii()


@every_renderer
def test_failure_tail(make: Callable[[IO[str] | IO[bytes]], Renderer]) -> None:
    """A failed step's last lines stay, with their times; those of others go."""
    with make(io.StringIO()) as renderer:
        build(renderer, "good", 3)
        renderer.emit(StepQueued("bad", "RUN bad", (), None))
        renderer.emit(StepStarted("bad", 10.0))
        renderer.emit(StepLog("bad", 2, b"first\nsecond", 10.25))
        running = renderer.failure_tail("bad")
        renderer.emit(StepFinished("bad", 10.5, False, "exit code: 1"))
        renderer.emit(StepFinished("other", 10.5, False, "cancelled", True))

    assert running == ["0.250 first", "0.250 second"]
    assert renderer.failure_tail("bad") == ["0.250 first", "0.500 second"]
    assert renderer.failure_tail("good") == []
    assert renderer.failure_tail("unheard of") == []
    assert renderer.failed_steps == ["bad"]


@every_renderer
def test_events_after_close_are_ignored(make: Callable[[IO[str] | IO[bytes]], Renderer]) -> None:
    """Late events, and a second close, change nothing."""
    stream = io.StringIO()
    renderer = make(stream)
    build(renderer, "a", 1)
    renderer.close()
    before = stream.getvalue()
    build(renderer, "b", 1)
    renderer.close()

    assert stream.getvalue() == before


def test_nothing_happened_shows_nothing() -> None:
    """A command that fails before its first event leaves no trace of a renderer."""
    for make in MAKERS.values():
        stream = io.StringIO()
        make(stream).close()

        assert stream.getvalue() == ""


def test_plain_waiting_lines_are_bounded() -> None:
    """A step that floods while another has the floor gets it before its lines fill the memory."""
    stream = io.StringIO()
    renderer = Plain(stream, tick_s=0)
    renderer.emit(StepStarted("a", 0.0))
    renderer.emit(StepStarted("b", 0.0))
    for _ in range(20):
        renderer.emit(StepLog("b", 1, (b"x" * 99 + b"\n") * 1000, 0.1))

    assert "#2 b\n#2 0.100 xxx" in stream.getvalue()


def test_plain_ticker_shows_what_waits_for_a_silent_step() -> None:
    """Lines behind a step that never speaks again are shown although no event comes."""
    shown = threading.Event()

    class Watched(io.StringIO):
        def write(self, text: str) -> int:
            if "b speaks" in text:
                shown.set()
            return super().write(text)

    with Plain(Watched(), clock=lambda: 60.0, tick_s=0.001) as renderer:
        renderer.emit(StepStarted("a", 0.0))
        renderer.emit(StepStarted("b", 0.0))
        renderer.emit(StepLog("b", 1, b"b speaks\n", 0.1))

        assert shown.wait(60)


def test_plain_without_colour() -> None:
    """Without colour no escape is left in the log."""
    stream = io.StringIO()
    with Plain(stream, color=False) as renderer:
        renderer.emit(StepStarted("a", 0.0))
        renderer.emit(StepLog("a", 1, b"\x1b[31mred\x1b[0m\n", 0.1))

    assert stream.getvalue() == "#1 a\n#1 0.100 red\n"


def test_live_view_of_three_thousand_steps_fits_the_screen() -> None:
    """However many steps run, the view can be redrawn; every step ends with one line."""
    clock, screen = Clock(), Screen(50, 12)
    with Tty(screen, size=(50, 12), clock=clock, tick_s=0) as renderer:
        names = [f"step-{number:04}" for number in range(3000)]
        for name in names:
            renderer.emit(StepQueued(name, name, (), None))
        for name in names[:1500]:
            renderer.emit(StepFinished(name, 0.0, True, None))
        for name in names[1500:]:
            renderer.emit(StepStarted(name, 0.0))
            renderer.emit(StepLog(name, 1, b"one\ntwo\n", 0.0))
        renderer.tick()
        during = screen.shown()
        for name in names[1500:]:
            renderer.emit(StepFinished(name, 0.0, False, None))
        renderer.tick()

    # The last step that scrolled up, and one row less than the screen for the rest.
    assert len(during) == 12
    assert during[1] == "[+] Building 0.0s (1500/3000)"
    assert during[-1] == " => … and 1491 more"
    assert screen.everything()[-1] == "[+] Building 0.0s (3000/3000) FINISHED"
    assert [line.split()[-2] for line in screen.everything()[:-1]] == names


def test_live_view_of_wide_names_stays_within_the_terminal() -> None:
    """A name in wide characters is cut by columns, not by characters."""
    stream = io.StringIO()
    with Tty(stream, size=(30, 10), color=False, environ={"TERM": "dumb"}, tick_s=0) as renderer:
        renderer.emit(StepQueued("a", "RUN " + "漢" * 40, (), None))
        renderer.emit(StepFinished("a", 0.0, True, None))

    first = stream.getvalue().splitlines()[0]
    assert first == " => CACHED RUN 漢漢漢漢… 0.0s"


def test_live_view_colours() -> None:
    """Colour is there when asked for and nothing of it otherwise; a dumb terminal gets text alone."""
    shown = {}
    for color in (True, False):
        stream = io.StringIO()
        with Tty(
            stream, size=(40, 10), color=color, environ={"TERM": "xterm-256color"}, tick_s=0
        ) as renderer:
            build(renderer, "a", 1)
        shown[color] = stream.getvalue()
    dumb = io.StringIO()
    with Tty(dumb, size=(40, 10), color=False, environ={"TERM": "dumb"}, tick_s=0) as renderer:
        build(renderer, "a", 1)

    assert "\x1b[34m => RUN a" in shown[True]
    assert re.search(r"\x1b\[[0-9;]*m", shown[False]) is None
    assert "\x1b" not in dumb.getvalue()
    assert "=> RUN a" in dumb.getvalue()


def test_choose() -> None:
    """``auto`` looks at the environment, the stream and TERM; other modes are what they say."""
    terminal, pipe = Terminal(), io.StringIO()
    chosen = [
        choose("auto", terminal, {"TERM": "xterm"}),
        choose("auto", terminal, {"TERM": "dumb"}),
        choose("auto", pipe, {"TERM": "xterm"}),
        choose("auto", terminal, {"BUILDKIT_PROGRESS": "rawjson"}),
        choose("tty", pipe, {"BUILDKIT_TTY_LOG_LINES": "many", "NO_COLOR": "1"}),
        choose("plain", terminal, {"NO_COLOR": "1"}),
        choose("quiet", terminal, {}),
        choose("none", terminal, {}),
    ]

    assert [type(renderer) for renderer in chosen] == [Tty, Plain, Plain, RawJson, Tty, Plain, Quiet, Quiet]


def test_choose_passes_the_number_of_log_lines() -> None:
    """BUILDKIT_TTY_LOG_LINES says how much of a running step's output is seen."""
    screen = Screen(80, 24)
    environ = {"BUILDKIT_TTY_LOG_LINES": "2", "COLUMNS": "80", "LINES": "24"}
    with choose("tty", screen, environ) as renderer:
        assert isinstance(renderer, Tty)
        renderer.emit(StepStarted("a", 0.0))
        renderer.emit(StepLog("a", 1, b"one\ntwo\nthree\n", 0.0))
        renderer.tick()

        assert screen.shown()[-2:] == [" => => # two", " => => # three"]


def test_unknown_mode_is_refused() -> None:
    """A mode that is none is an error that lists the modes."""
    with pytest.raises(UnknownProgressMode) as caught:
        choose("fancy", io.StringIO(), {})

    assert caught.value.message == 'progress mode "fancy" does not exist'


def test_wants_color() -> None:
    """Diagnostics are coloured for a person whose terminal can, unless NO_COLOR is set."""
    assert wants_color(Terminal(), {"TERM": "xterm"})
    assert not wants_color(Terminal(), {"TERM": "dumb"})
    assert not wants_color(Terminal(), {"NO_COLOR": "1"})
    assert not wants_color(io.StringIO(), {"TERM": "xterm"})


def test_plain_imports_little() -> None:
    """A build in a pipe pays for neither rich, typer, json nor a second renderer."""
    program = (
        "import sys\n"
        "from builder.cli.render.choose import choose\n"
        "choose('auto', open('/dev/null', 'w'), {})\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(names), 'builder.cli.render.tty' in sys.modules)\n"
    )
    root = sys.modules["builder"].__path__[0].removesuffix("/builder")

    modules = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()

    assert modules[-1] == "False"
    assert {"rich", "typer", "json", "unicodedata", "asyncio"}.isdisjoint(modules)


def test_step_that_starts_again() -> None:
    """A step whose cached result is gone runs after all, under its old number."""
    stream = io.StringIO()
    with Plain(stream, tick_s=0) as renderer:
        renderer.emit(StepFinished("a", 0.0, True, None))
        renderer.emit(StepStarted("a", 1.0))
        renderer.emit(StepFinished("a", 3.0, False, None))

    assert stream.getvalue() == "#1 a\n#1 CACHED\n\n#1 a\n#1 DONE 2.0s\n"


def test_live_view_shows_transfers_before_the_step_starts() -> None:
    """A pull that was not announced as started is seen all the same."""
    screen = Screen(60, 10)
    with Tty(screen, size=(60, 10), clock=lambda: 1.0, tick_s=0) as renderer:
        renderer.emit(StepProgress("a", "pulling", 5, 10, "B", 0.5))
        renderer.tick()

        assert screen.shown()[1:] == [
            " => a                                                  0.5s",
            " => => pulling                                     5B / 10B",
        ]
