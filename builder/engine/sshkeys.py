"""An SSH agent of our own, for keys that a build was given as files."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.engine.session import AgentUnavailable

_START_S = 10


@contextlib.contextmanager
def agent_with(keys: Sequence[Path]) -> Iterator[Path]:
    """The socket of an agent that holds just these keys, and ends with the block. Raises AgentUnavailable."""
    with tempfile.TemporaryDirectory(prefix="pybuild-ssh-") as directory:
        path = Path(directory) / "agent"  # short: an address has at most 108 bytes
        # In the foreground, so that it is our child; its first line says that it listens.
        with _started(["ssh-agent", "-D", "-a", str(path)]) as agent:
            try:
                assert agent.stdout is not None
                ready, _, _ = select.select([agent.stdout], [], [], _START_S)
                if not ready or not os.read(agent.stdout.fileno(), 4096) or not path.is_socket():
                    raise AgentUnavailable("ssh-agent did not start", hint="try `ssh-agent -D` by hand")
                _add(path, keys)
                yield path
            finally:
                agent.terminate()


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise AgentUnavailable(
            f"keys need the program {command[0]}: {error.strerror}",
            hint="install OpenSSH's client, or give the socket of an agent that runs: --ssh default=SOCKET",
        ) from error


def _add(agent: Path, keys: Sequence[Path]) -> None:
    # Nobody is asked for a passphrase: the build may have no terminal, or several of these at once.
    command = ["env", f"SSH_AUTH_SOCK={agent}", "SSH_ASKPASS_REQUIRE=never", "ssh-add", "--"]
    for key in keys:
        added = subprocess.run(
            [*command, str(key)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            start_new_session=True,
        )
        if added.returncode != 0:
            said = added.stderr.decode("utf-8", "replace").strip().splitlines()
            raise AgentUnavailable(
                f'ssh-agent does not take the key "{key}": {said[-1] if said else "ssh-add failed"}',
                hint="a key with a passphrase needs an agent that has it: ssh-add it, and use --ssh default",
            )
