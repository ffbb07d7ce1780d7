"""Content identity, as the OCI image specification's ``descriptor.md#digests`` has it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from builder.core.errors import Kind, PybuildError

# Checked before a digest is used for anything: it becomes part of paths and URLs.
_PATTERN = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class InvalidDigest(PybuildError):
    """Text that should be a digest is none."""

    kind = Kind.INVALID
    code = "invalid-digest"

    def __init__(self, text: str) -> None:
        super().__init__(f'"{text[:200]}" is not a digest', hint="a digest looks like sha256:<64 hex digits>")


class DigestMismatch(PybuildError):
    """Bytes do not have the digest or size that they were announced with."""

    kind = Kind.CORRUPT
    code = "digest-mismatch"

    def __init__(self, expected: object, actual: object, *, what: str = "content") -> None:
        super().__init__(
            f"{what} should be {expected} and is {actual}",
            hint="the transfer was cut or altered; try again, and report it to the registry if it stays",
        )


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """``algorithm:hex``; the algorithm is sha256, or sha512 for foreign content."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidDigest."""
        if _PATTERN.fullmatch(text) is None:
            raise InvalidDigest(text)
        algorithm, _, value = text.partition(":")
        return cls(algorithm, value)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The sha256 digest of ``data``."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    @classmethod
    def from_hash(cls, sha256: hashlib._Hash) -> Self:
        return cls("sha256", sha256.hexdigest())

    @property
    def short(self) -> str:
        """The first 12 hex digits, as Docker shows them."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
