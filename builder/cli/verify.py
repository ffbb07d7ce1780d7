"""`pybuild verify`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli.borrowed import own_option, take_options_of_build
from builder.cli.build import explained
from builder.cli.context import opened
from builder.cli.image import raise_all
from builder.core.errors import PybuildError
from builder.core.platform import Platform

if TYPE_CHECKING:  # --help does without
    from builder.engine.imagecompare import ImageDifference
    from builder.engine.verify import Verdict

# Options of `build` about the cache, which is not used here, and about what a build leaves, which is nothing.
_OTHERS = frozenset(
    "tags no_cache no_cache_filter quiet iidfile outputs push load metadata_file annotations check trace"
    " provenance sbom attest cache_from cache_to keep_storage cache_ttl on_fail".split()
)

Against = Annotated[
    str | None,
    typer.Option("-t", "--tag", metavar="IMAGE", help="Build once, and compare with this image."),
]


def verify(context: typer.Context, image: str | None = None, **given: Any) -> None:
    """Build twice in different surroundings, and say what differs."""
    from builder.cli.build_request import request_of
    from builder.engine.build import BuildSource
    from builder.engine.recorder import Recorder
    from builder.engine.verify import NotReproducible, Verifier

    source = BuildSource()
    request = request_of(given, Recorder(os.environ))
    platforms: list[tuple[Platform, ...]] = [(platform,) for platform in request.platforms] or [()]
    failed: list[PybuildError] = []
    with opened(context) as engine:
        for wanted in platforms:
            asked = replace(request, platforms=wanted)
            verifier = Verifier(engine, asked, lambda: Recorder(os.environ), source)

            def shown() -> AbstractContextManager[Any]:
                return explained(given["progress"], source)

            verdict = verifier.against(image, shown) if image else verifier.against_itself(shown)
            if len(platforms) > 1:
                print(f"{wanted[0]}:")
            try:
                report(verdict, image)
            except NotReproducible as error:
                failed.append(error)
    raise_all(failed)


def report(verdict: Verdict, image: str | None) -> None:
    """Print the verdict. Raises NotReproducible."""
    from builder.engine.verify import NotReproducible

    difference = verdict.difference
    if difference.is_none:
        print(f"identical: {difference.first}, {_dates(verdict)}")
        return
    sides = (f'image "{image}"', "the new build") if image else ("the first build", "the second build")
    for line in described(difference, sides):
        print(line)
    raise NotReproducible(_summary(verdict, image), hint=_hint(verdict, image))


def described(difference: ImageDifference, sides: tuple[str, str]) -> list[str]:
    """What differs, a path a line below the step that made it."""
    lines = [f"different: {sides[0]} is {difference.first}, {sides[1]} is {difference.second}"]
    for layer in difference.layers:
        lines.append(f"layer {layer.number}: {layer.step}")
        lines += [f"  {_entry(entry.path, entry.what, entry.missing_from, sides)}" for entry in layer.entries]
        if layer.more:
            lines.append(f"  and {layer.more} more")
        if not layer.entries:
            lines.append("  the same files, in a tar that was written in another way")
    if difference.layer_counts[0] != difference.layer_counts[1]:
        lines.append("number of layers: {} and {}".format(*difference.layer_counts))
    if difference.config:
        lines.append(f"configuration: {', '.join(difference.config)}")
    return lines


def _entry(path: str, what: Sequence[str], missing_from: int | None, sides: tuple[str, str]) -> str:
    # A name that a step chose may hold anything, and must not write on the terminal.
    shown = path if path.isprintable() else repr(path)
    if missing_from is not None:
        return f"{shown}: missing from {sides[missing_from]}"
    return f"{shown}: {', '.join(what)}"


def _dates(verdict: Verdict) -> str:
    if verdict.epoch_s is None:
        return "with the times of the clock"
    files = " and file times set back to it" if verdict.is_rewritten else ""
    assumed = " (assumed: none was given)" if verdict.is_epoch_assumed else ""
    return f"at SOURCE_DATE_EPOCH={verdict.epoch_s}{assumed}{files}"


def _summary(verdict: Verdict, image: str | None) -> str:
    what = "only in times" if verdict.difference.is_of_times_alone else "in more than times"
    other = f'image "{image}" and a new build differ' if image else "two builds of the same differ"
    return f"{other} {what}, {_dates(verdict)}"


def _hint(verdict: Verdict, image: str | None) -> str:
    if verdict.epoch_s is None:
        return (
            "the image was built without SOURCE_DATE_EPOCH, so that times cannot agree:"
            " build it with one and with --rewrite-timestamp"
        )
    if not verdict.is_rewritten and any(
        "mtime" in entry.what for layer in verdict.difference.layers for entry in layer.entries
    ):
        return "files keep the times of their build: give --rewrite-timestamp" + (
            ", when the image is built too" if image else ""
        )
    return "make the steps named above write the same each time they run"


take_options_of_build(verify, own_option("image", Against, None), lambda name: name not in _OTHERS)
