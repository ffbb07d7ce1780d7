"""The libraries of pages: pinned, fetched by the set-up, refused when they are anything else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class _Liar(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"something else")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    """Answers everything, with what nobody asked for."""
    with HTTPServer(("127.0.0.1", 0), _Liar) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _fetch(directory: Path, registry: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "hatch_build.py", directory)
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [sys.executable, "hatch_build.py"],
        cwd=directory, env={**clean, "NPM_CONFIG_REGISTRY": registry}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_another_package_is_refused(registry: str, tmp_path: Path) -> None:
    """What has not the pinned integrity is not unpacked."""
    done = _fetch(tmp_path, registry)

    assert done.returncode == 1
    assert "is not what is pinned" in done.stderr
    assert not (tmp_path / "assets").exists()


def test_what_is_there_is_not_fetched_again(registry: str, tmp_path: Path) -> None:
    """Files with the pinned digests are enough, and one that was changed is not."""
    shutil.copytree(ROOT / "assets", tmp_path / "assets")
    unchanged = _fetch(tmp_path, registry)
    (tmp_path / "assets/cytoscape.min.js").write_text("changed")
    changed = _fetch(tmp_path, registry)

    assert (unchanged.returncode, unchanged.stderr) == (0, "")
    assert changed.returncode == 1
