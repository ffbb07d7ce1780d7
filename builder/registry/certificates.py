"""Certificates of registries, where Docker and podman look for them.

certs.d/
  registry.lab:5000/
    *.crt          authorities that are trusted for this host, besides the system's
    client.cert    what shows who we are,
    client.key     with its key
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl


class Certificates(NamedTuple):
    """What there is for one host; paths."""

    authorities: tuple[str, ...] = ()
    clients: tuple[tuple[str, str], ...] = ()  # certificate and key

    def load_into(self, context: ssl.SSLContext) -> None:
        """Raises OSError."""
        for path in self.authorities:
            context.load_verify_locations(cafile=path)
        for certificate, key in self.clients:
            # A key that wants a password would ask the terminal for it, in the middle of a build.
            context.load_cert_chain(certificate, key, password=lambda: b"")


def certificates_for(host: str, directories: Iterable[Path]) -> Certificates:
    """Of the first directory that has some for ``host[:port]``; raises OSError for one that is unreadable."""
    for directory in directories:
        try:
            names = sorted(os.listdir(directory / host))
        except (FileNotFoundError, NotADirectoryError):
            continue
        paths = [str(directory / host / name) for name in names]
        authorities = tuple(path for path in paths if path.endswith(".crt"))
        clients = tuple(
            (path, f"{path.removesuffix('.cert')}.key") for path in paths if path.endswith(".cert")
        )
        if authorities or clients:
            return Certificates(authorities, clients)
    return Certificates()
