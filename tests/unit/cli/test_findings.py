"""What a check prints: for people, as JSON, and as annotations of GitHub."""

from __future__ import annotations

import json

from builder.cli.render.diagnostics import render_error
from builder.cli.render.findings import as_github, as_json, as_text
from builder.core.errors import PybuildError, SeveralErrors
from builder.core.events import Warned
from builder.core.location import Location

SOURCE = b"FROM a AS B\nCOPPY x,y: %\nRUN <<E\nE\n"
WORD = Warned("not lower", "write it so", Location(1, 11, 1, 12), "StageNameCasing")
PLAIN = Warned("odd: 100%\nreally", None, None)
LINES = Warned("several lines", None, Location(3, 1, 4, 2), "Rule")
ERROR = PybuildError("no such thing", hint="look", location=Location(2, 1, 2, 6))


def test_text() -> None:
    """Errors first, each with its excerpt, a blank line between, the numbers last."""
    assert as_text([WORD], [ERROR, ERROR], SOURCE, color=False) == (
        "error[error]: no such thing\n  --> Dockerfile:2:1\n 2 | COPPY x,y: %\n   | ^^^^^\nhint: look\n\n"
        "error[error]: no such thing\n  --> Dockerfile:2:1\n 2 | COPPY x,y: %\n   | ^^^^^\nhint: look\n\n"
        "warning[StageNameCasing]: not lower\n  --> Dockerfile:1:11\n 1 | FROM a AS B\n"
        "   |           ^\nhint: write it so\n\n"
        "2 errors and 1 warning found\n"
    )


def test_nothing() -> None:
    """That all is well is said too; programs get an empty list, or nothing."""
    assert as_text([], [], SOURCE, color=False) == "nothing found\n"
    assert as_github([], [], "Dockerfile") == ""
    assert json.loads(as_json([], [], "d")) == {"file": "d", "errors": [], "warnings": []}


def test_json() -> None:
    """Ranges as BuildKit gives them: lines from 1, characters from 0."""
    document = json.loads(as_json([WORD, PLAIN], [ERROR], "a/Dockerfile"))

    assert document["file"] == "a/Dockerfile"
    assert document["errors"] == [
        {
            "code": "error", "detail": "no such thing", "hint": "look",
            "location": {
                "ranges": [{"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 5}}]
            },
        },
    ]  # fmt: skip
    assert [each["ruleName"] for each in document["warnings"]] == ["StageNameCasing", None]
    assert "location" not in document["warnings"][1]


def test_github() -> None:
    """One command a line, whatever the texts hold; columns within one line only."""
    assert as_github([WORD, PLAIN, LINES], [ERROR], "a,b/Dockerfile").splitlines() == [
        "::error file=a%2Cb/Dockerfile,line=2,col=1,endColumn=6,title=error::no such thing (look)",
        "::warning file=a%2Cb/Dockerfile,line=1,col=11,endColumn=12,title=StageNameCasing"
        "::not lower (write it so)",
        "::warning file=a%2Cb/Dockerfile,title=Dockerfile::odd: 100%25%0Areally",
        "::warning file=a%2Cb/Dockerfile,line=3,endLine=4,title=Rule::several lines",
    ]


def test_several_errors() -> None:
    """Each as it would be alone, then how many there are."""
    alone = render_error(ERROR, SOURCE, color=False)

    assert render_error(SeveralErrors([ERROR, ERROR]), SOURCE, color=False) == f"{alone}\n{alone}\n2 errors\n"
