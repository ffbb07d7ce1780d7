"""`pull`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli.content_trust import DisableContentTrust, refuse_content_trust
from builder.cli.context import opened, rendered
from builder.cli.platforms import wanted_platform
from builder.core.platform import Platform
from builder.core.reference import Reference

if TYPE_CHECKING:
    from builder.engine.pull import Pulled


def pull(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="IMAGE...")],
    all_tags: Annotated[
        bool, typer.Option("-a", "--all-tags", help="Every tag that the registry has of the repository.")
    ] = False,
    platform: Annotated[
        str | None, typer.Option("--platform", metavar="OS/ARCH", help="Another platform's image.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only names.")] = False,
    disable_content_trust: DisableContentTrust = True,
) -> None:
    """Fetch images from a registry."""
    from builder.engine.pull import pull as pull_image

    refuse_content_trust(is_disabled=disable_content_trust)
    wanted = wanted_platform(platform, os.environ) or Platform.host()
    with rendered("quiet" if quiet else "auto") as renderer, opened(context, renderer) as engine:
        pulled = [(name, pull_image(engine, name, wanted, all_tags=all_tags)) for name in names]
    for name, images in pulled:
        whole = Reference.parse(name)
        if not all_tags:
            whole = whole.with_default_tag()
        if not quiet:
            _say(images, whole.familiar())
        print(whole)


def _say(images: list[Pulled], name: str) -> None:
    """As Docker tells it: what each tag is, and whether anything is new."""
    for image in images:
        reference = image.reference
        shown = reference.tag if reference.digest is None else str(reference)
        print(f"{shown}: Pulling from {reference.path}")
        print(f"Digest: {image.digest}")
    is_new = any(image.is_new for image in images)
    print(f"Status: {'Downloaded newer image' if is_new else 'Image is up to date'} for {name}")
