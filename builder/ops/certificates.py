"""The caller's certificates for the tools in a step: shown while it runs, in no layer and no key."""

from __future__ import annotations

from collections.abc import Sequence

from builder.core.mount import Mount

_PLACE = "/run/pybuild/ca-bundle.pem"
# OpenSSL and Go, curl, Python's requests and pip, Node.js, Git, Cargo.
_VARIABLES = (
    "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO",
)  # fmt: skip


def bundle_mounts(file: str) -> list[Mount]:
    """None without a bundle."""
    return [Mount("bind", file, _PLACE, ("ro",))] if file else []


def bundle_environment(file: str, env: Sequence[str]) -> list[str]:
    """Variables that the step does not have already."""
    if not file:
        return []
    given = {entry.partition("=")[0] for entry in env}
    return [f"{name}={_PLACE}" for name in _VARIABLES if name not in given]
