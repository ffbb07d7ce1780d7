"""`tag`, `rmi`, `image prune`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from builder.cli.context import opened
from builder.cli.image import raise_all
from builder.core.errors import Kind, PybuildError

Force = Annotated[bool, typer.Option("-f", "--force", help="Ask nothing.")]


def tag(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="IMAGE")],
    target: Annotated[str, typer.Argument(metavar="NEW_NAME")],
) -> None:
    """Give an image another name."""
    from builder.engine.imageremove import tag as tag_image

    with opened(context) as engine:
        tag_image(engine, source, target)


def rmi(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="IMAGE...")],
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Also with several names, or used by a container.")
    ] = False,
    no_prune: Annotated[
        bool, typer.Option("--no-prune", help="No effect: an image has no untagged parents here.")
    ] = False,
) -> None:
    """Remove images."""
    from builder.engine.imageremove import remove_image

    failed: list[PybuildError] = []
    with opened(context) as engine:
        for name in names:
            try:
                removed = remove_image(engine, name, is_forced=force)
            except PybuildError as error:
                if force and error.kind is Kind.NOT_FOUND:
                    print(error.message, file=sys.stderr)
                else:
                    failed.append(error)
                continue
            for untagged in removed.untagged:
                print(f"Untagged: {untagged}")
            for deleted in removed.deleted:
                print(f"Deleted: {deleted}")
    raise_all(failed)


def image_prune(
    context: typer.Context,
    all: Annotated[bool, typer.Option("-a", "--all", help="Also images with a name.")] = False,
    force: Force = False,
) -> None:
    """Remove images that have no name and that no container uses."""
    from builder.engine.imageremove import prune_images

    what = "all images without at least one container" if all else "all dangling images"
    if not force:
        print(
            f"WARNING! This will remove {what}.\nAre you sure you want to continue? [y/N] ",
            end="",
            flush=True,
        )
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return
    with opened(context) as engine:
        removed = prune_images(engine, includes_tagged=all)
    if removed:
        print("Deleted Images:")
    for each in removed:
        for name in each.untagged:
            print(f"untagged: {name}")
        for deleted in each.deleted:
            print(f"deleted: {deleted}")
