"""The git program, made deaf: no configuration, hooks, prompts, helpers or local transports."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.core.job import Cancel
from builder.source.interface import GitFailed, GitNotInstalled

# Everything else git can speak (file, ext, fd, …) reads this machine's files or runs its programs.
PROTOCOLS = "http:https:git:ssh"
_SETTINGS = {
    "advice.detachedHead": "false",
    "core.attributesFile": "/dev/null",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.logAllRefUpdates": "false",  # the log would name this machine
    "core.symlinks": "true",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "100",  # bytes a second, for the time below: then the other side is dead
    "http.lowSpeedTime": "60",
    "init.defaultBranch": "main",
    "init.templateDir": "",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "protocol.file.allow": "never",
    "submodule.recurse": "false",
}
# Neither the user's ssh configuration, which can run programs, nor questions.
# Keys come from the agent that --ssh names, never from the user's files.
_SSH = "ssh -F none -o IdentityFile=none -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=30"
_MAX_WORDS = 600  # characters of git's own complaint


class GitProgram:
    """Runs git in one directory of scratch, which is its home too."""

    def __init__(
        self,
        home: Path,
        *,
        path: str,
        proxies: Mapping[str, str],
        ca_bundle: str = "",
        headers: Mapping[str, str],
        ssh_agent: str | None,
        cancel: Cancel,
        protocols: str = PROTOCOLS,
    ) -> None:
        """``path`` is where programs are looked for.

        ``headers`` are Authorization headers by the beginning of addresses; they go to no other ones.
        """
        self._home = home
        self._cancel = cancel
        settings = [*_SETTINGS.items()]
        settings += [
            (f"http.{prefix}.extraHeader", f"Authorization: {value}") for prefix, value in headers.items()
        ]
        self._environ = {
            "PATH": path,
            "HOME": str(home),
            "LC_ALL": "C",
            "GIT_ALLOW_PROTOCOL": protocols,
            "GIT_ASKPASS": "",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_SSH_COMMAND": _SSH,
            "GIT_SSH_VARIANT": "ssh",
            "GIT_TERMINAL_PROMPT": "0",
            "SSH_ASKPASS": "",
            **{name.lower(): value for name, value in proxies.items()},
        }
        if ca_bundle:
            self._environ["GIT_SSL_CAINFO"] = ca_bundle
        # In the environment and not on the command line, which everybody on the machine can read.
        for index, (name, value) in enumerate(settings):
            self._environ[f"GIT_CONFIG_KEY_{index}"] = name
            self._environ[f"GIT_CONFIG_VALUE_{index}"] = value
        if ssh_agent is not None:
            self._environ["SSH_AUTH_SOCK"] = ssh_agent

    def run(self, *arguments: str, directory: Path) -> str:
        """What it prints. Raises GitFailed with git's own words, GitNotInstalled, Cancelled."""
        program = shutil.which("git", path=self._environ["PATH"])
        if program is None:
            raise GitNotInstalled(
                "there is no git on this machine",
                hint="install the package git; repositories are read with it",
            )
        self._cancel.check()
        process = subprocess.Popen(
            [program, *arguments],
            cwd=directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # with its helpers, so that all can be stopped
            umask=0o022,
        )
        forget = self._cancel.on_cancel(lambda: _kill(process))
        try:
            out, err = process.communicate()
        except BaseException:
            _kill(process)
            process.wait()
            raise
        finally:
            forget()
        self._cancel.check()
        if process.returncode != 0:
            raise GitFailed(_complaint(arguments, err.decode("utf-8", "replace")))
        return out.decode("utf-8", "surrogateescape")


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Not reaped yet, so the group is still its own.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _complaint(arguments: Sequence[str], words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    # What ssh says comes first, and in no form.
    said = [
        line for n, line in enumerate(lines) if n == 0 or line.startswith(("fatal:", "error:", "remote:"))
    ]
    text = "; ".join(line.removeprefix("fatal: ").removeprefix("error: ") for line in said)
    text = "".join(c if c.isprintable() else " " for c in text)[:_MAX_WORDS]
    return f"git {arguments[0]} failed: {text or 'it does not say why'}"
