"""`size`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli.build import InvalidOption
from builder.cli.context import opened
from builder.cli.render.text import counted, escape, one_line
from builder.cli.tables import align
from builder.cli.tables import size as shown

if TYPE_CHECKING:  # loaded when there is a store to ask
    from builder.engine.imagesize import ImageSizes, SizedStep

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_NAME_LENGTH = 60


def size(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="IMAGE")],
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=0, help="Name this many files of each layer.")
    ] = 3,
    max_size: Annotated[
        str | None, typer.Option("--max-size", metavar="SIZE", help="Fail if the image is larger.")
    ] = None,
    max_waste: Annotated[
        str | None,
        typer.Option("--max-waste", metavar="SIZE", help="Fail if later layers hide more of it; also 5%."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what each step added to an image, and what of that is wasted."""
    from builder.engine.imagesize import check_sizes, image_sizes

    most = None if max_size is None else _bytes("--max-size", max_size)
    with opened(context) as engine:
        sizes = image_sizes(engine, name, top=top)
    most_wasted = None if max_waste is None else _waste(max_waste, sizes.size)
    if as_json:
        print(json.dumps(_document(sizes), indent=2))
    else:
        print("\n".join(_described(sizes)))
    check_sizes(sizes, most=most, most_wasted=most_wasted)


def _described(sizes: ImageSizes) -> list[str]:
    rows = ["LAYER\tADDED\tOVERWRITTEN\tDELETED\tWASTED\tSTEP"]
    for step in sizes.steps:
        tally = step.tally
        name = one_line(step.created_by.removesuffix(" # buildkit"))
        cells = (
            str(step.layer),
            _amount(tally.added, tally.added_count),
            _amount(tally.overwritten, tally.overwritten_count),
            _amount(tally.deleted, tally.deleted_count),
            shown(tally.wasted) if tally.wasted else "",
            name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…",
        )
        rows.append("\t".join(cells))
    lines = [line.rstrip() for line in align("\n".join(rows)).split("\n")]
    for step in sizes.steps:
        files = [file for file in step.tally.top if file.size]
        if files:
            lines += ["", f"largest files of layer {step.layer}:"]
            lines += [
                f"  {shown(file.size):>7}  {escape(file.path)}{'' if file.is_new else ' (overwritten)'}"
                for file in files
            ]
    share = f" ({100 * sizes.wasted / sizes.size:.1f} %)" if sizes.size else ""
    lines += [
        "",
        f"{shown(sizes.size)} in {counted(len(sizes.steps), 'layer')},"
        f" of which a container sees {shown(sizes.visible)}; {shown(sizes.wasted)} wasted{share}",
    ]
    return lines


def _amount(count: int, files: int) -> str:
    return f"{shown(count)} ({counted(files, 'file')})" if files else ""


def _waste(text: str, whole: int) -> int:
    if text.endswith("%"):
        try:
            return int(whole * float(text[:-1]) / 100)
        except ValueError:
            raise InvalidOption(f'--max-waste cannot be "{text}"', hint="a share is 5% or 2.5%") from None
    return _bytes("--max-waste", text)


def _bytes(option: str, text: str) -> int:
    """``200MB`` in powers of 1000, as sizes are shown, ``200MiB`` in powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidOption(f'{option} cannot be "{text}"', hint="a size is 200MB, 1.5GB or 64MiB")
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])


def _document(sizes: ImageSizes) -> dict[str, Any]:
    return {
        "image": str(sizes.image),
        "size": sizes.size,
        "visible": sizes.visible,
        "wasted": sizes.wasted,
        "layers": [
            {"layer": step.layer, "createdBy": step.created_by, **_numbers(step)} for step in sizes.steps
        ],
    }


def _numbers(step: SizedStep) -> dict[str, Any]:
    tally = step.tally
    return {
        "size": tally.size,
        "added": tally.added,
        "addedFiles": tally.added_count,
        "overwritten": tally.overwritten,
        "overwrittenFiles": tally.overwritten_count,
        "deleted": tally.deleted,
        "deletedFiles": tally.deleted_count,
        "wasted": tally.wasted,
        "top": [{"path": file.path, "size": file.size, "isNew": file.is_new} for file in tally.top],
    }
