"""What a frontend is given, what it may ask, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from builder.core.digest import Digest
from builder.core.errors import PybuildError
from builder.core.events import Warned
from builder.core.image import ImageConfig
from builder.core.limits import StepSettings
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.llb.definition import Definition


class ResolvedImage(NamedTuple):
    """What a name means now."""

    reference: str  # the full name: docker.io/library/busybox:latest
    digest: Digest  # of the manifest for the platform, or of the config of an image that was built here
    config: ImageConfig


class Bridge(Protocol):
    """The questions a frontend may ask; the same answers give the same definition."""

    def resolve_image(self, reference: str, platform: Platform) -> ResolvedImage:
        """``reference`` as written, "busybox", or ``oci-layout://PATH``.

        Raises PybuildError (not found, denied, …).
        """


class ParseCache(Protocol):
    """Remembers parses; may forget any of them at any time."""

    def get(self, key: bytes) -> bytes | None:
        """None: not known."""

    def put(self, key: bytes, value: bytes) -> None:
        """May do nothing."""


class ContextSource(NamedTuple):
    """What a name stands for: an image, or a tree; neither: nothing is there.

    ``image`` is a reference, or ``oci-layout://PATH``, for the bridge to resolve.
    """

    image: str = ""
    tree: Definition | None = None
    keeps_owner: bool = False  # False: what is copied belongs to root, whoever owns it


NO_CONTEXT = ContextSource()


def context_name(text: str) -> str:
    """The form in which names of contexts are compared: that of an image, without a domain and ":latest"."""
    try:
        return Reference.parse(text).familiar().removesuffix(":latest")
    except PybuildError:
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendRequest:
    """One build, for one platform."""

    source: bytes  # the Dockerfile
    file: str = "Dockerfile"  # its name in messages
    build_args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None  # a stage's name or index; None: the last one
    labels: Mapping[str, str] = field(default_factory=dict)  # --label, over those of the file
    platform: Platform = field(default_factory=Platform.host)  # of the result
    build_platform: Platform = field(default_factory=Platform.host)
    is_one_of_several: bool = False  # the same file is built for other platforms too: steps name theirs
    network: str | None = None  # --network: replaces "default" of every RUN
    ignores_cache: bool = False  # --no-cache
    uncached_stages: frozenset[str] = frozenset()  # --no-cache-filter: names, in any case
    settings: StepSettings = StepSettings()
    parse_cache: ParseCache | None = None
    context: ContextSource | None = None  # of COPY; None: local://context
    # By name, in the form of context_name.
    named_contexts: Mapping[str, ContextSource] = field(default_factory=dict)
    # The rule that keeps a path out of the context, in words; None: there are none, or they have exceptions.
    excluding: Callable[[str], str | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendResult:
    """``image`` lacks diff_ids and creation times of the new steps; its history has an entry for each.

    A new history entry has ``created`` "" and stands for a layer unless ``is_empty_layer``, in the order of
    the layers of ``definition.target``.
    """

    definition: Definition
    image: ImageConfig
    warnings: tuple[Warned, ...] = ()
    violated: tuple[str, ...] = ()  # the build checks that make it a failure: error=true
    epoch_s: int | None = None  # SOURCE_DATE_EPOCH, if the build has one


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What can be said of a source without building it, in the order of its text."""

    warnings: tuple[Warned, ...]
    errors: tuple[PybuildError, ...]


class Frontend(Protocol):
    """Turns source text into a definition."""

    def convert(self, request: FrontendRequest, bridge: Bridge) -> FrontendResult:
        """Pure apart from ``bridge``. Raises PybuildError with a location; SeveralErrors holds several."""

    def check(self, request: FrontendRequest, bridge: Bridge) -> CheckResult:
        """Without a target, of all stages. Raises Cancelled."""
