"""What each instruction says, as values: checked, not expanded yet.

Each value keeps its ``node``, for locations and for the text as written. What is understood and not built
yet is kept too, and refused when a step is made of it: an unused stage may hold anything well written.
"""

from __future__ import annotations

from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.core.image import Healthcheck as HealthcheckConfig
from builder.frontend.dockerfile.node import Heredoc, Node, Word


class UnknownInstruction(PybuildError):
    """The first word of a line is no instruction."""

    kind = Kind.INVALID
    code = "unknown-instruction"


class UnknownFlag(PybuildError):
    """The instruction has no such flag."""

    kind = Kind.INVALID
    code = "unknown-flag"


class InvalidFlag(PybuildError):
    """A flag lacks its value, comes twice, or has a value that makes no sense."""

    kind = Kind.INVALID
    code = "invalid-flag"


class InvalidArguments(PybuildError):
    """The words behind an instruction are too few, too many, or not what it takes."""

    kind = Kind.INVALID
    code = "invalid-arguments"


class InvalidTrigger(PybuildError):
    """ONBUILD cannot store that instruction."""

    kind = Kind.INVALID
    code = "invalid-trigger"


class From(NamedTuple):
    """``FROM [--platform=P] BASE [AS NAME]``."""

    node: Node
    base: Word
    name: str  # in lower case, "" without AS
    platform: Word | None


class Command(NamedTuple):
    """The text of RUN, CMD and ENTRYPOINT: the words of a JSON array, or one text for the shell."""

    words: tuple[str, ...]
    is_shell: bool


class Run(NamedTuple):
    """``RUN [FLAGS] COMMAND``; the bodies of its heredocs are ``node.heredocs``."""

    node: Node
    command: Command
    script: Heredoc | None  # the heredoc, where it is all there is
    network: str  # "", default, none, host
    mounts: tuple[Word, ...]
    security: Word | None
    devices: tuple[Word, ...]


class Copy(NamedTuple):
    """COPY, or ADD if ``is_add``. ``origin`` is --from's value, "" for the build context."""

    node: Node
    is_add: bool
    sources: tuple[Word, ...]
    heredocs: tuple[Heredoc, ...]  # the sources that are written right there
    destination: Word
    origin: Word | None
    owner: Word | None
    mode: Word | None
    excludes: tuple[Word, ...]
    checksum: Word | None
    switches: tuple[Word, ...]  # flags without a value that are on: --link, --parents, …

    def has(self, flag: str) -> bool:
        """Whether a switch is on."""
        return any(word.text.partition("=")[0] == flag for word in self.switches)


class Pair(NamedTuple):
    """``KEY=VALUE``."""

    key: Word
    value: Word


class Env(NamedTuple):
    """``ENV KEY=VALUE …``."""

    node: Node
    pairs: tuple[Pair, ...]


class Label(NamedTuple):
    """``LABEL KEY=VALUE …``."""

    node: Node
    pairs: tuple[Pair, ...]


class Argument(NamedTuple):
    """``NAME[=DEFAULT]``; "" is a default."""

    name: str
    default: Word | None


class Arg(NamedTuple):
    """``ARG NAME[=DEFAULT] …``."""

    node: Node
    arguments: tuple[Argument, ...]


class Workdir(NamedTuple):
    """``WORKDIR PATH``."""

    node: Node
    path: Word


class User(NamedTuple):
    """``USER NAME[:GROUP]``."""

    node: Node
    user: Word


class Expose(NamedTuple):
    """``EXPOSE PORT[-PORT][/PROTOCOL] …``; what the words are shows when they are expanded."""

    node: Node
    ports: tuple[Word, ...]


class Volume(NamedTuple):
    """``VOLUME PATH …``."""

    node: Node
    paths: tuple[Word, ...]


class Cmd(NamedTuple):
    """``CMD COMMAND``."""

    node: Node
    command: Command


class Entrypoint(NamedTuple):
    """``ENTRYPOINT COMMAND``."""

    node: Node
    command: Command


class Shell(NamedTuple):
    """``SHELL ["PROGRAM", …]``."""

    node: Node
    words: tuple[str, ...]


class StopSignal(NamedTuple):
    """``STOPSIGNAL SIGNAL``."""

    node: Node
    signal: Word


class Healthcheck(NamedTuple):
    """``HEALTHCHECK NONE`` or ``HEALTHCHECK [FLAGS] CMD COMMAND``; nothing in it is expanded."""

    node: Node
    config: HealthcheckConfig


class OnBuild(NamedTuple):
    """``ONBUILD INSTRUCTION``; ``expression`` is what the image will hold, heredocs included."""

    node: Node
    expression: str


class Maintainer(NamedTuple):
    """``MAINTAINER NAME``; nothing in it is expanded."""

    node: Node
    name: str


Instruction = (
    From | Run | Copy | Env | Label | Arg | Workdir | User | Expose | Volume | Cmd | Entrypoint | Shell
    | StopSignal | Healthcheck | OnBuild | Maintainer
)  # fmt: skip
