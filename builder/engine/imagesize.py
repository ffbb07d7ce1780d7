"""`size`: what each step of an image added to it, and what of that is for nothing."""

from __future__ import annotations

from dataclasses import dataclass

from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.engine.assemble import Engine
from builder.engine.imagelist import config_of
from builder.fs.tally import LayerTally, Tally


class ImageTooLarge(PybuildError):
    """An image, or what is wasted in it, is larger than it may be."""

    kind = Kind.FAILED
    code = "image-too-large"


@dataclass(frozen=True, slots=True)
class SizedStep:
    """A step that made a layer."""

    layer: int  # the lowest is 1
    created_by: str  # in the history's words
    tally: LayerTally


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """In bytes of files, as they are on a disk without compression."""

    image: Digest
    steps: tuple[SizedStep, ...]
    visible: int  # of the files that a container sees

    @property
    def size(self) -> int:
        """Of all layers."""
        return sum(step.tally.size for step in self.steps)

    @property
    def wasted(self) -> int:
        """Of files that a later layer hides."""
        return sum(step.tally.wasted for step in self.steps)


def image_sizes(engine: Engine, name: str, *, top: int) -> ImageSizes:
    """Fetches and unpacks what is not there yet. Raises ImageNotFound, InvalidReference."""
    image = engine.images.find(name)
    engine.bring_layers(image.snapshot)
    made = [entry.created_by for entry in config_of(engine, image).history if not entry.is_empty_layer]
    tally = Tally(top=top)
    steps = []
    for number, snapshot in enumerate(engine.snapshots.chain(image.snapshot), start=1):
        engine.snapshots.lowers(snapshot.name)  # has it unpacked
        said = made[number - 1] if number <= len(made) else ""
        steps.append(SizedStep(number, said, tally.add(engine.snapshots.directory(snapshot.name))))
    return ImageSizes(image.id, tuple(steps), tally.size)


def check_sizes(sizes: ImageSizes, *, most: int | None, most_wasted: int | None) -> None:
    """Limits in bytes; None is no limit. Raises ImageTooLarge, of the first that is passed."""
    if most is not None and sizes.size > most:
        largest = max(sizes.steps, key=lambda step: step.tally.size)
        raise ImageTooLarge(
            f"the image has {sizes.size} bytes of files, {sizes.size - most} more than --max-size says",
            hint=f'most of them come from layer {largest.layer}: "{largest.created_by}"',
        )
    if most_wasted is not None and sizes.wasted > most_wasted:
        worst = max(sizes.steps, key=lambda step: step.tally.wasted)
        raise ImageTooLarge(
            f"the image wastes {sizes.wasted} bytes, {sizes.wasted - most_wasted} more than --max-waste says",
            hint=f'layer {worst.layer} hides most of them: "{worst.created_by}"',
        )
