"""Which distribution an image is (os-release(5))."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from builder.attest.sbom.files import ImageFiles

_LIMIT = 1 << 16
_VALUE_LIMIT = 200


class Distribution(NamedTuple):
    """All "" for an image that does not say."""

    id: str = ""
    version: str = ""
    name: str = ""  # for people

    @property
    def qualifier(self) -> str:
        """As scanners look it up in purls: ``debian-12``."""
        return f"{self.id}-{self.version}" if self.id and self.version else self.id


def distribution_of(files: ImageFiles) -> Distribution:
    """From /etc/os-release, else /usr/lib/os-release."""
    for path in ("etc/os-release", "usr/lib/os-release"):
        data = files.read(path, _LIMIT)
        if data is not None:
            values = _values(data.decode("utf-8", "replace"))
            return Distribution(
                values.get("ID", ""), values.get("VERSION_ID", ""), values.get("PRETTY_NAME", "")
            )
    return Distribution()


def _values(text: str) -> dict[str, str]:
    values = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            try:
                words = shlex.split(value)
            except ValueError:
                continue
            values[name] = " ".join(words)[:_VALUE_LIMIT]
    return values
