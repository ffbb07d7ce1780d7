"""Layers that are packed while later steps still run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from builder.core.errors import PybuildError
from builder.exporter.packed import PackOptions
from builder.store.interface import Snapshotter

if TYPE_CHECKING:  # a build that packs nothing starts no thread
    from concurrent.futures import Future, ThreadPoolExecutor

    from builder.exporter.pack import Packer


class _GivenUp(Exception):
    """Nobody wants the layer any more."""


class Prepacker:
    """Packs in the order in which layers are added; whoever packs the image afterwards finds their forms.

    A context manager: at its end, what was not ``finish``ed is given up in the middle of a layer. Errors are
    not told: they come again when the image is packed.
    """

    def __init__(
        self, packer: Callable[[], Packer], snapshots: Snapshotter, options: Sequence[PackOptions]
    ) -> None:
        """``packer`` is called when there is something to pack: it loads slowly."""
        self._open = packer
        self._snapshots = snapshots
        self._options = tuple(dict.fromkeys(options))
        self.is_over = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._running: dict[str, Future[None]] = {}

    def __enter__(self) -> Prepacker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.is_over.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, name: str) -> None:
        """A layer of the image is there, and what is below it; from one thread."""
        if not self._options or name in self._running:
            return
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            # One layer at a time, on every processor: the steps want them too.
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="prepack")
        self._running[name] = self._pool.submit(self._pack, name)

    def finish(self) -> None:
        """Wait for all that was added: a layer must not be packed twice."""
        for running in self._running.values():
            running.result()

    def _pack(self, name: str) -> None:
        packer = self._open().checked(self._check)
        # From the base on: a layer's identity follows from those below.
        for snapshot in self._snapshots.chain(name):
            for options in self._options:
                try:
                    packer.layer(snapshot, options)
                except (PybuildError, _GivenUp):
                    return

    def _check(self) -> None:
        if self.is_over.is_set():
            raise _GivenUp
