"""The wiring: implementations, by name, put together once per command."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cache.sqlite import SqliteCache
from builder.config import Config
from builder.core.errors import PybuildError
from builder.core.job import Job
from builder.store.cachemounts import LocalCacheMounts
from builder.store.content import LocalContentStore
from builder.store.database import Database
from builder.store.images import LocalImageStore
from builder.store.interface import Snapshot
from builder.store.layerforms import LocalLayerForms
from builder.store.snapshots import OverlaySnapshotter
from builder.store.state import StateDir
from builder.store.turns import LocalTurns

if TYPE_CHECKING:  # loaded by those commands only that need them
    from builder.core.patience import Patience
    from builder.core.platform import Platform
    from builder.engine.lent import Lender
    from builder.executor.interface import Executor
    from builder.exporter.layers import Layers
    from builder.exporter.pack import Packer
    from builder.registry.exchange import Exchange
    from builder.registry.interface import RegistryClient, RegistryPusher, WebClient
    from builder.sandbox.cgroup import Cgroups
    from builder.sandbox.launch import Launcher
    from builder.source.interface import ImageSource, ResolvedSource


class Engine:
    """The services of one command over one state directory; those that load slowly are made on demand."""

    def __init__(
        self, config: Config, state: StateDir, database: Database, job: Job, stack: contextlib.ExitStack
    ) -> None:
        self.config = config
        self.state = state
        self.database = database
        self.job = job
        self.content = LocalContentStore(state)
        self.images = LocalImageStore(database, state.lease)
        self.cache = SqliteCache(database)
        self.caches = LocalCacheMounts(state, database)
        self.turns = LocalTurns(state)
        self.snapshots = OverlaySnapshotter(state, database, self._unpack)
        self.forms = LocalLayerForms(database, self.content)
        self._stack = stack
        self._lender: Lender | None = None
        self.patience: Patience | None = None  # with registries and the web; None: the usual
        self._starting = threading.Lock()
        self._executor: Executor | None = None
        self._launcher: Launcher | None = None
        self._cgroups: Cgroups | None = None

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        config: Config,
        job: Job,
        *,
        launcher: Launcher | None = None,
        lender: Lender | None = None,
        patience: Patience | None = None,
    ) -> Iterator[Engine]:
        """Holds what it comes across until the block ends, and leaves no process behind it.

        ``launcher`` is one that was started early; the block ends it. Base images are those of ``lender``.
        """
        with (
            StateDir.open(config.root) as state,
            Database.open(state.database) as database,
            contextlib.ExitStack() as stack,
        ):
            engine = cls(config, state, database, job, stack)
            engine._lender, engine.patience = lender, patience
            if launcher is not None:
                engine._launcher = stack.enter_context(launcher)
            state.sweep(lambda name: not engine.snapshots.is_known(name))
            if state.has_cgroup_records:
                from builder.sandbox.cgroup import sweep

                sweep(str(state.cgroups))
            yield engine
            engine.cache.write_uses()

    @cached_property
    def sources(self) -> ImageSource:
        """Images by name; a command that finds everything in the store needs none of it."""
        if self._lender is not None:
            from builder.engine.lent import LentImages

            return LentImages(self._lender, self)
        from builder.source.image import RegistryImages

        return RegistryImages(lambda: self.registry, self.content, self.images, self.snapshots)

    @cached_property
    def registry(self) -> RegistryClient:
        """The client; importing it costs more than a cached build."""
        from builder.registry.client import HttpRegistryClient

        return HttpRegistryClient(self._exchange)

    @cached_property
    def pusher(self) -> RegistryPusher:
        """The same for what goes to registries."""
        from builder.registry.pusher import HttpRegistryPusher

        return HttpRegistryPusher(self._exchange)

    @cached_property
    def _exchange(self) -> Exchange:
        from builder.engine.registries import open_exchange

        return open_exchange(self.config, patience=self.patience)

    def layout(self, text: str, platform: Platform) -> ResolvedSource:
        """The image that ``PATH[:TAG|@DIGEST]`` of an OCI layout names."""
        from builder.source.oci_layout import OciLayout, split_layout

        path, wanted = split_layout(text)
        return OciLayout(Path(path), self.content, self.snapshots).resolve(wanted, platform)

    def web(self) -> WebClient:
        """For files by their address."""
        from builder.registry.web import HttpWebClient

        return HttpWebClient.open(
            proxies=self.config.proxies, patience=self.patience, ca_bundle=self.config.ca_bundle
        )

    def packer(self, layers: Layers) -> Packer:
        """Packs images of this store on every processor; ``layers`` must stay open meanwhile."""
        from builder.exporter.pack import Packer

        threads = len(os.sched_getaffinity(0))
        return Packer(layers, self.snapshots, self.content, self.forms, threads=threads)

    def bring_layers(self, name: str) -> None:
        """Have the stored form of every layer of a snapshot, from wherever it can be fetched."""
        chain = self.snapshots.chain(name)
        if any(s.layer is not None and self.content.size(s.layer.digest) is None for s in chain):
            self.sources.fetch_layers(chain, self.job)

    def executor(self) -> Executor:
        """Starts the launcher on the first call; from any thread."""
        with self._starting:
            if self._executor is None:
                self._executor = self._start_executor()
            return self._executor

    def warm_up(self) -> None:
        """Start the launcher without waiting for it: steps are likely to run soon."""
        # Whoever really needs it hears why it cannot be.
        with self._starting, contextlib.suppress(PybuildError):
            self._start_launcher().start()

    def _start_executor(self) -> Executor:
        from builder.executor.local import LocalExecutor

        files = self.state.scratch / "files"
        files.mkdir(mode=0o755)
        return LocalExecutor(self._start_launcher(), str(files), cgroups=self._make_cgroups)

    def _make_cgroups(self) -> Cgroups:
        with self._starting:
            if self._cgroups is None:
                from builder.sandbox.cgroup import Cgroups

                self._cgroups = Cgroups(str(self.state.cgroups))
                self._stack.callback(self._cgroups.close)
            return self._cgroups

    def _start_launcher(self) -> Launcher:
        if self._launcher is None:
            from builder.sandbox.launch import Launcher

            self._launcher = self._stack.enter_context(Launcher())
        return self._launcher

    def _unpack(self, snapshot: Snapshot, directory: Path, lowers: Sequence[str]) -> None:
        if snapshot.layer is None:
            from builder.exporter.layers import Layers

            with Layers(self.snapshots, self.content) as layers:
                layers.unpack(snapshot, directory, lowers)
            return
        self.sources.unpack(snapshot, directory, lowers, self.job)
