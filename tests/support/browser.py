"""A headless Chromium, driven over its debugging pipe: one page, its keys, its requests, its errors."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
_TIMEOUT_S = 60
_VIRTUAL_KEYS = {
    "ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Escape": 27,
}  # fmt: skip


class Browser:
    """Commands of the DevTools protocol, and what happened meanwhile."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._unread = b""
        self._count = 0
        self._session: str | None = None
        self.requests: list[str] = []  # every address that was asked for
        self.complaints: list[str] = []  # exceptions, and errors and warnings of the console

    def attach(self) -> None:
        """To a new page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def open(self, path: Path) -> None:
        """A file; returns when its scripts have run."""
        self.call("Page.navigate", url=path.as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """One after the other; a name, or the letter that it gives."""
        for key in keys:
            facts: dict[str, Any] = {"key": key}
            if key in _VIRTUAL_KEYS:
                facts["windowsVirtualKeyCode"] = _VIRTUAL_KEYS[key]
            else:
                facts["text"] = key
            self.call("Input.dispatchKeyEvent", type="keyDown", **facts)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def prefer(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        # Pages hear of it with the next frame.
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.call("Runtime.evaluate", expression=frames, awaitPromise=True)

    def screenshot(self) -> bytes:
        """A PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def quit(self) -> None:
        """End it, with the processes that it has started."""
        self._session = None
        self.call("Browser.close")

    def call(self, method: str, **parameters: Any) -> Any:
        """The command's answer."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser has ended"
            self._unread += data
        text, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        facts = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(facts["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(facts["exceptionDetails"]))
            case "Log.entryAdded":
                self.complaints.append(facts["entry"]["text"])
            case "Runtime.consoleAPICalled" if facts["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(facts["args"]))


@contextmanager
def browser(profile: Path, *, width: int = 1280, height: int = 800) -> Iterator[Browser]:
    """A browser with a page, for as long as the block lasts; ``profile`` is its own directory."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    process = subprocess.Popen(
        [
            # The browser speaks on descriptors 3 and 4, and nowhere else.
            "bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash",
            _program(), "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run", f"--window-size={width},{height}",
            f"--user-data-dir={profile}",
        ],
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    page = Browser(ours_out, ours_in)
    try:
        page.attach()
        yield page
        page.quit()
        process.wait(_TIMEOUT_S)
    finally:
        os.close(ours_out)
        os.close(ours_in)
        process.kill()
        process.wait()


def _program() -> str:
    found = next((path for path in map(shutil.which, _PROGRAMS) if path is not None), None)
    assert found is not None, f"none of {', '.join(_PROGRAMS)} is installed: .ci/tools does it"
    return found
