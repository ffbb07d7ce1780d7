"""What there is to know of images: lists with filters, all about one, and its history."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from builder.core.digest import Digest
from builder.core.image import History, ImageConfig
from builder.core.reference import Reference
from builder.core.times import moment, rfc3339
from builder.engine.assemble import Engine
from builder.engine.filters import InvalidFilter
from builder.engine.layersizes import image_size, layer_size
from builder.store.interface import Image

_FILTERS = ("before", "dangling", "label", "reference", "since", "until")
_TRUE, _FALSE = ("1", "true", "True", "TRUE", "t", "T"), ("0", "false", "False", "FALSE", "f", "F")
_NEVER = "0001-01-01T00:00:00Z"  # Go's zero time


class ListedImage(NamedTuple):
    """One line of `images`: a name and what it stands for; no name is a dangling image."""

    repository: str
    tag: str
    digest: str
    id: Digest
    created: str  # RFC 3339
    size: int  # bytes of the files of all layers


class HistoryLine(NamedTuple):
    """One line of `history`, newest first."""

    image: Digest | None
    entry: History
    size: int


class _Known(NamedTuple):
    image: Image
    config: ImageConfig
    tags: list[str]  # familiar names
    digests: list[str]  # familiar names with digests


def config_of(engine: Engine, image: Image) -> ImageConfig:
    """Of an image of the store."""
    return ImageConfig.from_json(engine.content.read(image.id))


def list_images(
    engine: Engine, filters: Sequence[str] = (), *, has_digests: bool = False, has_parts: bool = False
) -> list[ListedImage]:
    """Newest first, a line per name; with digests, one for each digest of it. Raises InvalidFilter.

    Of an index there is the image that its name stands for here, with ``has_parts`` the others too.
    """
    parts = {} if has_parts else engine.images.parts()
    known = [_known(engine, image) for image in engine.images.all()]
    known = [each for each in known if each.tags or each.digests or each.image.id not in parts]
    found = sorted(_filtered(engine, known, filters), key=lambda each: each.config.created, reverse=True)
    return [line for each in found for line in _lines(engine, each, has_digests=has_digests)]


def inspect_image(engine: Engine, name: str) -> dict[str, Any]:
    """In the shape of `docker image inspect`."""
    image = engine.images.find(name)
    known = _known(engine, image)
    config = known.config
    tagged_at = engine.images.tagged_at(image.id)
    document = {
        "Id": str(image.id),
        "RepoTags": known.tags,
        "RepoDigests": known.digests,
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created,
        "DockerVersion": str(config.extra_root.get("docker_version", "")),
        "Author": config.author,
        "Config": _described(json.loads(config.to_json())["config"]),
        "Architecture": config.platform.architecture,
        "Variant": config.platform.variant,
        "Os": config.platform.os,
        "Size": image_size(engine, image),
        "GraphDriver": {"Data": None, "Name": "overlayfs"},
        "RootFS": {"Type": "layers", "Layers": [str(d) for d in config.diff_ids]},
        "Metadata": {"LastTagTime": _NEVER if tagged_at is None else rfc3339(tagged_at)},
    }
    if not config.platform.variant:
        del document["Variant"]
    if not config.created:
        del document["Created"]
    if not config.diff_ids:
        document["RootFS"] = {"Type": "layers"}
    return document


def image_history(engine: Engine, name: str) -> list[HistoryLine]:
    """Newest first, as `docker history` shows it."""
    image = engine.images.find(name)
    chain = iter(engine.snapshots.chain(image.snapshot))
    lines = []
    for entry in config_of(engine, image).history:
        snapshot = None if entry.is_empty_layer else next(chain, None)
        lines.append(HistoryLine(None, entry, layer_size(engine, snapshot) if snapshot else 0))
    if lines:
        lines[-1] = lines[-1]._replace(image=image.id)
    return lines[::-1]


def _described(config: dict[str, Any]) -> dict[str, Any]:
    """All that Docker's document has, also where the image says nothing of it."""
    known: dict[str, Any] = {
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False,
        "AttachStderr": False, "ExposedPorts": None, "Tty": False, "OpenStdin": False, "StdinOnce": False,
        "Env": None, "Cmd": None, "Healthcheck": None, "ArgsEscaped": None, "Image": "", "Volumes": None,
        "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": None,
    }  # fmt: skip
    left_out = ("ExposedPorts", "Healthcheck", "ArgsEscaped")
    whole = {**known, **config}
    return {key: value for key, value in whole.items() if value is not None or key not in left_out}


