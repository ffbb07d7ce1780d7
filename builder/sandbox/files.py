"""The text of the files that every sandbox gets: /etc/hosts and /etc/resolv.conf; pure."""

from __future__ import annotations

# Where systemd-resolved keeps the real servers while /etc/resolv.conf names its stub.
SYSTEMD_STUB = "127.0.0.53"
SYSTEMD_RESOLV_CONF = "/run/systemd/resolve/resolv.conf"
_PUBLIC_SERVERS = ("8.8.8.8", "8.8.4.4")  # Docker's choice when nothing is left


def hosts(hostname: str, extra_hosts: tuple[str, ...] = ()) -> str:
    """BuildKit's hosts file; ``extra_hosts`` are ready lines, ``address<TAB>name``."""
    lines = (f"127.0.0.1\tlocalhost {hostname}", "::1\tlocalhost ip6-localhost ip6-loopback", *extra_hosts)
    return "".join(f"{line}\n" for line in lines)


def is_systemd_stub(text: str) -> bool:
    """Whether systemd-resolved's stub is the only server; then SYSTEMD_RESOLV_CONF should be read instead."""
    return _servers(text) == [SYSTEMD_STUB]


def resolv_conf(text: str, *, is_host_network: bool) -> str:
    """A sandbox's resolv.conf from the host's.

    In the host's network the text stays as it is unless it names no server. In another network a loopback
    server is not reachable and is left out; when none is left, public ones take over.
    """
    servers = _servers(text)
    if is_host_network and servers:
        return text
    kept = [server for server in servers if not _is_loopback(server)]
    lines = [line for line in text.splitlines() if _server(line) is None or _server(line) in kept]
    if not kept:
        lines += [f"nameserver {server}" for server in _PUBLIC_SERVERS]
    return "".join(f"{line}\n" for line in lines)


def _servers(text: str) -> list[str]:
    return [server for line in text.splitlines() if (server := _server(line)) is not None]


def _server(line: str) -> str | None:
    words = line.split()
    return words[1] if len(words) > 1 and words[0] == "nameserver" else None


def _is_loopback(server: str) -> bool:
    return server.startswith("127.") or server.partition("%")[0] == "::1"
