"""The operations of a definition, in the shape of BuildKit's LLB: source, exec, file, merge."""

from __future__ import annotations

from dataclasses import dataclass

from builder.core.canonical import unhashed
from builder.core.limits import Limits, TimeLimits, Ulimit
from builder.core.location import Location
from builder.core.security import Security


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOp:
    """Something from outside; no inputs, one output.

    ``identifier`` is one of

    - ``docker-image://docker.io/library/busybox:latest@sha256:…``, ``oci-layout://PATH@sha256:…``: an image
    - ``local://NAME``: a directory that the session knows under that name ("context")
    - ``https://…`` and ``http://…``: a tree with one file, ``filename`` among the attributes
    - ``git://REMOTE#REF:SUBDIRECTORY``: the files of a commit
    - ``blob://sha256:…``: a tree with one file that the session brings along

    Addresses in it are fit for people; one with a login or a key in it stands in ``address`` as well, and an
    attribute tells it from others that look the same.
    """

    identifier: str
    attributes: tuple[tuple[str, str], ...] = ()
    address: str = unhashed("")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputMount:
    """Where an input of an exec is mounted.

    ``input`` -1 is an empty tree; with ``output`` None what the process writes there is dropped.
    """

    input: int
    target: str
    selector: str = ""  # the path inside the input that is mounted; "" is its root
    is_read_only: bool = False
    output: int | None = None
    is_content_keyed: bool = False  # the key holds the content of what is mounted, not its history


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMount:
    """A directory that outlives the build; its content is never identity, nor is who shares it.

    ``input`` is the tree that ``selector`` is copied from when the directory is new, -1: it starts empty and
    ``selector`` is a path inside the directory itself.
    """

    target: str
    input: int = -1
    selector: str = ""
    is_read_only: bool = False
    mode: int | None = None  # of the directory when it is new; None: 0755, or the input's
    uid: int | None = None
    gid: int | None = None
    id: str = unhashed("")  # the namespace and the user's id
    sharing: str = unhashed("shared")  # shared, private, locked


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsMount:
    """An empty directory in memory, gone with the process."""

    target: str
    size: int = 0  # bytes; 0: the kernel's default
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretMount:
    """Bytes that the session has under ``id``, as a file, a variable, or both; the bytes are no identity."""

    id: str
    target: str = ""  # "": no file
    variable: str = ""  # "": no variable
    mode: int = 0o400
    uid: int = 0
    gid: int = 0
    is_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SshMount:
    """A socket that leads to the agent that the session has under ``id``."""

    id: str
    target: str
    mode: int = 0o600
    uid: int = 0
    gid: int = 0
    is_required: bool = False


OtherMount = CacheMount | TmpfsMount | SecretMount | SshMount


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOp:
    """A process over a root file system. ``mounts[0]`` is the root, with output 0."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()  # "NAME=value", in order
    cwd: str = "/"
    user: str = ""
    mounts: tuple[InputMount, ...] = (InputMount(input=0, target="/", output=0),)
    network: str = "default"  # default, none, host
    security: str = "sandbox"  # sandbox, insecure
    hostname: str = ""
    host_names: tuple[str, ...] = ()  # the names of extra hosts; their addresses are no identity
    argument_names: tuple[str, ...] = unhashed(())  # the variables of env that are build arguments
    unkeyed_env: tuple[str, ...] = unhashed(())  # proxy settings: seen by the process, not by the key
    host_addresses: tuple[str, ...] = unhashed(())  # of host_names, one each
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = 0  # of /dev/shm in bytes; 0: as usual
    cgroup_parent: str = ""
    limits: Limits = unhashed(Limits())  # how much it may use changes nothing of what it makes
    confinement: Security = unhashed(Security())  # nor does what it may not do
    times: TimeLimits = unhashed(TimeLimits())
    other_mounts: tuple[OtherMount, ...] = ()  # those that are no tree of an input


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyAction:
    """Copies one source path (or pattern) of an input into the tree that the file op makes.

    With the meaning of COPY/ADD: a directory copies its contents; ``destination`` ends in "/" (or is an
    existing directory): a file is placed inside it under its own name.
    """

    input: int  # index into the vertex's inputs
    source: str  # absolute inside the input, "/" its root; may hold Go filepath.Match wildcards
    destination: str  # absolute inside the result; a trailing "/" matters
    owner: str | None = None  # "user[:group]", names looked up in the result's tree; None: see keeps_owner
    mode: str | None = None  # octal "0644" or symbolic, of files and directories; None: keep the source's
    keeps_owner: bool = (
        False  # False: 0:0 unless owner says otherwise (context); True: the source's ids (--from)
    )
    unpacks: bool = False  # a local tar archive (by content) is extracted instead
    allows_wildcards: bool = True
    # Patterns as in .dockerignore, from each source directory on, of what of it is copied (--parents: the
    # source is what stands before its pivot) and of what is not (--exclude). A source that is a file is not
    # asked for the latter.
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    keeps_top: bool = False  # a directory that is copied gives the destination its mode, too
    location_hint: str = unhashed("")  # the source as the user wrote it, for messages
    location: Location | None = unhashed()  # of that source
    what: str = unhashed("COPY source")  # what messages call it


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeFileAction:
    """Writes a file (COPY of a heredoc)."""

    destination: str  # absolute; a trailing "/" was already resolved by the frontend
    data: bytes
    mode: str = "0644"
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDirectoryAction:
    """Makes a directory with its parents (WORKDIR); an existing one is left as it is."""

    path: str
    mode: int = 0o755
    owner: str | None = None  # "user[:group]"
    mtime_s: int | None = None  # of what is made, in epoch seconds; None: now


FileAction = CopyAction | MakeFileAction | MakeDirectoryAction


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOp:
    """File actions, in order, on input ``base`` (-1: on an empty tree); one output."""

    actions: tuple[FileAction, ...]
    base: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOp:
    """The inputs' trees laid over one another, first lowest; one output.

    Each but the first becomes one layer. ``destination`` is the path that they were made for: it and the
    directories above it have mode and owner of the tree below, where they are directories there too.
    """

    destination: str = ""


OpSpec = SourceOp | ExecOp | FileOp | MergeOp
