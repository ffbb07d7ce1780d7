"""Templates of `inspect`, each with what `docker inspect --format` of 26.1 made of it, or that it refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.cli.template.evaluate import Template
from builder.cli.template.records import inspected
from builder.cli.template.syntax import InvalidTemplate
from builder.cli.template.values import encoded

_FOLDER = Path(__file__).parents[3] / "testdata/templates"
# The GraphDriver of the document is pybuild's, the rest as Docker gave it.
_IMAGE: Mapping[str, Any] = json.loads((_FOLDER / "image.json").read_text())
_SEEN: list[tuple[str, str | None]] = [
    (template, expected)
    for template, expected in map(json.loads, (_FOLDER / "seen.jsonl").read_text().splitlines())
]


@pytest.mark.parametrize(("template", "expected"), [pair for pair in _SEEN if pair[1] is not None])
def test_text_is_dockers(template: str, expected: str) -> None:
    """Nil values, maps, lists, missing keys, functions, verbs of printf, loops, trimming."""
    assert inspected(Template.read(template), _IMAGE) == expected


@pytest.mark.parametrize("template", [template for template, expected in _SEEN if expected is None])
def test_what_docker_refuses_is_refused(template: str) -> None:
    """With the place in the template."""
    with pytest.raises(InvalidTemplate, match=r"wrong at character \d+: "):
        inspected(Template.read(template), _IMAGE)


def test_document_comes_back_whole() -> None:
    """`{{json .}}` says null where the image says nothing, and what its JSON leaves out stays left out."""
    assert json.loads(inspected(Template.read("{{json .}}"), _IMAGE)) == _IMAGE
    assert json.loads(encoded([_IMAGE])) == [_IMAGE]


def test_what_is_longer_than_any_list_is_not_counted() -> None:
    """A range over a number ends."""
    with pytest.raises(InvalidTemplate, match="range can't iterate"):
        inspected(Template.read("{{range 9999999999}}x{{end}}"), _IMAGE)
