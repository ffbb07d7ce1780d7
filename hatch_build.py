"""Fetches the libraries that drawings are made with, from npm, and puts them into what is built.

They are pinned by version and digest, and are no part of the repository: `python3 hatch_build.py` puts them
into `assets/`, as installing the package does. A wheel and an sdist that are built carry them. Where the
registry cannot be reached, only `pybuild graph --format html` does not work, and says what to do.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import tarfile
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent
ASSETS = ROOT / "assets"
_REGISTRY = "https://registry.npmjs.org"
_TIMEOUT_S = 20
_TRIES = 2
_LIMIT = 16 << 20  # bytes of a package


class Wanted(NamedTuple):
    """One file of a package."""

    member: str
    name: str  # in assets/
    sha256: str


class Package(NamedTuple):
    """A package of the registry, as its lock files name it."""

    path: str
    integrity: str
    files: tuple[Wanted, ...]


PACKAGES = (
    Package(
        "cytoscape/-/cytoscape-3.34.4.tgz",
        "sha512-msY99tMY8iWTg+sIPGfSqDcPNOt4xcj+v/K/7qUFaCUxxlqnMkUYLBjRUzn9W5CU/R2hrmtJa5+UtovrEM2ctg==",
        (
            Wanted(
                "package/dist/cytoscape.min.js",
                "cytoscape.min.js",
                "081591ab735b2b6a3b31a3c60f8f3a3e2fee8c92939e0c7820ad1208571b6cd8",
            ),
            Wanted(
                "package/LICENSE",
                "cytoscape.LICENSE",
                "eb319c6e6f233607f71e8e2f450391751883cfc0eeb3ca7ef574c13d1d9c2203",
            ),
        ),
    ),
    # Its minified file has dagre 3 inside.
    Package(
        "cytoscape-dagre/-/cytoscape-dagre-4.0.1.tgz",
        "sha512-hyNdh8Vp1nwzBcjHnM4c71G81bFhPmQYLXD2HM9AZIvl+8TrMzWEOPW45hF/XOBQiEguPcDQzi6VrXR1XBcXOA==",
        (
            Wanted(
                "package/dist/cytoscape-dagre.min.js",
                "cytoscape-dagre.min.js",
                "ec671a41d2bfcac580352e2997797793949e3489cecaf347fc48670d4bd456b0",
            ),
            Wanted(
                "package/LICENSE",
                "cytoscape-dagre.LICENSE",
                "c8f8d9008103872d6686927c1646c9267726c1f1c44a8f625399325b6d190837",
            ),
        ),
    ),
    Package(
        "@dagrejs/dagre/-/dagre-3.1.3.tgz",
        "sha512-X4aUTwOReZvthaZWOVHqlJ52/ZdhZFEM4+Lh/uR4XooUSLE6p71bcy7MPGzYnNUcNh+nj+i/qJQpCMIdQnSmrg==",
        (
            Wanted(
                "package/LICENSE",
                "dagre.LICENSE",
                "6a349742a6cb219d5a2fc8d0844f6d89a6efc62e20c664450d884fc7ff2d6015",
            ),
        ),
    ),
)


class AssetsMissing(Exception):
    """The registry does not answer, or not with what is pinned."""


def fetch() -> None:
    """Have every file in assets/, as pinned; nothing is asked for that is there. Raises AssetsMissing."""
    for package in PACKAGES:
        if not all(_is_there(wanted) for wanted in package.files):
            _unpack(package, _download(package))


def _is_there(wanted: Wanted) -> bool:
    path = ASSETS / wanted.name
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted.sha256


def _download(package: Package) -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or os.environ.get("npm_config_registry") or _REGISTRY  # noqa: SIM112 (as npm sets it)
    url = f"{registry.rstrip('/')}/{package.path}"
    failure: Exception | None = None
    for attempt in range(_TRIES):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 (of our own making)
                data: bytes = answer.read(_LIMIT)
        except OSError as error:
            failure = error
            time.sleep(attempt)
            continue
        found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
        if found != package.integrity:
            raise AssetsMissing(f"{url} is not what is pinned: its integrity is {found}")
        return data
    raise AssetsMissing(f"cannot fetch {url}: {failure}")


def _unpack(package: Package, data: bytes) -> None:
    ASSETS.mkdir(exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for wanted in package.files:
            member = archive.extractfile(wanted.member)
            content = b"" if member is None else member.read()
            if hashlib.sha256(content).hexdigest() != wanted.sha256:
                raise AssetsMissing(f"{wanted.member} of {package.path} is not what is pinned")
            partial = ASSETS / f".{wanted.name}.{os.getpid()}"
            partial.write_bytes(content)
            partial.replace(ASSETS / wanted.name)


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, where nothing is installed
    pass
else:

    class AssetsHook(BuildHookInterface[Any]):
        """Runs whenever the package is built or installed."""

        PLUGIN_NAME = "custom"

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """An editable install finds the files in the checkout; what leaves it takes them along."""
            try:
                fetch()
            except AssetsMissing as error:
                self.app.display_warning(f"{error}; `pybuild graph --format html` will not work")
                return
            place = "assets" if self.target_name == "sdist" else "builder/_assets"
            if version != "editable":
                for package in PACKAGES:
                    for wanted in package.files:
                        build_data["force_include"][str(ASSETS / wanted.name)] = f"{place}/{wanted.name}"


if __name__ == "__main__":
    try:
        fetch()
    except AssetsMissing as error:
        sys.exit(f"{error}\n`pybuild graph --format html` will not work")
