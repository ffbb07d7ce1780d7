"""`import`, `export`, `squash`: images from trees and trees from images."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

from builder.core.descriptor import OCI_LAYER, Descriptor
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.image import History, ImageConfig
from builder.core.platform import Platform
from builder.core.reference import InvalidReference, Reference
from builder.core.times import rfc3339
from builder.core.weburl import is_http
from builder.engine.assemble import Engine
from builder.engine.imagelist import config_of
from builder.engine.layersizes import layer_size
from builder.exporter.image import finish_image
from builder.exporter.layers import Layers
from builder.fs.compression import open_decompressed
from builder.fs.diff import write_layer
from builder.fs.flatten import flatten
from builder.fs.replace import replacing
from builder.fs.squash import squash as squash_uppers
from builder.runtime.containers import ContainerNotFound, ContainerStore
from builder.source.image import register_layers
from builder.store.interface import ImageNotFound
from builder.store.state import remove_tree

_CHANGES = (
    "cmd", "entrypoint", "env", "expose", "healthcheck", "label", "onbuild", "stopsignal", "user", "volume",
    "workdir",
)  # fmt: skip
_MAX_DOWNLOAD = 32 << 30  # bytes


class InvalidChange(PybuildError):
    """`--change` holds what cannot be said of an imported image."""

    kind = Kind.INVALID
    code = "invalid-change"


class NoSuchLayer(PybuildError):
    """`squash --from` names no layer of the image."""

    kind = Kind.NOT_FOUND
    code = "no-such-layer"


class Squashed(NamedTuple):
    """The new image, how many layers became one, and their bytes before and after."""

    image: Digest
    layers: int
    size_before: int
    size: int


def import_image(
    engine: Engine,
    origin: str,
    name: str | None,
    *,
    changes: Sequence[str],
    message: str,
    platform: Platform,
) -> Digest:
    """An image of one layer from a tar: a file, an address, or "-" for standard input; the image's id."""
    reference = Reference.parse(name).with_default_tag() if name else None
    if reference is not None and reference.digest is not None:
        raise InvalidReference(str(name), "a tag cannot hold a digest", hint="leave out @sha256:…")
    config = _changed(changes, platform)
    with _opened(engine, origin) as stream, engine.content.writer() as writer:
        with open_decompressed(stream) as plain:
            while data := plain.read(1 << 20):
                writer.write(data)
        diff_id, size = writer.commit()
    created = rfc3339(time.time())
    shown = origin if is_http(origin) else "-"
    entry = History(created=created, comment=message or f"Imported from {shown}")
    config = replace(config, created=created, diff_ids=(diff_id,), history=(entry,))
    layer = Descriptor(media_type=OCI_LAYER, digest=diff_id, size=size)
    top = register_layers(engine.snapshots, config, [layer], origin="")
    engine.snapshots.lowers(top)  # unpacked now: what is no tar, or a hostile one, is no image
    image = engine.content.put(config.to_json())
    with engine.database.transaction():
        engine.images.add(image, top, created_at=time.time())
        if reference is not None:
            engine.images.tag(reference, image)
    return image


def export_tree(engine: Engine, name: str, output: Path | None) -> None:
    """The files of a container or image as a tar, to a file or to standard output."""
    store = ContainerStore(engine.state, engine.database)
    try:
        container = store.find(name)
    except ContainerNotFound:
        image = engine.images.find(name)
        engine.bring_layers(image.snapshot)
        lowers = engine.snapshots.lowers(image.snapshot)
    else:
        upper = store.directory(container) / "upper"
        lowers = [*([str(upper)] if upper.is_dir() else []), *engine.snapshots.lowers(container.snapshot)]
    write_tree(engine, lowers, output)


def write_tree(engine: Engine, lowers: Sequence[str], output: Path | None) -> None:
    """What a stack of directories shows, as a tar, to a file or to standard output."""
    with flat_tree(engine, lowers) as flat:
        if output is None:
            write_layer(flat, sys.stdout.buffer.write)
            return
        with replacing(output) as file:
            write_layer(flat, file.write)


@contextmanager
def flat_tree(engine: Engine, lowers: Sequence[str]) -> Iterator[str]:
    """One directory that shows what a stack of them does, for reading; its files are the store's own."""
    flat = engine.state.scratch / engine.state.new_name()
    os.mkdir(flat, 0o755)
    try:
        if lowers:
            flatten(lowers, str(flat))
        yield str(flat)
    finally:
        remove_tree(flat)


