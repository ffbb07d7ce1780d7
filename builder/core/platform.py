"""Platforms: parse, normalise, match (containerd's ``platforms`` package names)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from builder.core.errors import Kind, PybuildError

# uname -m and the usual spellings → GOARCH, GOARM variant (containerd platforms/database.go).
_ARCHITECTURES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "amd64": ("amd64", ""),
    "i386": ("386", ""), "i486": ("386", ""), "i586": ("386", ""), "i686": ("386", ""), "386": ("386", ""),
    "aarch64": ("arm64", ""), "arm64": ("arm64", ""),
    "armhf": ("arm", "v7"), "armel": ("arm", "v6"), "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"),
    "arm": ("arm", "v7"),
    "ppc64le": ("ppc64le", ""), "s390x": ("s390x", ""), "riscv64": ("riscv64", ""),
    "mips64le": ("mips64le", ""), "loong64": ("loong64", ""), "loongarch64": ("loong64", ""),
}  # fmt: skip


class InvalidPlatform(PybuildError):
    """Text that should name a platform does not."""

    kind = Kind.INVALID
    code = "invalid-platform"


@dataclass(frozen=True, slots=True)
class Platform:
    """``os/architecture[/variant]`` in Go's spelling; variant is "" where there is none."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """``linux/arm64``, ``linux/arm/v7``, ``arm64`` or ``linux``. Raises InvalidPlatform."""
        parts = text.strip().lower().split("/")
        if not 1 <= len(parts) <= 3 or not all(
            p and p.replace("-", "").replace("_", "").isalnum() for p in parts
        ):
            raise InvalidPlatform(
                f'"{text}" is not a platform', hint="write it as linux/amd64 or linux/arm/v7"
            )
        host = cls.host()
        if len(parts) == 1:
            if parts[0] in ("linux", "windows", "darwin", "freebsd"):
                return cls(parts[0], host.architecture, host.variant)
            if parts[0] not in _ARCHITECTURES:
                raise InvalidPlatform(
                    f'unknown architecture "{text}"', hint="known: amd64, arm64, arm/v7, 386, …"
                )
            parts.insert(0, host.os)
        architecture, variant = _ARCHITECTURES.get(parts[1], (parts[1], ""))
        if len(parts) == 3:
            variant = parts[2] if parts[2].startswith("v") else f"v{parts[2]}"
        if architecture == "arm64" and variant == "v8":
            variant = ""
        return cls(parts[0], architecture, variant)

    @classmethod
    def host(cls) -> Self:
        machine = os.uname().machine
        architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
        return cls("linux", architecture, variant)

    def matches(self, other: Platform) -> bool:
        """Whether an image for ``other`` is just what this platform asks for."""
        mine, theirs = self._normal(), other._normal()
        return mine == theirs

    def _normal(self) -> tuple[str, str, str]:
        variant = "" if (self.architecture, self.variant) == ("arm64", "v8") else self.variant
        if self.architecture == "arm" and not variant:
            variant = "v7"
        return (self.os, self.architecture, variant)

    def __str__(self) -> str:
        return "/".join(p for p in (self.os, self.architecture, self.variant) if p)
