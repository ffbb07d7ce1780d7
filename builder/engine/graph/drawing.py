"""What there is to see of a build or an image: steps, what they read, layers, times, sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.reference import InvalidReference, Reference
from builder.engine.assemble import Engine
from builder.engine.history.profile import ProfileLine, profile
from builder.engine.history.record import BuildRecord, StepRecord
from builder.engine.history.shelf import BuildNotFound, BuildShelf, is_age
from builder.engine.imagelist import config_of
from builder.engine.layersizes import layer_size
from builder.store.interface import Image

_LABEL = re.compile(r"\[(?:(?P<stage>[^\]]*?) ?)??(?P<number>\d+/\d+)?\] (?P<rest>.*)", re.DOTALL)


class NothingToDraw(PybuildError):
    """A name is that of no build and of no image."""

    kind = Kind.NOT_FOUND
    code = "nothing-to-draw"


class DrawnLayer(NamedTuple):
    """What an image has of a step."""

    number: int  # the lowest is 1
    size: int  # bytes, uncompressed where that is known
    diff_id: str  # "": not computed yet


@dataclass(frozen=True, slots=True)
class DrawnStep:
    """One step: what is recorded of it, and what the store adds."""

    record: StepRecord
    status: str  # the record's, or "image": nothing is recorded of it
    stage: str  # "": it has no name
    number: str  # "2/5"; "": it is not counted
    name: str  # the name without these
    written: int | None = None
    saved_s: float | None = None
    is_critical: bool = False
    layers: tuple[DrawnLayer, ...] = ()

    @property
    def label(self) -> str:
        """What others call it by: ``build 2/5``."""
        return f"{self.stage} {self.number}".strip() if self.number else self.name


@dataclass(frozen=True, slots=True)
class Drawing:
    """Steps in an order in which none comes before its inputs; the build is None where none is recorded."""

    title: str
    image: str | None
    build: BuildRecord | None
    steps: tuple[DrawnStep, ...]
    saved_s: float = 0.0


def draw(engine: Engine, name: str) -> Drawing:
    """By the name of an image, else of a build, else by an image's id. Raises NothingToDraw, BuildAmbiguous.

    An image may be called like the beginning of an id; ``latest`` is the latest build.
    """
    shelf = BuildShelf(engine.database, engine.state)
    image = None if is_age(name) else _named(engine, name)
    if image is None:
        try:
            return _of_build(engine, shelf.find(name))
        except BuildNotFound:
            pass
        try:
            image = engine.images.find(name)
        except PybuildError as error:
            if error.kind not in (Kind.NOT_FOUND, Kind.INVALID):
                raise
            raise NothingToDraw(
                f'"{name}" is neither a build nor an image',
                hint="see `pybuild builds ls` and `pybuild images`",
            ) from error
    made = next((record for record in shelf.all() if record.image == str(image.id) and record.steps), None)
    return _of_image(engine, image) if made is None else _of_build(engine, made)


def _named(engine: Engine, name: str) -> Image | None:
    try:
        return engine.images.by_reference(Reference.parse(name))
    except InvalidReference:
        return None


def _of_build(engine: Engine, record: BuildRecord) -> Drawing:
    found = profile(engine, record)
    shares: dict[str, tuple[DrawnLayer, ...]] = {}
    for image in reversed(_images(engine, record)):
        shares.update(_shares(found.lines, _layers(engine, image)))
    steps = []
    for line in found.lines:
        stage, number, name = name_parts(line.step.name)
        steps.append(
            DrawnStep(
                record=line.step,
                status=line.step.status,
                stage=stage,
                number=number,
                name=name,
                written=line.written,
                saved_s=line.saved_s,
                is_critical=line.is_critical,
                layers=shares.get(line.step.digest, ()),
            )
        )
    title = Reference.parse(record.tags[0]).familiar() if record.tags else record.context
    return Drawing(title, record.image, found.record, tuple(steps), found.saved_s)


def _images(engine: Engine, record: BuildRecord) -> list[Image]:
    """What the build made and is still there: the image that stands for it, and those of other platforms."""
    main = engine.images.get(Digest.parse(record.image)) if record.image else None
    images = [] if main is None else [main]
    for tag in record.tags:
        parts = engine.images.platforms_of(Reference.parse(tag))
        if main in parts:
            images += [part for part in parts if part not in images]
    return images


def _shares(
    lines: Sequence[ProfileLine], layers: Mapping[str, DrawnLayer]
) -> Mapping[str, tuple[DrawnLayer, ...]]:
    """The layers that each step brought: those above what a lower step has, as a base image has several."""
    in_order = list(layers.values())
    tops = {
        line.step.digest: layer.number
        for line in lines
        if (layer := layers.get(line.step.result or "")) is not None
    }
    shares = {}
    below = 0
    for digest, top in sorted(tops.items(), key=lambda item: item[1]):
        shares[digest] = tuple(in_order[below:top])
        below = top
    return shares


def _of_image(engine: Engine, image: Image) -> Drawing:
    """Of its history alone."""
    chain = engine.snapshots.chain(image.snapshot)
    layers = iter(_layers(engine, image).values())
    snapshots = iter(chain)
    steps: list[DrawnStep] = []
    for index, entry in enumerate(config_of(engine, image).history):
        has_layer = not entry.is_empty_layer
        snapshot = next(snapshots, None) if has_layer else None
        layer = next(layers, None) if has_layer else None
        record = StepRecord(
            digest=f"history-{index}",
            name=entry.created_by,
            inputs=(f"history-{index - 1}",) if index else (),
            text=entry.created_by,
            result=snapshot.name if snapshot else None,
        )
        steps.append(
            DrawnStep(record, "image", "", "", _said(entry.created_by), layers=(layer,) if layer else ())
        )
    names = engine.images.names_of(image.id)
    title = Reference.parse(names[0]).familiar() if names else image.id.short
    return Drawing(title, str(image.id), None, tuple(steps))


def _layers(engine: Engine, image: Image) -> Mapping[str, DrawnLayer]:
    """By the snapshot that the steps know; lowest first."""
    found = {}
    for number, snapshot in enumerate(engine.snapshots.chain(image.snapshot), start=1):
        diff_id = str(snapshot.diff_id) if snapshot.diff_id else ""
        size = layer_size(engine, snapshot)
        found[snapshot.clamp_of or snapshot.name] = DrawnLayer(number, size, diff_id)
    return found


def name_parts(name: str) -> tuple[str, str, str]:
    """Of a step's name: its stage, its number, and what it does."""
    found = _LABEL.fullmatch(name)
    if found is None:
        return "", "", name
    return (found["stage"] or "").strip(), found["number"] or "", found["rest"]


def _said(created_by: str) -> str:
    """An entry of a history without what builders put around it."""
    text = created_by.removesuffix(" # buildkit")
    return text.removeprefix("/bin/sh -c #(nop) ").removeprefix("/bin/sh -c ").strip() or "(nothing is said)"
