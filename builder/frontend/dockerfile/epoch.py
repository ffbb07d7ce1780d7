"""SOURCE_DATE_EPOCH: the time that a build takes for now, where it would write one down."""

from __future__ import annotations

import re

from builder.core.errors import Kind, PybuildError, Unsupported

EPOCH_NAME = "SOURCE_DATE_EPOCH"
# RFC 3339, which the dates of an image are written in, ends with the year 9999.
_LAST_S = 253_402_300_799


class InvalidEpoch(PybuildError):
    """SOURCE_DATE_EPOCH is no time."""

    kind = Kind.INVALID
    code = "invalid-epoch"

    def __init__(self, text: str) -> None:
        super().__init__(
            f'{EPOCH_NAME} cannot be "{text}"',
            hint="it is a number of seconds since 1970, such as `git log -1 --format=%ct` prints",
        )


def epoch_of(text: str | None) -> int | None:
    """None: there is none. Raises InvalidEpoch, Unsupported."""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text):
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", text):
            # BuildKit: the time of the context's commit, or of the remote file that a stage adds.
            raise Unsupported(
                f'{EPOCH_NAME}="{text}", the time of a context or a stage, is not built yet',
                hint="give a number of seconds since 1970, such as `git log -1 --format=%ct` prints",
            )
        raise InvalidEpoch(text)
    if int(text) > _LAST_S:
        raise InvalidEpoch(text)
    return int(text)
