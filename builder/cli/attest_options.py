"""The options of `build` about what is said of an image: `--provenance`, `--sbom`, `--attest`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # --help does without
    from builder.engine.attestations import Attestations

Provenance = Annotated[
    str | None, typer.Option("--provenance", metavar="[mode=]MODE", help="Say how it was built: min or max.")
]
Sbom = Annotated[str | None, typer.Option("--sbom", metavar="BOOL", help="List the packages in the image.")]
Attest = Annotated[
    list[str] | None,
    typer.Option("--attest", metavar="type=TYPE,…", help="The same: type=provenance or type=sbom."),
]

_DESCRIBED = "BUILDX_METADATA_PROVENANCE"


def read_attest(given: Mapping[str, Any]) -> Attestations:
    """``given`` has the parameters of `build` by name. Raises InvalidAttestation, Unsupported."""
    from builder.engine.attestations import read_attestations

    return read_attestations(given["attest"] or (), given["provenance"], given["sbom"])


def described_provenance(environ: Mapping[str, str], *, is_described: bool) -> str:
    """How much of it the file of `--metadata-file` gets, as buildx has it: min, if nothing is said."""
    from builder.cli.build import InvalidOption

    mode = environ.get(_DESCRIBED, "min").lower() or "min"
    if mode not in ("min", "max", "disabled", "0", "false"):
        raise InvalidOption(f'{_DESCRIBED} cannot be "{mode}"', hint="it is min, max or disabled")
    return mode if is_described and mode in ("min", "max") else ""
