"""SandboxSpec: everything that the launcher is told about one process, and how it is written down."""

from __future__ import annotations

import contextlib
import marshal
import os
from pathlib import Path
from typing import NamedTuple, TypedDict

from builder.core.errors import Kind, PybuildError
from builder.core.limits import RLIMITS, SHM_SIZE, Ulimit
from builder.core.mount import Mount
from builder.core.security import UNCONFINED, Security

NETWORKS = ("host", "none")
# type, source, target, options: a Mount with its paths as the kernel wants them.
RawMount = tuple[str, bytes, bytes, tuple[bytes, ...]]


class InvalidSandbox(PybuildError):
    """A process description that cannot be carried out, whatever the image holds."""

    kind = Kind.INVALID
    code = "invalid-sandbox"


class RawSpec(TypedDict):
    """What travels to the launcher, in types that ``marshal`` has.

    Text of the image is UTF-8 with surrogate escapes, whatever locale the caller has; host paths are in the
    caller's file system encoding.
    """

    args: tuple[bytes, ...]
    env: tuple[bytes, ...]
    cwd: bytes
    user: str
    hostname: str
    network: str
    mounts: tuple[RawMount, ...]
    is_privileged: bool
    is_read_only: bool
    is_terminal: bool
    has_stdin: bool
    rlimits: tuple[tuple[str, int, int, int], ...]  # name, number, soft, hard; -1 is none
    shm_size: int
    cgroups: tuple[bytes, ...]
    secrets: tuple[bytes, ...]
    filter_program: bytes  # of seccomp; empty: any call
    has_no_new_privileges: bool
    are_paths_masked: bool
    # The launcher's to say: whether it is in a control group of devices, and what does it in v2, or -1.
    is_confined: bool
    device_program: int


class SandboxSpec(NamedTuple):
    """One process. The first mount has target "/"; the others are made in the order given.

    Beyond ``builder.core.mount.Mount``: an overlay takes the option ``sync`` (a program's fsync reaches the
    disk; without it the mount is ``volatile``, which makes its end cheap), and other options go to the kernel
    as they are. So do those of a tmpfs, but for the flags ``ro``, ``nosuid``, ``nodev`` and ``noexec``. A
    bind takes ``subpath=PATH``, which is looked up inside of its source however others change that meanwhile.
    A ``secret`` is a file whose bytes come beside the spec; its source is their number, its options are
    ``mode=`` (octal), ``uid=``, ``gid=`` and the flags.
    """

    args: tuple[str, ...]
    mounts: tuple[Mount, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    hostname: str = "buildkitsandbox"
    network: str = "host"
    is_privileged: bool = False
    is_read_only: bool = False
    is_terminal: bool = False
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = SHM_SIZE
    cgroups: tuple[str, ...] = ()  # directories of control groups to join
    security: Security = Security()

    def encode(
        self, *, has_stdin: bool = False, secrets: tuple[bytes, ...] = (), secret_env: tuple[str, ...] = ()
    ) -> bytes:
        """For the launcher, and for ``launcher.py --describe``; raises InvalidSandbox.

        What is secret is given here, and is no part of the spec, so that nothing that prints or keeps a spec
        shows it. Raises InvalidProfile too.
        """
        self._check()
        raw: RawSpec = {
            "args": tuple(map(_inside, self.args)),
            "env": tuple(map(_inside, (*self.env, *secret_env))),
            "cwd": _inside(self.cwd),
            "user": self.user,
            "hostname": self.hostname,
            "network": self.network,
            "mounts": tuple(_raw_mount(mount) for mount in self.mounts),
            "is_privileged": self.is_privileged,
            "is_read_only": self.is_read_only,
            "is_terminal": self.is_terminal,
            "has_stdin": has_stdin,
            "rlimits": tuple((u.name, RLIMITS[u.name], u.soft, u.hard) for u in self.ulimits),
            "shm_size": self.shm_size,
            "cgroups": tuple(map(os.fsencode, self.cgroups)),
            "secrets": secrets,
            "filter_program": self._filter(),
            "has_no_new_privileges": self.security.has_no_new_privileges,
            "are_paths_masked": self.security.are_paths_masked,
            "is_confined": False,
            "device_program": -1,
        }
        return marshal.dumps(dict(raw))

    def _filter(self) -> bytes:
        profile = self.security.seccomp
        if profile is None:
            profile = UNCONFINED if self.is_privileged else ""
        if profile == UNCONFINED:
            return b""
        if not profile and not self.is_privileged:
            # Made before, as it is for nearly every process: reading the profile costs 5 to 10 ms.
            made = Path(__file__).parent / "calls" / f"{os.uname().machine}.filter"
            with contextlib.suppress(FileNotFoundError):
                return made.read_bytes()
        from builder.sandbox.capabilities import ALL, DEFAULT, mask
        from builder.sandbox.seccomp import filter_program

        return filter_program(profile, ALL if self.is_privileged else mask(DEFAULT))

    def _check(self) -> None:
        if not self.args:
            raise InvalidSandbox("no command specified", hint="give CMD, ENTRYPOINT or arguments")
        if not self.mounts or self.mounts[0].target != "/":
            raise InvalidSandbox("the first mount is not the root file system")
        if not self.cwd.startswith("/"):
            raise InvalidSandbox(f'the working directory "{self.cwd}" is not an absolute path')
        if self.network not in NETWORKS:
            raise InvalidSandbox(f'unknown network "{self.network}"', hint=f"known: {', '.join(NETWORKS)}")
        for mount in self.mounts:
            if not mount.target.startswith("/"):
                raise InvalidSandbox(f'the mount target "{mount.target}" is not an absolute path')
        for variable in self.env:
            if variable.find("=") < 1:
                raise InvalidSandbox(f'"{variable}" is not of the form NAME=value')


def _raw_mount(mount: Mount) -> RawMount:
    if mount.type not in ("overlay", "bind", "tmpfs", "secret"):
        raise InvalidSandbox(f'the sandbox makes no mount of type "{mount.type}"')
    return (
        mount.type,
        os.fsencode(mount.source),
        _inside(mount.target),
        tuple(map(os.fsencode, mount.options)),
    )


def _inside(text: str) -> bytes:
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidSandbox(f"{text!a} cannot be written as UTF-8") from error
    if b"\0" in data:
        raise InvalidSandbox(f"{text[:200]!a} holds a NUL character")
    return data