def _known(engine: Engine, image: Image) -> _Known:
    return _Known(
        image,
        config_of(engine, image),
        [Reference.parse(name).familiar() for name in engine.images.names_of(image.id)],
        [
            f"{Reference.parse(repository).familiar()}@{digest}"
            for repository, digest in engine.images.manifests_of(image.id)
        ],
    )


def _lines(engine: Engine, known: _Known, *, has_digests: bool) -> list[ListedImage]:
    def line(repository: str, tag: str, digest: str) -> ListedImage:
        return ListedImage(repository, tag, digest, known.image.id, known.config.created, size)

    size, none = image_size(engine, known.image), "<none>"
    digests: dict[str, list[str]] = {}
    for name in known.digests:
        repository, _, digest = name.partition("@")
        digests.setdefault(repository, []).append(digest)
    lines, tagged = [], set()
    for name in known.tags:
        repository, _, tag = name.rpartition(":")
        tagged.add(repository)
        of_it = digests.get(repository) if has_digests else None
        lines += [line(repository, tag, digest) for digest in of_it or [none]]
    for repository, of_it in digests.items():
        if repository not in tagged:
            lines += [line(repository, none, digest) for digest in (of_it if has_digests else [none])]
    return lines or [line(none, none, none)]


def _filtered(engine: Engine, images: list[_Known], filters: Sequence[str]) -> list[_Known]:
    """Those that fit every kind of filter; of patterns and labels: any pattern, all labels."""
    patterns = []
    for text in filters:
        name, equals, value = text.partition("=")
        name = name.strip().lower()
        if not equals:
            raise InvalidFilter(f'--filter cannot be "{text}"', hint="write it as name=value")
        match name:
            case "reference":
                patterns.append(value)
            case "dangling":
                if value not in (*_TRUE, *_FALSE):
                    raise InvalidFilter(f'--filter "{text}" is neither true nor false')
                is_wanted = value in _TRUE
                images = [each for each in images if is_wanted != bool(each.tags or each.digests)]
            case "label":
                key, has_value, wanted = value.partition("=")
                images = [
                    each for each in images
                    if key in each.config.labels and (not has_value or each.config.labels[key] == wanted)
                ]  # fmt: skip
            case "before" | "since":
                created = config_of(engine, engine.images.find(value)).created
                images = [
                    each for each in images
                    if (each.config.created < created if name == "before" else each.config.created > created)
                ]  # fmt: skip
            case "until":
                limit = moment(value, time.time())
                if limit is None:
                    raise InvalidFilter(
                        f'--filter "{text}" is no time', hint="write until=24h, a date, or seconds since 1970"
                    )
                images = [each for each in images if each.config.created < rfc3339(limit)]
            case _:
                raise InvalidFilter(f'there is no filter "{name}"', hint=f"there are {', '.join(_FILTERS)}")
    if not patterns:
        return images
    compiled = [_pattern(text) for text in patterns]

    def fits(name: str) -> bool:
        separator = "@" if "@" in name else ":"
        repository = name.rpartition(separator)[0] if separator == ":" else name.partition("@")[0]
        return any(pattern.fullmatch(name) or pattern.fullmatch(repository) for pattern in compiled)

    matched = [
        each._replace(tags=[n for n in each.tags if fits(n)], digests=[n for n in each.digests if fits(n)])
        for each in images
    ]
    return [each for each in matched if each.tags or each.digests]


def _pattern(text: str) -> re.Pattern[str]:
    """Go's path.Match: ``*`` and ``?`` stop at slashes. Raises InvalidFilter."""
    parts, at = [], 0
    while at < len(text):
        letter = text[at]
        at += 1
        if letter == "*":
            parts.append("[^/]*")
        elif letter == "?":
            parts.append("[^/]")
        elif letter == "[":
            end = text.find("]", at + 1)
            if end < 0:
                raise InvalidFilter(f'"{text}" is no pattern: [ without ]')
            inside = text[at:end].replace("\\", "\\\\")
            parts.append(f"[{inside}]")
            at = end + 1
        elif letter == "\\" and at < len(text):
            parts.append(re.escape(text[at]))
            at += 1
        else:
            parts.append(re.escape(letter))
    try:
        return re.compile("".join(parts))
    except re.error as error:
        raise InvalidFilter(f'"{text}" is no pattern: {error}') from error