def squash(engine: Engine, name: str, *, keep: str | None, tags: Sequence[str]) -> Squashed:
    """An image whose layers above those that are kept are one; ``keep`` None: of all of them."""
    references = [Reference.parse(tag).with_default_tag() for tag in tags]
    image = engine.images.find(name)
    config = config_of(engine, image)
    engine.bring_layers(image.snapshot)
    chain = engine.snapshots.chain(image.snapshot)
    kept = _kept(engine, config, keep)
    if len(chain) - kept < 1:
        raise NoSuchLayer(f'image "{name}" has no layer above those that are kept')
    base = chain[kept - 1].name if kept else ""
    engine.snapshots.lowers(image.snapshot)
    uppers = list(dict.fromkeys(engine.snapshots.directory(each.name) for each in reversed(chain[kept:])))
    active = engine.snapshots.prepare(base)
    try:
        squash_uppers(uppers, str(active.upper))
        snapshot = engine.snapshots.commit(active, created_at=time.time())
    finally:
        engine.snapshots.discard(active)
    config = replace(config, history=_history(config, kept, len(chain) - kept, image.id), diff_ids=())
    with Layers(engine.snapshots, engine.content) as layers:
        squashed = engine.content.put(finish_image(config, engine.snapshots.chain(snapshot.name), layers))
    with engine.database.transaction():
        engine.images.add(squashed, snapshot.name, created_at=time.time())
        for reference in references:
            engine.images.tag(reference, squashed)
    before = sum(layer_size(engine, each) for each in chain[kept:])
    return Squashed(squashed, len(chain) - kept, before, layer_size(engine, snapshot))


def _kept(engine: Engine, config: ImageConfig, keep: str | None) -> int:
    """A number of layers, the topmost of them by its diff ID, or an image that this one is built on."""
    if keep is None:
        return 0
    if keep.isascii() and keep.isdigit() and len(keep) < 4:
        return int(keep)
    for index, diff_id in enumerate(config.diff_ids):
        if len(keep) >= 12 and diff_id.hex.startswith(keep.removeprefix("sha256:")):
            return index + 1
    try:
        base = config_of(engine, engine.images.find(keep))
    except ImageNotFound:
        raise NoSuchLayer(
            f'"{keep}" is neither a layer of the image, nor an image',
            hint="`pybuild inspect` lists its layers",
        ) from None
    count = len(base.diff_ids)
    if base.diff_ids != config.diff_ids[:count]:
        raise NoSuchLayer(f'the image is not built on "{keep}"', hint="give the base that it was built on")
    return count


def _history(config: ImageConfig, kept: int, count: int, id: Digest) -> tuple[History, ...]:
    """What made the layers is told still; the one that is left has an entry of its own."""
    told, layers = [], 0
    for entry in config.history:
        layers += not entry.is_empty_layer
        told.append(replace(entry, is_empty_layer=entry.is_empty_layer or layers > kept))
    last = History(created_by="pybuild squash", comment=f"{count} layers of {id} in one")
    return (*told, last)


@contextmanager
def _opened(engine: Engine, origin: str) -> Iterator[BinaryIO]:
    if origin == "-":
        yield sys.stdin.buffer
        return
    path = Path(origin)
    if is_http(origin):
        path = engine.state.scratch / engine.state.new_name()
        with open(path, "wb") as file:

            def begin() -> object:
                file.seek(0)
                file.truncate()
                return file.write

            engine.web().get(origin, {}, begin, limit=_MAX_DOWNLOAD, cancel=engine.job.cancel)  # type: ignore[arg-type]  # a file's write
    with open(path, "rb") as archive:
        yield archive


class _NoImages:
    def resolve_image(self, reference: str, platform: Platform) -> NoReturn:
        raise AssertionError("an imported image has no base")


def _changed(changes: Sequence[str], platform: Platform) -> ImageConfig:
    """The description that a Dockerfile of these lines alone would give."""
    from builder.frontend.dockerfile.convert import DockerfileFrontend
    from builder.frontend.dockerfile.stage_state import DEFAULT_PATH
    from builder.frontend.interface import FrontendRequest

    for change in changes:
        keyword = change.split(maxsplit=1)[0].lower() if change.strip() else ""
        if keyword not in _CHANGES or "\n" in change or "<<" in change:
            raise InvalidChange(
                f'--change "{change}" is not possible',
                hint=f"it is one line of {', '.join(each.upper() for each in _CHANGES)}",
            )
    source = "\n".join(("FROM scratch", *changes)).encode("utf-8", "surrogateescape")
    request = FrontendRequest(source=source, file="--change", platform=platform)
    image = DockerfileFrontend().convert(request, _NoImages()).image
    if not any("PATH" in change for change in changes):
        # A build gives every image a PATH; an import, in Docker, does not.
        image = replace(image, env=tuple(e for e in image.env if e != f"PATH={DEFAULT_PATH}"))
    if image.working_dir == "/" and not any(change.lower().startswith("workdir") for change in changes):
        image = replace(image, working_dir="")
    return image
