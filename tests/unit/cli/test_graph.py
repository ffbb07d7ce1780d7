"""Drawings as text: trees, Graphviz, JSON, and what a page holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from builder.cli.graph.document import as_json
from builder.cli.graph.dot import as_dot
from builder.cli.graph.page import GraphLibrariesMissing, as_html
from builder.cli.graph.tree import as_tree
from tests.support.drawings import HOSTILE, drawing, step


def test_tree_shows_stages_in_order() -> None:
    """Each step below its stage, with the inputs of other stages, its cause, and its error."""
    base = step("base", "[build 1/2] FROM busybox", status="cached", saved_s=1.5)
    made = step("make", "[build 2/2] RUN make", "base", seconds=2.25, cause="never built", written=4_000)
    copied = step("copy", "[stage-1 1/1] COPY --from=build /a /b", "make", status="failed", error="no\nspace")
    lines = [re.sub(r"  +", "  ", line) for line in as_tree(drawing(base, made, copied)).splitlines()]

    assert lines == [
        "build 0123456789abcdef: done in 2.5s, 1.5s saved by the cache",
        "image sha256:1 (app:latest)",
        "",
        "build",
        "├─ 1/2 FROM busybox  cached",
        "└─ 2/2 RUN make  done  2.25s  4kB",
        "  never built",
        "stage-1",
        "└─ 1/1 COPY --from=build /a /b  failed  ← build 2/2",
        "  error: no space",
    ]


def test_a_build_without_steps() -> None:
    """It ended before it had any, and can be drawn all the same."""
    nothing = drawing()

    assert as_tree(nothing).splitlines()[0] == "build 0123456789abcdef: done in 2.5s"
    assert "->" not in as_dot(nothing)
    assert json.loads(as_json(nothing))["steps"] == []
    assert '"steps": []' in as_html(nothing)


def test_control_characters_do_not_reach_a_terminal() -> None:
    """A step may be called anything."""
    text = as_tree(drawing(step("a", "[1/1] RUN \x1b]0;gotcha\x07 \x1b[2J \x9b1m", cause="\x1b[31mred")))

    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text) is None


def test_dot_quotes_every_name() -> None:
    """Quotes and backslashes of a name stay inside its string; arrows lead from inputs to users."""
    text = as_dot(
        drawing(step("a", '[b"c 1/2] RUN echo "\\n" \\'), step("z", '[b"c 2/2] RUN x', "a", "gone"))
    )
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "S", text)

    assert r'label="1/2 RUN echo \"\\n\" \\' in text
    assert '"' not in outside
    assert "n0 -> n1;" in outside
    assert outside.count("->") == 1
    assert outside.count("{") == outside.count("}")


def test_json_has_every_step() -> None:
    """With its inputs and its numbers, and null for what is not known."""
    found = json.loads(as_json(drawing(step("a", "[x 1/2] RUN a"), step("b", "[x 2/2] RUN b", "a"))))

    assert [("x", "1/2", "RUN a", []), ("x", "2/2", "RUN b", ["a"])] == [
        (each["stage"], each["number"], each["name"], each["inputs"]) for each in found["steps"]
    ]
    assert found["steps"][0]["seconds"] is None
    assert found["build"]["id"] == "0123456789abcdef"


def test_names_do_not_leave_their_place_in_a_page() -> None:
    """Whatever a step is called, the page has as many elements as with a harmless name."""
    harmless = as_html(drawing(step("a", "[1/1] RUN true")))
    hostile = as_html(drawing(step("a", HOSTILE, cause=HOSTILE, error=HOSTILE), title=HOSTILE))

    assert harmless.count("<") == hostile.count("<")
    assert harmless.count("</script>") == hostile.count("</script>")


def test_missing_libraries_are_named(tmp_path: Path) -> None:
    """The error says which, and what to run."""
    with pytest.raises(GraphLibrariesMissing) as caught:
        as_html(drawing(step("a", "[1/1] RUN true")), [tmp_path])

    assert '"cytoscape.min.js"' in caught.value.message
    assert "python3 hatch_build.py" in (caught.value.hint or "")


def test_page_asks_for_nothing() -> None:
    """It names no script, style, picture or address that a browser would fetch, and forbids all of them."""
    page = as_html(drawing(step("a", "[1/1] RUN true")))
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)

    assert "default-src 'none'" in page
    assert "sourceMappingURL" not in page
    assert re.findall(r'(?:src|href|action)="?([^">]*)', markup) == ["data:,"]
