"""Connections that do not wait for ever for the head of an answer; imports urllib3, so import this lazily."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_Pools = TypeVar("_Pools", bound=urllib3.PoolManager)


def new_pool(context: ssl.SSLContext | None, proxy: str) -> urllib3.PoolManager:
    if not proxy:
        return _bounded(urllib3.PoolManager(num_pools=32, maxsize=16, ssl_context=context))
    parts = urlsplit(proxy)
    headers = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=login)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return _bounded(
        urllib3.ProxyManager(bare, proxy_headers=headers, num_pools=32, maxsize=16, ssl_context=context)
    )


def _bounded(pools: _Pools) -> _Pools:
    pools.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
    return pools


@contextlib.contextmanager
def _in_time(connection: HTTPConnection) -> Iterator[None]:
    """The time of a read is for each byte: a head that comes by single bytes would have hours.

    Raises TimeoutError.
    """
    limit_s, sock, late = connection.timeout, connection.sock, threading.Event()
    if not isinstance(limit_s, (int, float)) or sock is None:
        yield
        return

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError):
            # Not ssl's own: it takes the session from under the thread that reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(2 * limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if late.is_set():
            # To the parser it is a head that ends there.
            raise TimeoutError


class _Plain(HTTPConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3's own
        with _in_time(self):
            return super().getresponse()


class _Tls(HTTPSConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3's own
        with _in_time(self):
            return super().getresponse()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls
