"""``RUN --mount``: inputs and mounts of the exec vertex."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from builder.core.location import Location
from builder.frontend.dockerfile.instructions import InvalidFlag, Run
from builder.frontend.dockerfile.mount_flags import MountFlag, read_mount
from builder.frontend.dockerfile.node import Word
from builder.frontend.dockerfile.stage_state import StageState, clean_path
from builder.llb.definition import Edge, Vertex
from builder.llb.ops import (
    CacheMount,
    CopyAction,
    FileOp,
    InputMount,
    OtherMount,
    SecretMount,
    SshMount,
    TmpfsMount,
)

Origin = Callable[[Word], Edge]

# Where the tree that is made of a part of the context has that part.
_PART = "/part"
_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"
# What these hold is the sandbox's own; a tmpfs below /dev (/dev/shm) harms nobody.
_KERNEL_DIRECTORIES = ("/proc", "/sys", "/dev")
_SOCKET_VARIABLE = "SSH_AUTH_SOCK"


class Mounts(NamedTuple):
    """What the flags of one RUN come to; ``env`` is what they set in its environment."""

    inputs: tuple[Edge, ...]  # behind those that the vertex has already
    trees: tuple[InputMount, ...]
    others: tuple[OtherMount, ...]
    env: tuple[str, ...] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of variables that hold secrets."""
        return tuple(m.variable for m in self.others if isinstance(m, SecretMount) and m.variable)


def convert_mounts(state: StageState, run: Run, origin: Origin, *, first_input: int) -> Mounts:
    """Mounts in the order of their targets. Raises InvalidFlag, and what ``origin`` raises."""
    if not run.mounts:
        return Mounts((), (), ())
    builder = _Builder(state, origin, first_input)
    for word in run.mounts:
        builder.add(read_mount(word, state.expand))
    return builder.mounts()


class _Builder:
    def __init__(self, state: StageState, origin: Origin, first_input: int) -> None:
        self._state = state
        self._origin = origin
        self._first = first_input
        self._inputs: list[Edge] = []
        self._trees: list[InputMount] = []
        self._others: list[OtherMount] = []
        self._agents = 0
        self._socket = ""

    def add(self, flag: MountFlag) -> None:
        for key in flag.unused:
            self._state.scope.warn(
                f'"{key}" has no effect on a {flag.type} mount', "leave it out", flag.location
            )
        match flag.type:
            case "bind":
                self._bind(flag)
            case "cache":
                self._cache(flag)
            case "tmpfs":
                target = self._target(flag, flag.target)
                self._others.append(
                    TmpfsMount(target=target, size=flag.size, is_read_only=bool(flag.is_read_only))
                )
            case "secret":
                self._secret(flag)
            case _:
                self._ssh(flag)

    def mounts(self) -> Mounts:
        env = (f"{_SOCKET_VARIABLE}={self._socket}",) if self._socket else ()
        if _SOCKET_VARIABLE in self._state.env:
            env = ()
        trees = sorted(self._trees, key=lambda mount: mount.target)
        others = sorted(self._others, key=lambda mount: mount.target)
        return Mounts(tuple(self._inputs), tuple(trees), tuple(others), env)

    def _bind(self, flag: MountFlag) -> None:
        source = clean_path(flag.source)
        if flag.origin is not None:
            edge, selector = self._origin(flag.origin), source
        else:
            edge = _part_of_context(self._state, source, flag.source, flag.location)
            selector = "/" if source == "/" else _PART
        self._trees.append(
            InputMount(
                input=self._input(edge),
                target=self._target(flag, flag.target),
                selector="" if selector == "/" else selector,
                is_read_only=flag.is_read_only is not False,
                is_content_keyed=True,
            )
        )

    def _cache(self, flag: MountFlag) -> None:
        # The id is the target as it is written: a relative one is the same in every directory.
        name = flag.id or _cleaned(flag.target)
        namespace = self._state.scope.request.build_args.get(_NAMESPACE, "")
        source = clean_path(flag.source)
        self._others.append(
            CacheMount(
                target=self._target(flag, flag.target),
                input=self._input(self._origin(flag.origin)) if flag.origin is not None else -1,
                selector="" if source == "/" else source,
                is_read_only=bool(flag.is_read_only),
                mode=flag.mode,
                uid=flag.uid,
                gid=flag.gid,
                id=f"{namespace}/{name}",
                sharing=flag.sharing,
            )
        )

    def _secret(self, flag: MountFlag) -> None:
        if flag.id and flag.source:
            raise InvalidFlag(
                "a secret has both an id and a source", hint="they mean the same", location=flag.location
            )
        name = flag.id or flag.source or flag.target.rstrip("/").rpartition("/")[2]
        if not name:
            raise InvalidFlag(
                "a secret needs an id or a target",
                hint="--mount=type=secret,id=NAME is the file /run/secrets/NAME",
                location=flag.location,
            )
        if flag.variable is not None and ("=" in flag.variable or "\0" in flag.variable or not flag.variable):
            raise InvalidFlag(
                f'env cannot be "{flag.variable}"',
                hint="it is the name of a variable",
                location=flag.location,
            )
        target = flag.target
        if not target and flag.variable is None:
            target = f"/run/secrets/{name.rstrip('/').rpartition('/')[2]}"
        self._others.append(
            SecretMount(
                id=name,
                target=self._target(flag, target) if target else "",
                variable=flag.variable or "",
                mode=0o400 if flag.mode is None else flag.mode & 0o777,
                uid=flag.uid or 0,
                gid=flag.gid or 0,
                is_required=flag.is_required,
            )
        )

    def _ssh(self, flag: MountFlag) -> None:
        target = flag.target or f"/run/buildkit/ssh_agent.{self._agents}"
        mount = SshMount(
            id=flag.id or "default",
            target=self._target(flag, target),
            mode=0o600 if flag.mode is None else flag.mode & 0o777,
            uid=flag.uid or 0,
            gid=flag.gid or 0,
            is_required=flag.is_required,
        )
        self._agents += 1
        self._socket = self._socket or mount.target
        self._others.append(mount)

    def _input(self, edge: Edge) -> int:
        self._inputs.append(edge)
        return self._first + len(self._inputs) - 1

    def _target(self, flag: MountFlag, text: str) -> str:
        """Absolute. Raises InvalidFlag."""
        target = clean_path(text if text.startswith("/") else f"{self._state.cwd}/{text}")
        if target == "/":
            raise InvalidFlag(
                f'invalid mount target "{text}"',
                hint="nothing can be mounted over the root; name a directory below it",
                location=flag.location,
            )
        for directory in _KERNEL_DIRECTORIES:
            is_below = target.startswith(f"{directory}/")
            if target == directory or (is_below and (flag.type != "tmpfs" or directory != "/dev")):
                raise InvalidFlag(
                    f'nothing can be mounted at "{target}"',
                    hint=f"{directory} is the sandbox's own; choose another target",
                    location=flag.location,
                )
        return target


def _cleaned(path: str) -> str:
    """As Go's ``path.Clean``: what is relative stays so, and "" is "."."""
    if path.startswith("/"):
        return clean_path(path)
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or "."


def _part_of_context(state: StageState, source: str, written: str, location: Location) -> Edge:
    """A tree of our own with what the mount shows: no step sees the user's directory itself."""
    action = CopyAction(
        input=0,
        source=source,
        destination="/" if source == "/" else _PART,
        allows_wildcards=False,
        keeps_top=True,
        keeps_owner=state.scope.context_keeps_owner,
        location_hint=written,
        what="mount source",
    )
    return state.scope.graph.add(
        Vertex(
            op=FileOp(actions=(action,), base=-1),
            inputs=(state.scope.context_or_nothing(),),
            name=f"[internal] copy {source} of the build context for mounts",
            location=location,
        )
    )
