"""Annotations of manifests and indexes, and where each of them goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from builder.core.errors import Kind, PybuildError
from builder.core.platform import Platform

TARGETS = ("manifest", "manifest-descriptor", "index", "index-descriptor")


class InvalidAnnotation(PybuildError):
    """An annotation cannot be read, or has no place to go to."""

    kind = Kind.INVALID
    code = "invalid-annotation"


class Annotation(NamedTuple):
    """``key=value`` for one kind of document, of one platform or of all."""

    target: str  # one of TARGETS
    platform: Platform | None
    key: str
    value: str


class Annotations(NamedTuple):
    """Everything that was asked for; of one key the last counts."""

    items: tuple[Annotation, ...] = ()

    def of(self, target: str, platform: Platform | None = None) -> tuple[tuple[str, str], ...]:
        """Sorted pairs for one document."""
        return tuple(
            sorted(
                {
                    item.key: item.value
                    for item in self.items
                    if item.target == target
                    and (item.platform is None or (platform is not None and item.platform.matches(platform)))
                }.items()
            )
        )

    def refuse_index(self) -> None:
        """For an image that gets no index. Raises InvalidAnnotation."""
        for item in self.items:
            if item.target.startswith("index"):
                raise InvalidAnnotation(
                    f'the {item.target} annotation "{item.key}" has no place: one platform gives no index',
                    hint="annotate the manifest, or build for several platforms",
                )


NO_ANNOTATIONS = Annotations()


def parse_annotation(text: str) -> tuple[Annotation, ...]:
    """``[TYPE[,TYPE…]:]key=value`` with ``TYPE[PLATFORM]``, as `docker buildx build --annotation` has it.

    Raises InvalidAnnotation, InvalidPlatform.
    """
    key, equals, value = text.partition("=")
    where, colon, name = key.rpartition(":")
    # Keys may hold colons, so that only known words before one are types.
    if colon and not all(_target(word) for word in _split(where)):
        if where.partition("[")[0].split(",")[0].strip() in TARGETS or "[" in where:
            raise InvalidAnnotation(
                f'annotation type "{where}" is not known', hint=f"it is one of {', '.join(TARGETS)}"
            )
        where, name = "", key
    if not name or not equals:
        raise InvalidAnnotation(f'annotation "{text}" has no value', hint="write it as KEY=VALUE")
    targets: Iterable[str] = _split(where) if where else ("manifest",)
    return tuple(annotation(target, name, value) for target in targets)


def annotation(target: str, key: str, value: str) -> Annotation:
    """``target`` as it is written: ``manifest``, ``manifest-descriptor[linux/arm64]``.

    Raises InvalidAnnotation, InvalidPlatform.
    """
    kind, bracket, platform = target.strip().partition("[")
    if kind not in TARGETS or (bracket and not platform.endswith("]")):
        raise InvalidAnnotation(
            f'annotation type "{target}" is not known', hint=f"it is one of {', '.join(TARGETS)}"
        )
    if bracket and kind.startswith("index"):
        raise InvalidAnnotation(f'"{target}": an index is of no single platform', hint=f"write {kind}")
    return Annotation(kind, Platform.parse(platform[:-1]) if bracket else None, key, value)


def _split(where: str) -> list[str]:
    return [word.strip() for word in where.split(",")]


def _target(word: str) -> bool:
    kind, bracket, rest = word.partition("[")
    return kind in TARGETS and (not bracket or rest.endswith("]"))
