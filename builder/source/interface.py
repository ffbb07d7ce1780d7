"""Sources, as operations and the engine see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.image import ImageConfig
from builder.core.job import Job
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.store.interface import Image, Snapshot

if TYPE_CHECKING:  # every command imports this module, few read a context
    from builder.core.gitref import GitReference
    from builder.fs.contenthash import ContentRecord
    from builder.fs.ignore import IgnoreRules
    from builder.fs.statcache import StatCache
    from builder.fs.tree import Tree

PullPolicy = Literal["missing", "always", "never"]


class ImageUnavailable(PybuildError):
    """An image is not in the store, and was not to be fetched."""

    kind = Kind.NOT_FOUND
    code = "image-unavailable"


class BrokenImage(PybuildError):
    """A registry's or archive's image contradicts itself."""

    kind = Kind.CORRUPT
    code = "broken-image"


class ResolvedSource(NamedTuple):
    """An image that the store now knows: its config is here, its layers may still be elsewhere."""

    reference: Reference
    image: Image
    config: ImageConfig
    manifest: Digest | None = None  # or index, that the registry gave by this name; None: not asked


class ImageSource(Protocol):
    """Images by name."""

    def resolve(
        self, reference: Reference, platform: Platform, policy: PullPolicy, job: Job
    ) -> ResolvedSource:
        """``missing``: the store's own if it has one for the platform, else the registry's.

        At most a few small requests; no layer is fetched. Raises ImageUnavailable and the registry's errors.
        """

    def pull(self, reference: Reference, platform: Platform, job: Job) -> ResolvedSource:
        """The registry's, with its layers; the name is its own once they are all there."""

    def unpack(self, snapshot: Snapshot, directory: Path, lowers: Sequence[str], job: Job) -> None:
        """Make the directory form of a layer, verified against its diff ID; fetches it if need be."""

    def fetch_layers(self, chain: Sequence[Snapshot], job: Job) -> None:
        """Bring the stored form of every layer that has none in the store, side by side."""


class LocalContext(NamedTuple):
    """A directory of the user, as COPY sees it: a handle, nothing was read yet."""

    name: str
    root: str
    tree: Tree  # what the ignore rules leave
    rules: IgnoreRules | None
    stat_cache: StatCache | None
    seen: Callable[[ContentRecord], None]  # told what was read of it
    has_git_modes: bool = False  # no more of modes counts than Git records


Locked = Callable[[str], str | None]  # what a lock file has for a name


def nothing_locked(name: str) -> str | None:
    """A Locked without entries."""
    return None


class SourceChanged(PybuildError):
    """What an address leads to is not what was asked for, or not what it was a moment ago."""

    kind = Kind.CONFLICT
    code = "source-changed"


class GitFailed(PybuildError):
    """Git could not do what was asked of it."""

    kind = Kind.UNAVAILABLE
    code = "git-failed"


class GitNotInstalled(GitFailed):
    """There is no git on this machine."""

    kind = Kind.UNSUPPORTED
    code = "git-not-installed"


class GitRefNotFound(GitFailed):
    """The repository has no such branch, tag or commit, or no such directory."""

    kind = Kind.NOT_FOUND
    code = "git-ref-not-found"


class FilePin(NamedTuple):
    """What an address leads to now."""

    digest: Digest
    last_modified: str = ""  # as the server writes it; "" where it does not, or was not asked

    @property
    def mtime_ns(self) -> int:
        """Of the file, by that time; 0 without one, as BuildKit has it."""
        seconds = seconds_of(self.last_modified)
        return 0 if seconds is None or not 0 <= seconds < 1 << 33 else int(seconds) * 1_000_000_000


def seconds_of(date: str) -> float | None:
    """Seconds since 1970 of a date as HTTP writes it; None: it is none."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


class RemoteFile(NamedTuple):
    """A file of the web. ``checksum`` is what it must hash to: then nobody is asked before it is needed."""

    url: str
    checksum: Digest | None = None


class FileSource(Protocol):
    """Files by address. Thread-safe; asks for each address once per build."""

    def pin(self, file: RemoteFile, step: str, job: Job) -> FilePin:
        """One small request where the file was fetched before and is unchanged, else the whole file.

        ``step`` gets the progress. Raises WebFailed and its kinds.
        """

    def take(self, file: RemoteFile, pin: FilePin, step: str, job: Job) -> tuple[Path, FilePin]:
        """The file, in scratch, for the caller to move away; and what is known of it now.

        Raises WebFailed, SourceChanged, DigestMismatch.
        """

    def key_names(self, file: RemoteFile, job: Job) -> tuple[str, ...]:
        """The names of the secrets that requests for it carry."""


class GitSource(Protocol):
    """Commits of repositories. Thread-safe."""

    def pin(self, reference: GitReference, job: Job) -> str:
        """The commit (or, if the directory .git is kept, the tag) that a reference leads to now.

        One request, or none. Raises GitFailed and its kinds, SourceChanged.
        """

    def checkout(self, reference: GitReference, commit: str, job: Job) -> Path:
        """The files of a commit, in a directory of scratch, for the caller to move away.

        Raises GitFailed and its kinds.
        """
