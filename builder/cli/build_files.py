"""Files about the image that a build made: `--iidfile` and `--metadata-file`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.output_options import InvalidOutput

if TYPE_CHECKING:  # a command that only shows its help does without
    from builder.core.digest import Digest
    from builder.core.events import Warned
    from builder.engine.build import BuildOutcome

_WARNINGS = "BUILDX_METADATA_WARNINGS"


def forget_image_id(file: Path) -> None:
    """Before a build: if that fails, there is no id of another one. Raises InvalidOutput."""
    if not file.absolute().parent.is_dir():
        raise InvalidOutput(f'--iidfile: there is no folder "{file.parent}"', hint="make it first")
    if file.is_dir():
        raise InvalidOutput(f'--iidfile: "{file}" is a folder', hint="name a file")
    if file.is_file():
        file.unlink()


def write_image_id(file: Path, image: Digest) -> None:
    """The file of `--iidfile`, whole or not at all; without a line end, as Docker writes it."""
    from builder.engine.export import write_document

    write_document(file, str(image))


def write_metadata(
    file: Path, outcome: BuildOutcome, warnings: Sequence[Warned], environ: Mapping[str, str]
) -> None:
    """The document of `--metadata-file`; with the warnings if that variable of buildx asks for them."""
    from builder.engine.export import describe, write_document

    document = {**describe(outcome.exported, outcome.image, outcome.id), **outcome.provenances}
    if environ.get(_WARNINGS, "").lower() in ("1", "t", "true"):  # as Go's strconv.ParseBool
        from builder.cli.render.warned import warning_document

        document["buildx.build.warnings"] = [warning_document(warning) for warning in warnings]
    write_document(file, json.dumps(document, indent=2, sort_keys=True) + "\n")
