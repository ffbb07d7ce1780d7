"""The errors that people see: kind, code, message, hint and source location, as data."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Self

from builder.core.location import Location


class Kind(enum.Enum):
    """What a caller may do about an error; the daemon maps these to status codes."""

    INVALID = "invalid"  # what the user wrote is wrong
    NOT_FOUND = "not-found"  # a name leads nowhere
    CONFLICT = "conflict"  # something is in the way
    DENIED = "denied"  # not allowed, by the host, a registry or a policy
    UNSUPPORTED = "unsupported"  # understood, and not built yet
    FAILED = "failed"  # a step ran and did not succeed
    UNAVAILABLE = "unavailable"  # the other side does not answer; trying again may help
    CORRUPT = "corrupt"  # stored or received bytes are not what they claim to be
    CANCELLED = "cancelled"  # the user stopped it


class PybuildError(Exception):
    """Base of every error that is meant for people.

    Subclasses set ``kind`` and ``code`` as class attributes. ``code`` is stable, kebab-case.
    The message is lower case without a final period, with the user's text in double quotes.
    """

    kind: Kind = Kind.INVALID
    code: str = "error"

    def __init__(self, message: str, *, hint: str | None = None, location: Location | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.location = location

    def at(self, location: Location | None) -> Self:
        """Add the place in the user's text, unless a deeper layer knew it better; returns self."""
        if self.location is None:
            self.location = location
        return self


class Unsupported(PybuildError):
    """The request is understood and pybuild does not do it (yet); it is never ignored."""

    kind = Kind.UNSUPPORTED
    code = "unsupported"


class SeveralErrors(PybuildError):
    """Mistakes that were found together, in the order of the text; ``errors`` are at least two."""

    kind = Kind.INVALID
    code = "several-errors"

    def __init__(self, errors: Sequence[PybuildError]) -> None:
        super().__init__(f"{len(errors)} errors")
        self.errors = tuple(errors)


class Cancelled(PybuildError):
    """The user, or a failed sibling, stopped the work."""

    kind = Kind.CANCELLED
    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("cancelled")
