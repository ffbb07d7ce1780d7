"""--add-host: a name and its address, for /etc/hosts."""

from __future__ import annotations

import re

from builder.core.errors import Kind, PybuildError

# Steps are in the host's network, so the host is where they are.
_GATEWAY = "127.0.0.1"


class InvalidHost(PybuildError):
    """An --add-host that names no host, or no address."""

    kind = Kind.INVALID
    code = "invalid-host"


def parse_host(text: str) -> tuple[str, str]:
    """``NAME:ADDRESS`` or ``NAME=ADDRESS``; IPv6 with or without brackets. Raises InvalidHost."""
    from ipaddress import ip_address

    name, separator, address = text.partition("=" if "=" in text else ":")
    if not separator or not re.fullmatch(r"[^\s:=#]+", name):
        raise InvalidHost(f'"{text}" is not a host and its address', hint="write it as name:10.0.0.1")
    if address == "host-gateway":
        return name, _GATEWAY
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    try:
        ip_address(address)
    except ValueError:
        raise InvalidHost(
            f'"{address}" is not the address of a host',
            hint="write an IP address: name:10.0.0.1, name:[2001:db8::1] or name:host-gateway",
        ) from None
    return name, address
