"""What the conversion of one Dockerfile shares: request, graph, images, warnings, expansion."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from builder.core.errors import Kind, PybuildError
from builder.core.events import Warned
from builder.core.location import Location
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.core.suggest import closest
from builder.core.weburl import all_shown
from builder.frontend.dockerfile import rules
from builder.frontend.dockerfile.lint import Linter
from builder.frontend.dockerfile.node import Word
from builder.frontend.dockerfile.words import Expansion, Mode, expand, expand_words
from builder.frontend.interface import (
    NO_CONTEXT,
    Bridge,
    ContextSource,
    FrontendRequest,
    ResolvedImage,
    context_name,
)
from builder.llb.definition import Definition, DefinitionBuilder, Edge, Vertex
from builder.llb.ops import CopyAction, FileOp, SourceOp

# A shell's parameters ($1, $@) are empty here and no mistake that a declaration would mend.
_DECLARABLE = re.compile(r"[^\W\d]\w*")


OCI_LAYOUT = "oci-layout://"


class NoContext(PybuildError):
    """COPY from a build context, of a build that has none."""

    kind = Kind.NOT_FOUND
    code = "no-context"


class Scope:
    """One conversion; not thread-safe."""

    def __init__(self, request: FrontendRequest, bridge: Bridge, *, escape: str, linter: Linter) -> None:
        self.request = request
        self.linter = linter
        self.graph = DefinitionBuilder()
        self.mode = Mode(escape=escape)
        self.declared: set[str] = set()  # the names of every ARG
        self.globals: Collection[str] = ()  # the names above the first FROM, for suggestions
        self.valueless: Collection[str] = ()  # the ARGs of the stage at hand: unset, and not by mistake
        self.epoch_s: int | None = None  # SOURCE_DATE_EPOCH
        self._bridge = bridge
        self._images: dict[tuple[str, Platform], ResolvedImage] = {}

    @property
    def warnings(self) -> tuple[Warned, ...]:
        return self.linter.warnings

    def warn(self, message: str, hint: str | None, location: Location | None) -> None:
        """Once, however often it is said."""
        self.linter.warn(message, hint, location)

    def expand(self, word: Word, env: Mapping[str, str], mode: Mode | None = None) -> str:
        """The word's value; warns of names that are not set. Raises InvalidExpansion."""
        try:
            text, unset = expand(word.text, env, mode or self.mode)
        except PybuildError as error:
            raise error.at(word.location) from None
        self._warn_of_unset(unset, env, word.location)
        return text

    def expand_words(self, word: Word, env: Mapping[str, str]) -> tuple[str, ...]:
        """As ``expand``, split at blanks."""
        try:
            words, unset = expand_words(word.text, env, self.mode)
        except PybuildError as error:
            raise error.at(word.location) from None
        self._warn_of_unset(unset, env, word.location)
        return words

    def shown(self, text: str, env: Mapping[str, str], *, is_run: bool) -> str:
        """An instruction for the progress display; whatever cannot be expanded stays."""
        mode = self.mode._replace(keeps_quotes=is_run, keeps_unset=is_run)
        try:
            expansion = expand(text, env, mode)
        except PybuildError:
            expansion = Expansion(text)
        text = expansion.text if is_run else all_shown(expansion.text)
        keyword, blank, rest = text.partition(" ")
        return keyword.upper() + blank + rest

    def resolve(self, text: str, platform: Platform, location: Location) -> ResolvedImage:
        """Asks the bridge once for each image."""
        key = (text, platform)
        if key not in self._images:
            try:
                self._images[key] = self._bridge.resolve_image(text, platform)
            except PybuildError as error:
                raise error.at(location) from None
        return self._images[key]

    def image(self, image: ResolvedImage, platform: Platform, name: str, location: Location) -> Edge:
        """Pinned: the same definition for as long as the name means the same."""
        if image.reference.startswith(OCI_LAYOUT):
            identifier = f"{image.reference}@{image.digest}"
        else:
            identifier = f"docker-image://{Reference.parse(image.reference).with_digest(image.digest)}"
        op = SourceOp(identifier=identifier)
        return self.graph.add(Vertex(op=op, platform=platform, name=name, location=location))

    def context(self, location: Location | None = None) -> Edge:
        """The build context, one vertex for all who read it. Raises NoContext."""
        context = self.request.context
        if context is not None:
            if context.tree is None:
                raise NoContext(
                    "there is no build context to copy from",
                    hint="the build got a Dockerfile alone; give it a folder, or a tar archive of one",
                    location=location,
                )
            return self.tree(context.tree)
        name = "[internal] load build context"
        return self.graph.add(Vertex(op=SourceOp(identifier="local://context"), name=name))

    def context_or_nothing(self) -> Edge:
        """For mounts: without a context they show an empty tree, as in Docker."""
        return self.nothing() if self.request.context == NO_CONTEXT else self.context()

    @property
    def context_keeps_owner(self) -> bool:
        """Whether what is copied from the context keeps its owners."""
        return self.request.context is not None and self.request.context.keeps_owner

    def tree(self, definition: Definition) -> Edge:
        """A tree that the request brings along."""
        for _, vertex in definition:
            self.graph.add(vertex)
        assert definition.target is not None, "a tree has a vertex"
        return definition.target

    def copied(self, definition: Definition, what: str, location: Location) -> Edge:
        """The same as a tree of the store, whose files belong to root."""
        action = CopyAction(input=0, source="/", destination="/", allows_wildcards=False)
        vertex = Vertex(
            op=FileOp(actions=(action,), base=-1),
            inputs=(self.tree(definition),),
            name=f"[internal] copy {what}",
            location=location,
        )
        return self.graph.add(vertex)

    def named_context(self, name: str) -> ContextSource | None:
        """What --build-context says that a name stands for."""
        contexts = self.request.named_contexts
        return contexts.get(context_name(name)) if contexts else None

    def nothing(self) -> Edge:
        """An empty tree, where a vertex must stand for it."""
        return self.graph.add(Vertex(op=FileOp(actions=(), base=-1), name="[internal] empty tree"))

    def expand_base(self, word: Word, env: Mapping[str, str], declared: Collection[str]) -> str:
        """As ``expand``, for a FROM: only what is declared above the first one is there."""
        try:
            text, unset = expand(word.text, env, self.mode)
        except PybuildError as error:
            raise error.at(word.location) from None
        for name in unset:
            if name not in declared and _DECLARABLE.fullmatch(name):
                near = closest(name, (*declared, *env))
                self.linter.report(
                    rules.UNDEFINED_ARG_IN_FROM,
                    f'FROM uses "${name}", which is not declared',
                    word.location,
                    hint=f'did you mean "{near}"?' if near is not None else None,
                )
        return text

    def _warn_of_unset(self, names: Iterable[str], env: Mapping[str, str], location: Location) -> None:
        for name in names:
            if name not in self.valueless and _DECLARABLE.fullmatch(name):
                near = closest(name, (*env, *self.globals))
                self.linter.report(
                    rules.UNDEFINED_VAR,
                    f'usage of undefined variable "${name}"',
                    location,
                    hint=f'did you mean "{near}"?'
                    if near is not None
                    else f"declare it with ARG, or write ${{{name}:-default}}",
                )


def check_reference(text: str, location: Location | None) -> None:
    """Raises InvalidReference."""
    try:
        Reference.parse(text)
    except PybuildError as error:
        raise error.at(location) from None
