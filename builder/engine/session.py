"""What only the client has, for one build: secrets and SSH agents."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.core.job import Session

if TYPE_CHECKING:
    import socket

# One byte more than a step accepts: whoever uses it sees that it is too large.
_READ_AT_MOST = (500 << 10) + 1


class SecretUnreadable(PybuildError):
    """The file of a secret cannot be read."""

    kind = Kind.DENIED
    code = "secret-unreadable"


class AgentUnavailable(PybuildError):
    """An SSH agent does not answer, or cannot be started."""

    kind = Kind.UNAVAILABLE
    code = "agent-unavailable"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret comes from: a file, or bytes; neither, if its variable is not set."""

    id: str
    path: Path | None
    data: bytes | None = field(repr=False)


class SshSource(NamedTuple):
    """The socket of an agent, or keys for one that is started for the build."""

    id: str
    socket: Path | None
    keys: tuple[Path, ...]


class UsedSecrets:
    """The values that steps asked for, by id, while the build lasts."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}


@contextlib.contextmanager
def open_session(
    secrets: Sequence[SecretSource], ssh: Sequence[SshSource], used: UsedSecrets
) -> Iterator[Session]:
    """Nothing is read or started until a step needs it; what was started ends with the block."""
    with contextlib.ExitStack() as stack:
        yield Session(
            {source.id: _loader(source, used) for source in secrets}, {s.id: _Agent(s, stack) for s in ssh}
        )


def _loader(source: SecretSource, used: UsedSecrets) -> Callable[[], bytes | None]:
    def load() -> bytes | None:
        value = source.data if source.path is None else _read(source.id, source.path)
        if value is not None:
            used.values[source.id] = value
        return value

    return load


def _read(name: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_READ_AT_MOST)
    except OSError as error:
        raise SecretUnreadable(
            f'cannot read "{path}" for the secret "{name}": {error.strerror}',
            hint="look at the file and its permissions",
        ) from error


class _Agent:
    """See SshAgent."""

    def __init__(self, source: SshSource, stack: contextlib.ExitStack) -> None:
        self._source = source
        self._stack = stack
        self._lock = threading.Lock()
        self._socket = source.socket

    def connect(self) -> socket.socket:
        """See SshAgent."""
        import socket

        with self._lock:
            if self._socket is None:
                from builder.engine.sshkeys import agent_with

                self._socket = self._stack.enter_context(agent_with(self._source.keys))
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._socket))
        except OSError as error:
            connection.close()
            raise AgentUnavailable(
                f'the SSH agent at "{self._socket}" does not answer: {error.strerror}', hint="is it running?"
            ) from error
        return connection
