"""Docker's merge of an image's config with what `run` was asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builder.core.errors import Kind, PybuildError, Unsupported
from builder.core.image import ImageConfig
from builder.core.limits import StepSettings
from builder.core.mount import Mount
from builder.executor.interface import ProcessSpec

# What Docker gives a container whose image sets no PATH (moby, oci/defaults.go).
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NoCommand(PybuildError):
    """Neither the image nor the caller says what to run."""

    kind = Kind.INVALID
    code = "no-command"

    def __init__(self) -> None:
        super().__init__("no command specified", hint="give one after the image, or a CMD in its Dockerfile")


class InvalidVolume(PybuildError):
    """A -v that cannot be a bind mount."""

    kind = Kind.INVALID
    code = "invalid-volume"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The flags of `run`; None and empty: not given."""

    command: Sequence[str] = ()
    entrypoint: str | None = None  # "" resets the image's
    env: Sequence[str] = ()  # "K=V", or "K": taken from the caller's environment
    volumes: Sequence[str] = ()
    working_dir: str | None = None
    user: str | None = None
    hostname: str | None = None
    network: str = "host"
    is_terminal: bool = False
    is_read_only: bool = False
    is_privileged: bool = False
    settings: StepSettings = StepSettings()


def process_of(
    image: ImageConfig, options: RunOptions, *, hostname: str, environ: Mapping[str, str]
) -> ProcessSpec:
    """What runs. Raises NoCommand."""
    settings = options.settings
    return ProcessSpec(
        args=_arguments(image, options),
        env=_environment(image, options, hostname, environ),
        cwd=options.working_dir or image.working_dir or "/",
        user=image.user if options.user is None else options.user,
        hostname=hostname,
        network=options.network,
        is_read_only=options.is_read_only,
        is_privileged=options.is_privileged,
        extra_hosts=tuple(f"{address}\t{name}" for name, address in settings.hosts),
        ulimits=settings.ulimits,
        shm_size=settings.shm_size,
        limits=settings.limits,
        cgroup_parent=settings.cgroup_parent,
        confinement=settings.security,
        are_files_writable=True,
    )


def _arguments(image: ImageConfig, options: RunOptions) -> tuple[str, ...]:
    command, entrypoint = tuple(options.command), image.entrypoint or ()
    if options.entrypoint is not None:
        # A new entrypoint drops the image's CMD as well: it was made for the old one.
        entrypoint = (options.entrypoint,) if options.entrypoint else ()
    else:
        command = command or image.cmd or ()
    if not entrypoint + command:
        raise NoCommand
    return entrypoint + command


def _environment(
    image: ImageConfig, options: RunOptions, hostname: str, environ: Mapping[str, str]
) -> tuple[str, ...]:
    merged: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if options.is_terminal:
        merged["TERM"] = "xterm"
    for entry in image.env:
        name, _, value = entry.partition("=")
        merged[name] = value
    for entry in options.env:
        name, equals, value = entry.partition("=")
        if equals:
            merged[name] = value
        elif name in environ:
            merged[name] = environ[name]
        else:
            merged.pop(name, None)
    return tuple(f"{name}={value}" for name, value in merged.items())


def bind_mounts(volumes: Sequence[str]) -> list[Mount]:
    """``SRC:DST[:ro|rw]``; a source that is missing is made, as Docker does. Raises InvalidVolume."""
    mounts = [_bind_mount(volume) for volume in volumes]
    for number, mount in enumerate(mounts):
        if any(mount.target == other.target for other in mounts[:number]):
            raise InvalidVolume(
                f'two volumes have the target "{mount.target}"', hint="give each a place of its own"
            )
    return mounts


def _bind_mount(volume: str) -> Mount:
    parts = volume.split(":")
    if len(parts) not in (2, 3) or not parts[0] or not parts[1].startswith("/"):
        raise InvalidVolume(
            f'"{volume}" is not a volume', hint="write it as SOURCE:/TARGET or SOURCE:/TARGET:ro"
        )
    source, target = parts[0], os.path.normpath(f"/{parts[1].lstrip('/')}")
    if target == "/":
        raise InvalidVolume(f'"{volume}" would hide the whole image', hint="a volume cannot be mounted at /")
    options = parts[2].split(",") if len(parts) == 3 else ["rw"]
    unknown = [option for option in options if option not in ("ro", "rw")]
    if unknown:
        raise Unsupported(f'volume option "{unknown[0]}" is not built yet', hint="there are ro and rw")
    if "/" not in source and source not in (".", ".."):
        raise Unsupported(
            f'"{source}" would be a named volume, and these are not built yet',
            hint=f"for a folder write ./{source}",
        )
    source = os.path.abspath(source)
    if not os.path.exists(source):
        os.makedirs(source)
    return Mount("bind", source, target, ("rec", "ro") if "ro" in options else ("rec",))
