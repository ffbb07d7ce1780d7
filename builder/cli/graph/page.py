"""A drawing as one page that needs nothing else, no network least of all."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path

from builder.cli.graph.document import document
from builder.core.errors import Kind, PybuildError
from builder.engine.graph.drawing import Drawing

_HERE = Path(__file__).parent
_PACKAGE = _HERE.parents[1]
# In a wheel the libraries lie inside the package, in a checkout beside it (hatch_build.py).
LIBRARY_PLACES = (_PACKAGE / "_assets", _PACKAGE.parent / "assets")
_LIBRARIES = ("cytoscape.min.js", "cytoscape-dagre.min.js")
_LICENSES = ("cytoscape.LICENSE", "cytoscape-dagre.LICENSE", "dagre.LICENSE")


class GraphLibrariesMissing(PybuildError):
    """The libraries that lay graphs out are not installed."""

    kind = Kind.UNAVAILABLE
    code = "graph-libraries-missing"

    def __init__(self, name: str) -> None:
        super().__init__(
            f'this installation lacks "{name}", which pages are drawn with',
            hint="run `python3 hatch_build.py` in the checkout, and install it again if it was not installed"
            " with -e; or use --format dot",
        )


def as_html(drawing: Drawing, places: Sequence[Path] = LIBRARY_PLACES) -> str:
    """``places`` are folders that may have the libraries. Raises GraphLibrariesMissing."""
    scripts = [_library(name, places) for name in _LIBRARIES]
    scripts.append((_HERE / "page.js").read_text(encoding="utf-8"))
    allowed = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    parts = {
        "title": html.escape(f"{drawing.title} – pybuild"),
        "policy": f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'",
        "style": (_HERE / "page.css").read_text(encoding="utf-8"),
        "licenses": html.escape("\n\n".join(f"{name}:\n{_asset(name, places)}" for name in _LICENSES)),
        "data": _embedded(document(drawing)),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    page = (_HERE / "page.html").read_text(encoding="utf-8")
    pieces = page.split("{{")
    return pieces[0] + "".join(
        parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:])
    )


def _library(name: str, places: Sequence[Path]) -> str:
    """Without the line that has browsers ask for a source map, and safe inside a script element."""
    lines = [
        line for line in _asset(name, places).splitlines() if not line.startswith("//# sourceMappingURL=")
    ]
    text = "\n".join(lines)
    assert "</script" not in text.lower(), "a library would end its own element"
    return text


def _asset(name: str, places: Sequence[Path]) -> str:
    for place in places:
        try:
            return (place / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
    raise GraphLibrariesMissing(name)


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _embedded(value: object) -> str:
    """JSON in which no text, whatever a step is called, ends the element or begins a comment."""
    # ASCII alone: a name may hold bytes that are no UTF-8, as lone surrogates.
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
