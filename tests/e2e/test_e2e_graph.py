"""`graph`, from a build to a browser that shows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.cli.graph.page import as_html
from builder.engine.graph.drawing import Drawing, DrawnLayer
from tests.support.browser import Browser, browser
from tests.support.cli import Pybuild
from tests.support.drawings import HOSTILE, drawing, large_drawing, step
from tests.support.stores import Write

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _fresh(page: Browser) -> None:
    page.requests.clear()
    page.complaints.clear()
    page.prefer("light")


def _show(page: Browser, path: Path, shown: Drawing) -> None:
    path.write_bytes(as_html(shown).encode("utf-8", "backslashreplace"))
    page.open(path)


def _text(page: Browser, selector: str) -> str:
    return str(page.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))


def _small() -> Drawing:
    return drawing(
        step("base", "[build 1/2] FROM busybox", status="cached", saved_s=1.0),
        step("make", "[build 2/2] RUN make all", "base", seconds=2.0, cause="a.c changed", is_critical=True),
        step(
            "side",
            "[docs 1/1] RUN write",
            "base",
            seconds=0.5,
            layers=(DrawnLayer(2, 2_500_000, "sha256:d"),),
        ),
        step("top", "[2/2] COPY --from=build /a /b", "make", "side", status="failed", error="it broke"),
    )


def test_page_of_a_build(pybuild: Pybuild, write: Write, page: Browser, tmp_path: Path) -> None:
    """The page of a real build opens without a request or a complaint, and has every step of it."""
    pybuild.build(
        write("FROM busybox AS one\nRUN echo 1 > /x\nFROM busybox\nCOPY --from=one /x /y\nRUN cat /y\n")
    )
    pybuild("graph", "--format", "html", "-o", tmp_path / "page.html")
    shown = json.loads(pybuild("graph", "--format", "json").out)
    page.open(tmp_path / "page.html")

    assert page.evaluate("document.documentElement.dataset.ready") == str(len(shown["steps"]))
    assert page.requests == [(tmp_path / "page.html").as_uri()]
    assert page.complaints == []
    assert "done" in _text(page, "#facts")


def test_two_hundred_steps(
    page: Browser, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """They are all there, and nothing is asked for; how long that took is in the report."""
    _show(page, tmp_path / "large.html", large_drawing(200))
    load = "performance.timing.loadEventEnd - performance.timing.navigationStart"
    record_property("milliseconds_to_open", page.evaluate(load))

    assert page.evaluate("document.documentElement.dataset.ready") == "200"
    assert len(page.requests) == 1
    assert page.complaints == []


def test_no_step_at_all(page: Browser, tmp_path: Path) -> None:
    """A build that ended before it had any has a page, and keys do nothing."""
    _show(page, tmp_path / "empty.html", drawing())
    page.press("ArrowDown", "c", "Enter", "f", "Escape")

    assert page.evaluate("document.documentElement.dataset.ready") == "0"
    assert page.complaints == []


def test_keys_lead_through_the_graph(page: Browser, tmp_path: Path) -> None:
    """Arrows follow inputs and users and go sideways, Enter looks closer, Escape lets go."""
    _show(page, tmp_path / "small.html", _small())
    titles = []
    for key in ("ArrowDown", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowRight", "ArrowLeft", "Enter", "Escape"):
        page.press(key)
        titles.append(_text(page, "#details h2"))

    assert titles[:4] == ["COPY --from=build /a /b", "RUN make all", "FROM busybox", "RUN make all"]
    assert {"RUN make all", "RUN write"} >= set(titles[4:6])
    assert "RUN write" in titles[4:6]
    assert titles[6:] == [titles[5], "app:latest"]


def test_details_of_a_step(page: Browser, tmp_path: Path) -> None:
    """Why it ran, how long, what it left, what it reads and who reads it."""
    _show(page, tmp_path / "small.html", _small())
    page.press("c")
    ran = _text(page, "#details")
    page.press("ArrowDown")
    failed = _text(page, "#details")

    for words in ("RUN make all", "build · 2/2 · lines 3–4", "a.c changed", "2.00 s, on the critical path"):
        assert words in ran
    assert "FROM busybox" in ran.partition("Reads")[2]
    assert "it broke" in failed
    page.evaluate("document.querySelectorAll('#details li button')[1].click()")
    assert "layer 2\t2.5 MB" in _text(page, "#details")


def test_search(page: Browser, tmp_path: Path) -> None:
    """A slash goes to the field; names, causes and states are searched, and Enter goes from hit to hit."""
    _show(page, tmp_path / "small.html", _small())
    page.press("/", *"run")
    found = _text(page, "#found")
    page.press("Enter")
    first = _text(page, "#details h2")
    page.press("Enter")
    second = _text(page, "#details h2")
    page.press("Escape")

    assert found == "2 steps"
    assert [first, second] == ["RUN make all", "RUN write"]
    assert page.evaluate("document.getElementById('search').value") == ""
    page.press("/", *"changed")
    assert _text(page, "#found") == "1 step"


def test_themes(page: Browser, tmp_path: Path) -> None:
    """The page follows the system, also while it is open, and a key changes it."""
    _show(page, tmp_path / "small.html", _small())
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.prefer("dark")
    dark = page.evaluate(ground)
    page.press("t")

    assert light != dark
    assert page.evaluate(ground) == light
    page.press("?")
    assert page.evaluate("document.getElementById('keys').open") is True
    page.press("Escape")
    assert page.evaluate("document.getElementById('keys').open") is False


def test_hostile_names_are_text(page: Browser, tmp_path: Path) -> None:
    """A step that is called like a script is shown and does nothing."""
    _show(
        page,
        tmp_path / "hostile.html",
        drawing(step("a", HOSTILE, cause=HOSTILE, error=HOSTILE), title=HOSTILE),
    )
    page.press("ArrowDown")
    shown = _text(page, "#details")

    assert shown.count("</script><script>window.hacked=1</script><img src=x") >= 3
    assert "{{data}}" in shown
    assert page.evaluate("typeof window.hacked") == "undefined"
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert len(page.requests) == 1
    assert page.complaints == []


def test_graph_of_images(pybuild: Pybuild, write: Write) -> None:
    """An image that was built here is drawn as its build; another one as its history says."""
    pybuild.build(write("FROM busybox\nRUN echo 1 > /x\n"), "-t", "app")
    built = json.loads(pybuild("graph", "app", "--format", "json").out)
    other = json.loads(pybuild("graph", "busybox", "--format", "json").out)

    assert [step["status"] for step in built["steps"]][-1] == "done"
    assert [[1], [2]] == [[layer["number"] for layer in step["layers"]] for step in built["steps"][-2:]]
    assert other["build"] is None
    assert {"image"} == {step["status"] for step in other["steps"]}
    letter = pybuild("builds", "ls", "-q").out[0]
    pybuild("tag", "busybox", letter)
    assert json.loads(pybuild("graph", letter, "--format", "json").out)["build"] is None
    assert "nothing-to-draw" in pybuild("graph", "nope", code=1).err
    assert "invalid-option" in pybuild("graph", "--format", "svg", code=1).err


def test_layers_of_a_cached_build(pybuild: Pybuild, write: Write) -> None:
    """A build that looked at nothing but its last step knows the layers of them all."""
    context = write("FROM busybox\nRUN echo 1 > /x\nWORKDIR /w\nRUN echo 2 > /y\n")
    pybuild.build(context)
    first = json.loads(pybuild("graph", "--format", "json").out)["steps"]
    pybuild.build(context)
    second = json.loads(pybuild("graph", "--format", "json").out)["steps"]

    layers = {step["name"]: step["layers"] for step in first if step["stage"] != "internal"}
    assert layers == {step["name"]: step["layers"] for step in second if step["stage"] != "internal"}
    assert all(layers.values())
    assert "RUN echo 2 > /y" in pybuild("graph").out


def test_layers_of_each_platform(pybuild: Pybuild, write: Write) -> None:
    """Of an image for two platforms the steps of both have their layers."""
    context = write("FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /a\n", {"amd64": "1", "arm64": "22"})
    pybuild.build(context, "-t", "both", "--platform", "linux/amd64,linux/arm64")
    steps = json.loads(pybuild("graph", "both", "--format", "json").out)["steps"]

    assert {"COPY amd64 /a": [1], "COPY arm64 /a": [1]} == {
        step["name"]: [layer["number"] for layer in step["layers"]]
        for step in steps
        if step["name"].startswith("COPY")
    }
