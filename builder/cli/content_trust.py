"""Docker's switch for signed images, which pybuild has not."""

from __future__ import annotations

from typing import Annotated

import typer

from builder.core.errors import Unsupported

DisableContentTrust = Annotated[
    bool,
    typer.Option(
        "--disable-content-trust/--no-disable-content-trust",
        help="For Docker's command lines; --disable-content-trust=false is refused.",
    ),
]


def refuse_content_trust(*, is_disabled: bool) -> None:
    """Raises Unsupported if signatures are asked for."""
    if not is_disabled:
        raise Unsupported("signatures of images are not checked or made", hint="name images by their digest")
